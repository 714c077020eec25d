"""A target is a YAML file; one's own counts as much as those that ship."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.data.framing import Framing
from edgekit.data.size import Size
from edgekit.errors import ConfigError, InputError
from edgekit.evaluation.gates import Gates
from edgekit.spec.target import known_targets, load_target
from tests.mutations import damaged_text, fuzz, refusals

GOOD = "description: mine\nruntimes: [onnxruntime]\ncpu: cortex-a53\nthreads: 2\n"


def own(tmp_path: Path, text: str, name: str = "board.yaml") -> str:
    path = tmp_path / name
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("name", known_targets())
def test_every_target_that_ships_parses(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target.runtimes


def test_what_to_do_with_a_model_of_oblong_images_names_both_sides() -> None:
    words = load_target("android").use_for("r", Framing(Size(96, 128)), 2, ["litert"])
    assert "resized(picture, wide, high), left, top, 128, 96)" in words
    assert "getPixels(colours, 0, 128, 0, 0, 128, 96)" in words


def test_the_raspberry_pi_ships() -> None:
    assert "rpi" in known_targets()


def test_ones_own_file_is_a_target_named_after_the_file(tmp_path: Path) -> None:
    target = load_target(own(tmp_path, GOOD + "gates: {max_size_mb: 2}\n"))
    assert target.name == "board"
    assert target.gates == Gates(max_size_mb=2)


def test_an_unknown_target_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="no target 'rip'") as caught:
        load_target("rip")
    assert "'rpi'" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("onnxruntime", "onxruntime", 2, "did you mean 'onnxruntime'"),
        ("[onnxruntime]", "[onnxruntime, onnxruntime]", 2, "named twice"),
        ("[onnxruntime]", "[]", 2, "at least 1"),
        ("threads: 2", "threads: 0", 4, "at least 1 expected, not 0"),
        ("threads: 2", "threds: 2", 4, "did you mean 'threads'"),
        ("cpu: cortex-a53\n", "", 1, "required"),
        ("description", "name: ../up\ndescription", 1, "name"),
    ],
)
def test_a_wrong_target_is_refused_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_target(own(tmp_path, GOOD.replace(old, new)))
    assert line in {p.line for p in caught.value.problems}


def test_all_problems_of_a_target_come_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_target(
            own(tmp_path, "runtimes: [x]\ncpu: 3\nthreads: no\ngates: {min_agreement: 101}")
        )
    found = {p.where for p in caught.value.problems}
    assert found == {"description", "runtimes", "cpu", "threads", "gates.min_agreement"}


ALTERNATIVES = GOOD + "alternatives:\n  - {}\n"


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{runtime: onxruntime}", "did you mean 'onnxruntime'"),
        ("{runtime: onnxruntime}", "stands under runtimes already"),
        ("{runtime: onnxruntime, precision: float16}", "precision int8, int16x8, not float16"),
        ("{runtime: onnxruntime, quantizer: nccf}", "quantizer onnxruntime, nncf, not nccf"),
        ("{runtime: onnxruntime, via: litert}", "takes over files of none, not of litert"),
        ("{runtime: litert, io: flaot}", "'uint8', 'float' or 'integer'"),
    ],
)
def test_an_alternative_that_no_runtime_offers_is_refused(
    tmp_path: Path, entry: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_target(own(tmp_path, ALTERNATIVES.format(entry)))


def test_alternatives_are_named_after_what_sets_them_apart(tmp_path: Path) -> None:
    entry = "{runtime: onnxruntime, quantizer: nncf}"
    target = load_target(own(tmp_path, ALTERNATIVES.format(entry)))
    assert [v.name for v in target.variants] == ["onnxruntime", "onnxruntime-nncf"]


def test_every_board_of_the_family_ships() -> None:
    assert {"rpi3", "rpi4", "rpi5", "zero2w", "android", "intel-npu", "x86-cpu"} <= set(
        known_targets()
    )


def test_a_runtime_that_the_device_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="onnxruntime does not run on the NPU, only on CPU"):
        load_target(own(tmp_path, GOOD + "device: NPU\n"))


def test_an_engine_of_which_nothing_is_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing is known of onnxruntime==1.14.0; known: none"):
        load_target(own(tmp_path, GOOD + "engine: onnxruntime==1.14.0\n"))


SHIPPED = [path.read_text(encoding="utf-8") for path in known_targets().values()]


@fuzz
@given(text=st.sampled_from([GOOD, *SHIPPED]).flatmap(damaged_text))
def test_any_damage_of_a_target(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.yaml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with refusals():
        load_target(str(path))
