#!/bin/sh
# One ONNX model, three targets. LiteRT does not read ONNX: a Raspberry Pi gets ONNX Runtime's file.
set -eu
cd "$(dirname "$0")"
test -e model.onnx || python make_model.py    # or put yours here, with photos/ in one folder a class
edgekit build recipe.yaml --target rpi --target intel-npu --target x86-cpu
python build/onnx_three_targets/rpi/onnxruntime/classify.py photos/round/000.png
