"""What the functions return where no room below has a record of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from edgekit.build_folder.report import Report
from edgekit.data.problem import DataProblem
from edgekit.devices.advice import deploy_again, remove_damaged
from edgekit.devices.bench.report import DeviceReport
from edgekit.devices.bundle.info import Info
from edgekit.devices.deploy.result import DeployRecord
from edgekit.devices.facts import DeployedModel
from edgekit.engine.step import StepState
from edgekit.errors import DeviceError, EdgekitError, GateBroken, InputError, IntegrityError
from edgekit.inspection.causes import Cause, find_causes
from edgekit.inspection.tensor_report import Inspection
from edgekit.notebook import HasPage
from edgekit.runtimes.contract.description import Operator

if TYPE_CHECKING:
    from edgekit.build_folder.float_twin import Pair
    from edgekit.devices.deploy.result import DeployResult
    from edgekit.pipeline.plan import Plan


class _Result(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PlannedStep(_Result):
    step: str
    key: str
    state: StepState
    reason: str
    seconds_before: float | None
    """That it took when it last ran on this machine; null where it never did."""


class PlanReport(_Result):
    """Every step that a build would take, and why it would run or be skipped."""

    schema_version: Literal[1] = 1
    steps: tuple[PlannedStep, ...]
    left_out: dict[str, str]
    """Targets, and `target/variant`, that the model cannot reach, each with the reason."""
    data: tuple[DataProblem, ...]
    """What is odd about the images."""
    weights: dict[str, str]
    """What is to be known of files of weights, by the setting that names them."""
    notes: dict[str, str]
    """What is to be known of a stage on a target, by `target/stage`."""

    @classmethod
    def of(cls, planned: Plan) -> PlanReport:
        unreachable = {
            f"{t.target.name}/{name}": why
            for t in planned.targets
            for name, why in t.unreachable.items()
        }
        notes = {
            f"{t.target.name}/{stage}": note
            for t in planned.targets
            for stage, note in t.notes.items()
        }
        return cls(
            steps=tuple(
                PlannedStep(
                    step=s.id,
                    key=s.key,
                    state=s.state,
                    reason=s.reason,
                    seconds_before=s.seconds_before,
                )
                for s in planned.steps
            ),
            left_out=planned.left_out | unreachable,
            data=tuple(planned.review.problems),
            weights=planned.weights,
            notes=notes,
        )

    @property
    def running(self) -> tuple[PlannedStep, ...]:
        """Steps that would run."""
        return tuple(step for step in self.steps if step.state.runs)


_KINDS: tuple[type[EdgekitError], ...] = (InputError, GateBroken, IntegrityError, DeviceError)
_KIND_OF = {kind.exit_code: kind for kind in _KINDS}


class Failure(_Result):
    """What a command ends with, as a record: a result that is kept and read again still fails."""

    message: str
    hint: str | None
    exit_code: int

    @classmethod
    def of(cls, error: EdgekitError) -> Failure:
        return cls(message=error.message, hint=error.hint, exit_code=error.exit_code)

    def error(self) -> EdgekitError:
        """Of the class that has this exit code."""
        found = _KIND_OF.get(self.exit_code, EdgekitError)(self.message, hint=self.hint)
        found.exit_code = self.exit_code
        return found


class BuildResult(_Result, HasPage):
    """What came of each target; `check` raises what a command would end with."""

    schema_version: Literal[1] = 1
    targets: tuple[str, ...]
    """Those that the recipe's model can reach."""
    reports: tuple[Report, ...]
    """Of each target of which something was measured."""
    folders: tuple[Path, ...]
    """Where each report lies, with the models."""
    left_out: dict[str, str]
    """Targets that the recipe's model cannot reach, each with the reason."""
    failure: Failure | None
    """None where every target holds its gates, and something was built for each."""

    @property
    def passed(self) -> bool:
        return self.failure is None

    @property
    def report(self) -> Report:
        """Of the only target.

        Raises:
            ValueError: there are several, or none.
        """
        (found,) = self.reports
        return found

    def check(self) -> None:
        """
        Raises:
            GateBroken: a gate is broken. InputError: nothing could be built for a target.
            EdgekitError: a target failed.
        """
        if self.failure:
            raise self.failure.error()


class BenchResult(_Result, HasPage):
    """A run on a device; `check` raises where it is no result."""

    schema_version: Literal[1] = 1
    report: DeviceReport
    page: Path
    """device-report.html; device-report.json lies beside it."""

    def check(self) -> None:
        """
        Raises:
            DeviceError: the run is not to be believed, and why.
        """
        if why := self.report.invalid():
            raise DeviceError(
                f"the run on {self.report.device.name} is no result: {why}",
                hint=f"see {self.page}; fix the cause and measure again",
            )


class InspectReport(_Result):
    """Where a compressed file parts from its float original, and what usually fixes it."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)

    schema_version: Literal[1] = 1
    file: Path
    float_file: Path = Field(alias="float")
    images_from: str
    rescaled: bool
    """Channels of the float model were made larger or smaller before it was quantised."""
    built: bool
    """False for files from elsewhere: no recipe made them."""
    sqnr_db: float
    """Of the scores, the median over images."""
    sound: bool
    wrong: tuple[str, ...]
    """Tensors."""
    findings: tuple[Cause, ...]
    inspection: Inspection
    operators: tuple[Operator, ...]
    """Of the compressed file."""

    @classmethod
    def of(cls, pair: Pair, found: Inspection, operators: tuple[Operator, ...]) -> InspectReport:
        return cls(
            file=pair.path,
            float_file=pair.float_path,
            images_from=pair.images_from,
            rescaled=pair.rescaled,
            built=pair.is_built,
            sqnr_db=found.sqnr_db,
            sound=found.is_sound,
            wrong=tuple(tensor.name for tensor in found.wrong),
            findings=find_causes(found),
            inspection=found,
            operators=operators,
        )


class BundleReport(_Result):
    """A bundle that was made."""

    schema_version: Literal[1] = 1
    path: Path
    release: str
    info: Info


class VerifyReport(_Result):
    """What was deployed on devices; `check` raises where something is not whole."""

    schema_version: Literal[1] = 1
    devices: dict[str, tuple[DeployedModel, ...]]
    """The models of each, by its name."""

    def check(self) -> None:
        """
        Raises:
            IntegrityError: a file is damaged, or gone; the hint says what to do about the worst.
        """
        ill = [
            (name, f"{model.name}: {line}", in_use)
            for name, models in self.devices.items()
            for model in models
            for line, in_use in model.damage()
        ]
        if not ill:
            return
        broken = next((name for name, _, in_use in ill if in_use), None)
        raise IntegrityError(
            "; ".join(f"{name}: {line}" for name, line, _ in ill),
            # Whoever deploys one that is only kept puts it in use.
            hint=deploy_again(broken)
            if broken
            else f"it is not in use; to remove it: {remove_damaged(ill[0][0])}",
        )


class DeployReport(_Result):
    """What came of each device; `check` raises what failed."""

    schema_version: Literal[1] = 1
    devices: tuple[DeployRecord, ...]
    _cause: EdgekitError | None = PrivateAttr(None)
    """For the traceback alone: `check` finds all else in the records."""

    @classmethod
    def of(cls, results: list[DeployResult]) -> DeployReport:
        made = cls(devices=tuple(one.as_record() for one in results))
        made._cause = next((one.error for one in results if one.error), None)
        return made

    def check(self) -> None:
        """
        Raises:
            DeviceError: all that failed, with the hint and the exit code of the first.
        """
        failed = [one for one in self.devices if one.error is not None]
        if not failed:
            return
        first = failed[0]
        failure = DeviceError("; ".join(one.error or "" for one in failed), hint=first.hint)
        failure.exit_code = first.exit_code
        raise failure from self._cause
