"""Make the files that are compared, each in a process of its own, and keep what was learned."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

from edgekit.engine.action import library_versions
from edgekit.engine.artifact import Artifact, Json, digest_of
from edgekit.engine.atomic import write_atomically
from edgekit.engine.observer import Silent
from edgekit.engine.step import Step
from edgekit.engine.store import Store
from edgekit.errors import ConfigError, EdgekitError
from edgekit.pipeline.plan import Plan
from edgekit.pipeline.run import execute
from edgekit.runtimes import find_runtimes
from edgekit.runtimes.contract.input_form import InputForm
from tests.benchmarks.comparison.peers import FLOATS, QUANTIZERS, Family, Peer
from tests.benchmarks.comparison.subjects import Given, Subject, prepare
from tests.benchmarks.comparison.trained_peers import TRAINED

LIBRARIES = (
    "torch", "timm", "onnx", "onnxruntime", "onnxscript", "nncf", "openvino", "litert-torch",
    "ai-edge-litert", "ai-edge-quantizer", "torchao", "torch-pruning",
)  # fmt: skip
FACTS = "facts.json"
RUNTIMES = ("onnxruntime", "litert", "openvino")


@dataclass(frozen=True)
class Ours:
    """A row that edgekit makes, on every runtime, from a recipe."""

    name: str
    quantize: Json
    before: tuple[Json, ...] = ()
    """Stages between the training and quantize."""
    family: Family = "ptq"
    on: tuple[str, ...] | None = None


OURS = (
    Ours("edgekit, method: ptq", {"method": "ptq"}),
    Ours("edgekit, method: auto", {"method": "auto"}),
)


@dataclass(frozen=True)
class Row:
    """One file: a model, who makes it, and what runs it."""

    subject: Subject
    maker: Peer | Ours
    runtime: str

    @property
    def id(self) -> str:
        """Names its folder."""
        plain = "".join(c if c.isalnum() else "-" for c in self.maker.name.lower())
        return "-".join([*filter(None, plain.split("-")), self.runtime])


class Facts(BaseModel):
    """What is known of a file once it was made, or why there is none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    name: str
    runtime: str
    family: Family
    ours: bool
    fingerprint: str
    """Changes with the code that makes it, the libraries, the model and the images."""
    date: str
    lines: int
    language: str
    path: str | None = None
    bytes: int = 0
    seconds: float = 0.0
    form: InputForm | None = None
    error: str | None = None


def rows_of(subject: Subject) -> list[Row]:
    peers = [Row(subject, peer, peer.runtime) for peer in (*FLOATS, *QUANTIZERS, *TRAINED)]
    ours = [Row(subject, recipe, runtime) for recipe in OURS for runtime in RUNTIMES]
    return [row for row in peers + ours if row.maker.on is None or subject.name in row.maker.on]


def read_facts(folder: Path) -> Facts | None:
    path = folder / FACTS
    return Facts.model_validate_json(path.read_text()) if path.is_file() else None


def make_all(rows: Iterable[Row], work: Path, command: list[str]) -> None:
    """Make what is not made yet. A file that cannot be made is tried again next time.

    Args:
        command: this program, to which `one SUBJECT ROW` is added.
    """
    for row in rows:
        start = time.perf_counter()
        folder = work / row.subject.name / row.id
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log.txt").open("w") as log:
            words = [sys.executable, *command, "one", row.subject.name, row.id]
            code = subprocess.run(words, stdout=log, stderr=log, check=False).returncode
        if code:
            log_end = (folder / "log.txt").read_text().strip().splitlines()[-1:]
            _keep(folder, row, "", error=f"exit code {code}: {''.join(log_end)}")
        facts = read_facts(folder)
        said = facts.error or f"{facts.bytes / 1e6:.2f} MB" if facts else "nothing"
        seconds = time.perf_counter() - start
        print(f"{row.subject.name}  {row.id}  {seconds:.0f} s  {said}", flush=True)


def make_one(row: Row, work: Path, store: Store, fresh: bool) -> None:
    """Make one file, unless it is there and nothing has changed.

    Args:
        fresh: make it in any case, and let edgekit run its steps though they are cached.
    """
    folder = work / row.subject.name / row.id
    given = prepare(row.subject, store)
    make = _make_ours if isinstance(row.maker, Ours) else _make_peers
    try:
        make(row, given, folder, store, fresh)
    except ConfigError as error:
        told = "; ".join(f"{problem.where}: {problem.message}" for problem in error.problems)
        _keep(folder, row, "", error=f"not in this version of edgekit: {told}")
    except EdgekitError as error:
        _keep(folder, row, "", error=f"{type(error).__name__}: {error.message}")
    except Exception as error:
        traceback.print_exc()
        _keep(folder, row, "", error=f"{type(error).__name__}: {str(error).strip()}")


def _make_peers(row: Row, given: Given, folder: Path, store: Store, fresh: bool) -> None:
    peer = row.maker
    assert isinstance(peer, Peer)
    fingerprint = fingerprint_of(peer, given)
    if _is_made(folder, fingerprint) and not fresh:
        return
    _ = given.model, given.calibration, given.train if peer.family in ("pruned", "qat") else None
    (folder / FACTS).unlink(missing_ok=True)  # they tell of a file that is written over now
    start = time.perf_counter()
    path = peer.make(given, folder)
    seconds = time.perf_counter() - start
    if peer.floats:
        peer.floats(path)
    _keep(folder, row, fingerprint, path=path, seconds=seconds, form=given.form)


def fingerprint_of(peer: Peer, given: Given) -> str:
    """Changes with the code of a peer, the libraries, the model and the images."""
    code = [ast.dump(ast.Module(_body(part), [])) for part in (peer.make, *peer.helpers)]
    contents = [given.artifacts[name].digest for name in ("float", "images/calibration")]
    return digest_of([code, library_versions(LIBRARIES), contents, given.subject.quick])


def _make_ours(row: Row, given: Given, folder: Path, store: Store, fresh: bool) -> None:
    ours = row.maker
    assert isinstance(ours, Ours)
    recipe = row.subject.with_stages(ours.before, ours.quantize)
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    plan = row.subject.plan(recipe, row.runtime, store)
    last = plan.targets[0].rows[-1]
    own = _own_steps(plan, last.model)
    if fresh:
        plan = row.subject.plan(recipe, row.runtime, store, force=own[:1])
    fingerprint = digest_of([{s.id: s.key for s in plan.steps}[last.model], row.subject.quick])
    if _is_made(folder, fingerprint) and not fresh:
        return
    build = execute(plan, store, Silent())
    faults = [*build.targets[0].faults, *build.targets[0].left_out.values()]
    if faults:
        _keep(folder, row, fingerprint, error=f"edgekit refuses it: {'; '.join(faults)}")
        return
    model = build.artifacts[last.model]
    seconds = sum(found.seconds for step, found in build.artifacts.items() if step in own)
    form = InputForm.model_validate(model.metadata["form"])
    path = _main_file(model, row.runtime)
    _keep(folder, row, fingerprint, path=path, seconds=seconds, form=form)


def _own_steps(plan: Plan, model: str) -> tuple[str, ...]:
    """The steps that lead to a file, but for the training and the decoding, which all share."""
    steps: dict[str, Step] = {step.id: step for step in plan.steps}

    def above(name: str) -> list[str]:
        return [*(part for i in steps[name].inputs.values() for part in above(i)), name]

    shared = set(above("reference"))
    own = dict.fromkeys(above(model))
    return tuple(n for n in own if n not in shared and not n.startswith(("images/", "splits")))


def _main_file(model: Artifact, runtime: str) -> Path:
    return model.file(find_runtimes()[runtime].file)


def _is_made(folder: Path, fingerprint: str) -> bool:
    facts = read_facts(folder)
    if facts is None or facts.error or facts.path is None:
        return False
    return facts.fingerprint == fingerprint and Path(facts.path).is_file()


def _keep(
    folder: Path,
    row: Row,
    fingerprint: str,
    path: Path | None = None,
    seconds: float = 0.0,
    form: InputForm | None = None,
    error: str | None = None,
) -> None:
    ours = isinstance(row.maker, Ours)
    facts = Facts(
        subject=row.subject.name,
        name=row.maker.name,
        runtime=row.runtime,
        family=row.maker.family,
        ours=ours,
        fingerprint=fingerprint,
        date=datetime.now(UTC).date().isoformat(),
        lines=_lines_written(row),
        language="YAML" if ours else "Python",
        path=path and str(path),
        bytes=_size(path, row.runtime) if path else 0,
        seconds=seconds,
        form=form,
        error=error,
    )
    write_atomically(folder / FACTS, facts.model_dump_json(indent=1))


def _size(path: Path, runtime: str) -> int:
    parts = [path, path.with_suffix(".bin")] if runtime == "openvino" else [path]
    return sum(part.stat().st_size for part in parts)


def _lines_written(row: Row) -> int:
    """What a user writes: the whole recipe, or the bodies of a peer's functions."""
    maker = row.maker
    if isinstance(maker, Ours):
        recipe = row.subject.with_stages(maker.before, maker.quantize)
        return len(yaml.safe_dump(recipe, sort_keys=False).splitlines())
    return sum(body_lines(part) for part in (maker.make, *maker.helpers))


def body_lines(function: Callable[..., Any]) -> int:
    """Lines of a function's body, without its docstring, comments and blank lines."""
    body = _body(function)
    lines = _source(function).splitlines()[body[0].lineno - 1 :]
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


def _source(function: Callable[..., Any]) -> str:
    return textwrap.dedent(inspect.getsource(function))


def _body(function: Callable[..., Any]) -> list[ast.stmt]:
    definition = ast.parse(_source(function)).body[0]
    assert isinstance(definition, ast.FunctionDef)
    return definition.body[1:] if ast.get_docstring(definition) else definition.body
