"""What a person sees, and how they stop it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgekit.api.results import InspectReport
from edgekit.cli.console import Console
from edgekit.engine.progress import Pace
from edgekit.engine.step import StepState
from edgekit.evidence import Validity
from tests.build_folder.samples import disturbed_report, sample_report
from tests.inspection.test_causes import SCORES, inspection, lossy, tensor
from tests.report.test_summary import on_device

STEP: Any = SimpleNamespace(
    id="rpi/litert/quantize",
    key="k",
    reason="bits: 8 -> 4",
    state=StepState.CHANGED,
    action=SimpleNamespace(amount="16 epochs"),
)


@pytest.fixture
def default_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("default_handler")
def test_an_interrupt_that_a_converter_swallowed_is_raised_at_the_next_step() -> None:
    with Console(quiet=True) as console:
        console.started(STEP)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            console.finished(STEP, STEP, ran=False)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("default_handler")
def test_an_ignored_interrupt_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of a job that a shell put in the background
    with Console(quiet=True) as console:
        signal.raise_signal(signal.SIGINT)
        console.started(STEP)


def test_what_a_stage_has_to_say_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    report: Any = SimpleNamespace(remarks={"qat": "nothing to gain"})
    with Console() as console:
        console.remarks(report)
    assert "qat: nothing to gain" in capsys.readouterr().out


def test_a_step_that_fails_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    with Console() as console:
        console.started(STEP)
        console.failed(STEP, "no such kernel")
    assert "rpi/litert/quantize: failed: no such kernel" in capsys.readouterr().out


def test_a_training_says_once_how_long_it_will_take(capsys: pytest.CaptureFixture[str]) -> None:
    clock = iter([0.0, 6.0, 12.0])
    with Console() as console:
        console.started(STEP)
        console.paces[STEP.key] = Pace(lambda: next(clock))
        for done in (10, 20, 30):
            console.progressed(STEP, done, 910, "epoch 1/16")
    told = [line for line in capsys.readouterr().out.splitlines() if "16 epochs" in line]
    assert told == ["rpi/litert/quantize: 16 epochs, about 9 minutes more on this machine"]


PAIR: Any = SimpleNamespace(
    path=Path("rpi/litert/model.tflite"),
    float_path=Path("store/model.tflite"),
    images_from="the images it was calibrated on",
    rescaled=False,
    is_built=True,
)


def test_an_inspection_names_the_place_the_symptom_and_the_fix(
    capsys: pytest.CaptureFixture[str],
) -> None:
    harmless = tensor("harmless", "Conv", 40.0)
    found = inspection(harmless, lossy("bad", clipped=0.02, clipping=0.9), SCORES)
    with Console() as console:
        console.inspection(InspectReport.of(PAIR, found, ()), everything=False)
    said = capsys.readouterr().out
    assert "It goes wrong first at bad (Mul)." in said
    assert "- bad: 2.00% of its values" in said
    assert "What usually fixes it: another quantize.calibration" in said
    assert "harmless" not in said
    with Console() as console:
        console.inspection(InspectReport.of(PAIR, found, ()), everything=True)
    assert "harmless" in capsys.readouterr().out


def test_an_inspection_has_one_verdict_where_the_loss_is_spread(
    capsys: pytest.CaptureFixture[str],
) -> None:
    steps = [tensor(f"t{i}", sqnr_db=20.0 - i, share_added=0.1) for i in range(10)]
    found = inspection(*steps, tensor("scores", "Gemm", 5.0))
    foreign: Any = SimpleNamespace(**{**vars(PAIR), "is_built": False})
    with Console() as console:
        console.inspection(InspectReport.of(foreign, found, ()), everything=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "It goes wrong nowhere alone. - t0: the loss is spread" in said
    assert "first at" not in said
    assert "stages: [{quantize: {method: auto}}, export]" in said


def test_a_sound_inspection_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    found = inspection(tensor("scores", "Gemm", 30.0))
    with Console() as console:
        console.inspection(InspectReport.of(PAIR, found, ()), everything=False)
    said = capsys.readouterr().out
    assert "Nothing goes wrong" in said
    assert "fixes" not in said


@pytest.mark.parametrize(
    ("clearest", "told"),
    [
        (None, "The choice, by latency (host): litert"),
        ("onnxruntime", "The choice (host): onnxruntime"),
    ],
)
def test_what_a_choice_was_made_by_is_told(
    clearest: str | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = sample_report()
    assert report.choice
    report.choice = report.choice.model_copy(update={"clearest": clearest})
    with Console() as console:
        console.report(report, Path("build"))
    said = " ".join(capsys.readouterr().out.split())
    assert told in said
    assert "in one interleaved run: " in said


def test_the_tables_show_a_dash_with_the_reason_for_a_latency_that_was_disturbed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = disturbed_report()
    with Console() as console:
        console.report(report, Path("build"))
    one = capsys.readouterr().out
    with Console() as console:
        console.comparison([report, report])
    several = capsys.readouterr().out
    assert one.count("— (machine too busy)") == 4, "two variants with two int8 rows each"
    assert several.count("— (machine too busy)") == 2
    assert "0.06" not in one + several
    assert "the runs tell no order: machine too busy" in one


@pytest.mark.parametrize("validity", [Validity.OK, Validity.INVALID])
def test_a_run_on_a_device_that_is_no_result_shows_no_figure(
    validity: Validity, capsys: pytest.CaptureFixture[str]
) -> None:
    report = sample_report()
    for row in report.rows:
        row.on_device = on_device(validity) if row.last else None
    with Console() as console:
        console.report(report, Path("build"))
    said = capsys.readouterr().out
    assert "on pi5: cortex-a76, 4 threads" in said
    assert ("7.77" in said) == (validity is Validity.OK)
    assert ("— (throttled)" in said) == (validity is Validity.INVALID)


def test_steps_that_run_side_by_side_have_a_bar_and_a_pace_each() -> None:
    other: Any = SimpleNamespace(**{**vars(STEP), "id": "finetune", "key": "other"})
    with Console() as console:
        console.live = True
        for step in (STEP, other):
            console.started(step)
            console.progressed(step, 1, 2, "epoch 1/2")
        assert len(console.bars.tasks) == 2
        console.failed(STEP, "no such kernel")
        assert [task.fields["step"] for task in console.bars.tasks] == ["finetune"]
        assert console.paces["k"] is not console.paces["other"]
