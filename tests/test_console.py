"""What a person sees, and how they stop it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from edgekit.console import Console

STEP: Any = SimpleNamespace(id="rpi/litert/quantize", reason="never built here")


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
