"""The demo without edgekit: the same libraries, images and measurements, called directly.

What `edgekit build recipes/mobilenet_int8.yaml --target rpi`, with `method: ptq` in the recipe, may
cost beyond this is edgekit's own overhead; speed.py compares the two.
"""

import random
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ai_edge_quantizer
import litert_torch
import numpy as np
import onnxruntime
import onnxslim
import timm
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
from elpv_dataset.utils import load_dataset
from onnxruntime.quantization import QuantType, quant_pre_process
from onnxruntime.quantization import quantize_static as quantize_onnx
from PIL import Image
from safetensors.torch import load_file

SIZE, CALIBRATION, VALIDATION = 160, 256, 556
SECONDS, WARM_UP, ROUNDS, RUNS = 6.0, 0.5, 300, 3  # of latency a validation, edgekit's protocol
WEIGHTS = Path(__file__).parents[2] / "recipes/weights/mobilenetv4_conv_small_elpv.safetensors"
Run = Callable[[np.ndarray], np.ndarray]
Opener = Callable[[str], Run]


class Nhwc(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.model(image.permute(0, 3, 1, 2))
        return scores


class Reader:
    """ONNX Runtime takes whatever has `get_next` for a CalibrationDataReader."""

    def __init__(self, images: np.ndarray) -> None:
        self.rows = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        row = next(self.rows, None)
        return None if row is None else {"image": row[None]}


def open_onnx(path: str) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options)

    def run(image: np.ndarray) -> np.ndarray:
        scores: np.ndarray = session.run(None, {"image": image})[0]
        return scores

    return run


def open_litert(path: str) -> Run:
    interpreter = Interpreter(path, num_threads=1)
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]
    sink = interpreter.get_output_details()[0]["index"]
    scale, zero_point = source["quantization"]

    def run(image: np.ndarray) -> np.ndarray:
        if source["dtype"] == np.int8:
            image = np.clip(np.round(image / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(source["index"], image)
        interpreter.invoke()
        scores: np.ndarray = interpreter.get_tensor(sink)
        return scores

    return run


def evaluate(opener: Opener, path: str, images: np.ndarray) -> np.ndarray:
    def work(part: np.ndarray) -> np.ndarray:
        run = opener(path)
        return np.concatenate([run(image[None]) for image in part])

    with ThreadPoolExecutor(2) as pool:
        return np.concatenate(list(pool.map(work, np.array_split(images, 2))))


def time_pair(opener: Opener, paths: list[str], image: np.ndarray) -> None:
    runs = [opener(path) for path in paths]
    warm = time.perf_counter() + WARM_UP
    while time.perf_counter() < warm:
        for run in runs:
            run(image)
    end = time.perf_counter() + SECONDS
    for _ in range(ROUNDS):
        for run in random.sample(runs, len(runs)):
            for _ in range(RUNS):
                run(image)
        if time.perf_counter() > end:
            break


def main() -> None:
    images, probability, _ = load_dataset()
    images = [images[i] for i in np.flatnonzero((probability < 0.2) | (probability > 0.8))]
    small = [np.asarray(Image.fromarray(i).convert("RGB").resize((SIZE, SIZE))) for i in images]
    pixels = ((np.stack(small) - 127.5) / 127.5).astype(np.float32)
    validation, calibration = pixels[:VALIDATION], pixels[-CALIBRATION:]
    model = timm.create_model("mobilenetv4_conv_small", num_classes=2).eval()
    model.load_state_dict({k: v.float() if v.is_floating_point() else v
                           for k, v in load_file(WEIGHTS).items()})  # fmt: skip
    with torch.inference_mode():
        for chunk in np.array_split(validation, 18):
            model(torch.from_numpy(chunk).permute(0, 3, 1, 2))
    with tempfile.TemporaryDirectory() as folder:
        example = torch.zeros(1, SIZE, SIZE, 3)
        fp32, prepared, int8 = (f"{folder}/{name}.onnx" for name in ("fp32", "prepared", "int8"))
        torch.onnx.export(Nhwc(model).eval(), (example,), fp32, input_names=["image"], dynamo=True,
                          external_data=False)  # fmt: skip
        onnxslim.slim(fp32, fp32)
        quant_pre_process(fp32, prepared)
        quantize_onnx(prepared, int8, Reader(calibration), per_channel=True,
                      weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8)  # fmt: skip
        fp32_lite, int8_lite = f"{folder}/fp32.tflite", f"{folder}/int8.tflite"
        channels_last = litert_torch.to_channel_last_io(model, args=[0]).eval()
        litert_torch.convert(channels_last, (example,)).export(fp32_lite)
        quantise = quantizer.Quantizer(fp32_lite, recipe.static_wi8_ai8())
        name = next(iter(Interpreter(fp32_lite).get_signature_list().values()))["inputs"][0]
        # Not Quantizer.calibrate: its default mode walks the operators in Python, a minute for
        # this network, which edgekit avoids too.
        ranges = calibrator.Calibrator(
            fp32_lite, num_threads=1, mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED
        )
        manager = recipe_manager.RecipeManager()
        manager.load_quantization_recipe(recipe.static_wi8_ai8())
        for row in calibration:
            ranges.calibrate({"serving_default": [{name: row[None]}]}, manager)
        quantise.quantize(ranges.get_model_qsvs()).export_model(int8_lite)
        for opener, pair in ((open_litert, [fp32_lite, int8_lite]), (open_onnx, [fp32, int8])):
            evaluate(opener, pair[0], validation)
            time_pair(opener, pair[:1], validation[:1])
            for _ in ("quantize", "export"):
                evaluate(opener, pair[1], validation)
                time_pair(opener, pair, validation[:1])
        time_pair(open_onnx, [int8], validation[:1])


if __name__ == "__main__":
    assert ai_edge_quantizer
    main()
