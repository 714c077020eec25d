"""The house rules that a reader can rely on, held by reading the imports."""

import ast
import importlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import get_args

import pytest

import edgekit
from edgekit.data.sources import find_sources
from edgekit.engine.artifact import Metadata
from edgekit.runtimes import find_runtimes
from edgekit.stages import find_stages

PACKAGE = Path(edgekit.__file__).parent
HEAVY = {
    "torch", "torchvision", "timm", "tensorflow", "onnx", "onnxruntime", "onnxslim", "openvino",
    "litert_torch", "ai_edge_litert", "ai_edge_quantizer", "nncf", "scipy", "sklearn",
    "torch_pruning", "optuna", "ray",
}  # fmt: skip

OUTPUTS = {"sys.exit", "sys.stdout.write", "sys.stderr.write", "os._exit"}

# A module may import those of lower floors, and nothing above or beside itself but its floor.
FLOORS = [
    {"agent", "discovery", "errors", "evidence", "notebook", "packages", "printable"},
    {"engine", "stats"},
    {"data", "scheduling", "transports"},
    {"models"},
    {"runtimes"},
    {"cycle_model", "evaluation", "inspection"},
    {"build_folder", "pruning", "quantization"},
    {"stages"},
    {"spec"},
    {"devices"},
    {"comparison", "pipeline"},
    {"history", "report", "setup"},
    {"model_search", "server"},
    {"api"},
    {"cli"},
    {"__main__"},
]


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path, top_level_only: bool) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_run_one_way(path: Path) -> None:
    floor = {name: i for i, names in enumerate(FLOORS) for name in names}
    own = room(name_of(path))
    if not own:
        return
    for imported in imports(path, top_level_only=False):
        other = room(imported) if imported.startswith("edgekit.") else ""
        if other in floor and other != own:
            assert floor[other] <= floor[own], f"{own} imports {other}"


def imported_modules(path: Path, known: set[str]) -> set[str]:
    """The package's own files that a file names as it is loaded or as its types are checked."""
    body = ast.parse(path.read_text()).body
    # `if TYPE_CHECKING:` counts: two files that need each other's types are one thought in two.
    nodes = body + [node for branch in body if isinstance(branch, ast.If) for node in branch.body]
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & known - {name_of(path)}


def test_no_file_imports_itself_through_others() -> None:
    """Not for types either. A circle raises CycleError, which names its files."""
    known = {name_of(path) for path in modules()}
    graph = {name_of(path): imported_modules(path, known) for path in modules()}
    assert set(TopologicalSorter(graph).static_order()) == known


def test_a_public_class_has_a_name_of_its_own() -> None:
    places: dict[str, list[str]] = defaultdict(list)
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(name_of(path))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_heavy_libraries_are_imported_inside_functions(path: Path) -> None:
    if "agent" in path.parts:
        return
    top = {name.split(".")[0] for name in imports(path, top_level_only=True)}
    assert not top & HEAVY


def calls(path: Path, *names: str) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr in names:
            yield node


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_text_files_have_an_encoding(path: Path) -> None:
    """Else it is that of the machine's locale, and a build is not found on the next one."""
    if "agent" not in path.parts:
        for call in calls(path, "read_text", "write_text"):
            assert "encoding" in {keyword.arg for keyword in call.keywords}, ast.unparse(call)


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=name_of)
def test_all_that_is_printed_is_made_printable(path: Path) -> None:
    if path.name != "_output.py":
        assert not list(calls(path, "echo", "secho"))


def outputs(path: Path) -> Iterator[str]:
    """The names by which a module would print, or end the process."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name) and node.id in ("print", "exit", "quit"):
            yield node.id
        elif isinstance(node, ast.Raise) and "SystemExit" in ast.unparse(node):
            yield "SystemExit"
        elif isinstance(node, ast.Attribute) and ast.unparse(node) in OUTPUTS:
            yield ast.unparse(node)
    yield from {name.split(".")[0] for name in imports(path, top_level_only=False)} & {
        "click",
        "rich",
    }


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    """Nor does a default argument print. The agent is a program of its own."""
    if room(name_of(path)) not in ("cli", "agent"):
        assert not list(outputs(path))


@pytest.mark.parametrize("folder", ["stages", "runtimes", "data/sources", "transports"])
def test_plugins_never_import_each_other(folder: str) -> None:
    files = [p for p in (PACKAGE / folder).glob("*.py") if not p.stem.startswith("_")]
    names = {p.stem for p in files} - {"base"}
    for path in files:
        for imported in imports(path, top_level_only=False):
            parts = imported.split(".")
            package = ["edgekit", *folder.split("/")]
            depth = len(package)
            inside = parts[:depth] == package and len(parts) > depth
            assert not (inside and parts[depth] in names - {path.stem}), f"{path.name}: {imported}"


def loaded_by(imports: str) -> set[str]:
    words = [sys.executable, "-c", f"import sys, {imports}; print(*sys.modules)"]
    return set(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())


def test_the_command_line_loads_no_heavy_library() -> None:
    assert not HEAVY & loaded_by("edgekit.cli, edgekit.pipeline.plan, edgekit.pipeline.run")


def test_what_shows_a_report_loads_nothing_that_builds_one() -> None:
    found = loaded_by("edgekit.report.render")
    assert not {name for name in found if name.startswith(("edgekit.pipeline", "edgekit.stages"))}


@pytest.mark.parametrize("name", ["agent.py", "classify.py"])
def test_what_runs_elsewhere_imports_nothing_of_edgekit(name: str) -> None:
    found = imports(PACKAGE / "agent" / name, top_level_only=False)
    assert not [name for name in found if name.startswith("edgekit")]


def test_plugins_are_found_by_their_file_names() -> None:
    assert set(find_stages()) >= {"finetune", "quantize", "export"}
    assert set(find_runtimes()) >= {"litert", "onnxruntime"}
    assert set(find_sources()) >= {"elpv", "imagefolder", "python"}


@pytest.mark.parametrize("name", sorted(find_stages()))
def test_every_stage_documents_itself(name: str) -> None:
    stage = find_stages()[name]
    module = sys.modules[stage.__module__]
    assert module.__doc__
    assert module.__doc__.startswith(f"{name}: ")
    assert stage.model_fields["stage"].default == name


@pytest.mark.parametrize("name", sorted(find_runtimes()))
def test_every_runtime_fulfils_its_contract(name: str) -> None:
    runtime = find_runtimes()[name]
    assert runtime.name == name
    assert runtime.file.startswith("model.")
    assert runtime.calibrations
    assert runtime.engine in runtime.libraries
    assert runtime.engine == next(iter(runtime.engine_modules))


def kinds_of_metadata() -> list[type[Metadata]]:
    for path in modules():
        if path.stem != "__main__":
            importlib.import_module(name_of(path))
    found, waiting = [], [Metadata]
    while waiting:
        found += (children := waiting.pop().__subclasses__())
        waiting += children
    return found


def test_what_metadata_may_lack_has_a_default() -> None:
    """The store leaves out what is None; without a default it could not be read again."""
    kinds = kinds_of_metadata()
    assert kinds
    for kind in kinds:
        for name, field in kind.model_fields.items():
            optional = type(None) in get_args(field.annotation)
            assert not (optional and field.is_required()), f"{kind.__name__}.{name}"
