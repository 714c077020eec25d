"""What reads the file of a model from elsewhere runs in a process that can do no harm."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest

from edgekit.engine.action import Context, Inputs
from edgekit.engine.artifact import Artifact
from edgekit.engine.confinement import MEMORY
from edgekit.engine.executor import Executor
from edgekit.engine.observer import Silent
from edgekit.engine.step import Step
from edgekit.engine.step_id import StepId
from edgekit.engine.store import Store
from edgekit.errors import WeightsError
from edgekit.models.source import ModelSource
from edgekit.pipeline.runtime_steps import OnRuntime
from edgekit.runtimes.base import Runtime
from edgekit.runtimes.contract.compiled_metadata import CompiledMetadata
from edgekit.runtimes.contract.settings import Variant
from edgekit.runtimes.onnxruntime import OnnxRuntime
from edgekit.stages.base import RuntimeStage
from tests.devices.tiny import RAW, write_model
from tests.engine.test_confined import landlock
from tests.runtimes.tiny import card

FOREIGN = ModelSource(weights="m.onnx", input_range="0..1")


class Told(RuntimeStage):
    """A stage that says where it runs, and does what a quantiser of a hostile model might."""

    stage: Literal["told"] = "told"
    images: ClassVar[None] = None
    takes: int = 0
    """Bytes."""
    writes: str = ""

    def apply(
        self, runtime: Runtime, variant: Variant, inputs: Inputs, into: Path, context: Context
    ) -> CompiledMetadata:
        taken = np.empty(self.takes, np.uint8)  # taken, and not written to: that takes seconds
        context.progress(1, 2, f"taking {len(taken)} bytes")
        (into / "pid").write_text(str(os.getpid()))
        (Path(tempfile.gettempdir()) / "scratch").touch()
        if self.writes:
            Path(self.writes).write_text("x")
        return inputs["model"].described_by(CompiledMetadata)


@pytest.fixture
def executor(store: Store) -> Iterator[Executor]:
    """One that holds a compiled model."""
    with Executor(store, Silent()) as executor:
        with store.workspace() as folder:
            write_model(folder / "model.onnx")
            found = CompiledMetadata(card=card(), form=RAW, precision="float32")
            executor.artifacts[StepId("compile")] = store.commit("made", folder, found, (), 0)
        yield executor


def run(executor: Executor, stage: Told, source: ModelSource = FOREIGN) -> Artifact:
    action = OnRuntime(OnnxRuntime(), source, stage, Variant(runtime="onnxruntime"))
    components = action.settings()
    inputs = {"model": StepId("compile")}
    return executor.perform(
        Step(id=StepId("told"), action=action, inputs=inputs, components=components)
    )


def pid(artifact: Artifact) -> int:
    return int(artifact.file("pid").read_text())


def test_a_stage_runs_in_another_process_for_a_model_from_elsewhere(executor: Executor) -> None:
    first, second = (pid(run(executor, Told(takes=size))) for size in (1, 2))
    assert first == second != os.getpid()
    timm = ModelSource(arch="mobilenetv3_small_050", weights="timm")
    assert pid(run(executor, Told(takes=3), timm)) == os.getpid()


@landlock
def test_a_stage_writes_nothing_elsewhere(executor: Executor, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="Permission denied"):
        run(executor, Told(writes=str(tmp_path / "outside")))
    assert not (tmp_path / "outside").exists()


def test_the_memory_of_a_stage_is_limited(
    executor: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MEMORY, "8")
    assert pid(run(executor, Told(takes=4 << 30))) != os.getpid()
    monkeypatch.setenv(MEMORY, "2")
    words = r"model\.weights: m\.onnx needs more memory, .* than the 2\.0 GB"
    with pytest.raises(WeightsError, match=words) as refused:
        run(executor, Told(takes=(4 << 30) + 1))
    assert f"export {MEMORY}=4" in str(refused.value.hint)
