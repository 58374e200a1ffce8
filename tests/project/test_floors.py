"""Floors: what each file may import, read from the source; and what stays importable without torch."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from sslseg.config import plugins

PACKAGE = plugins.PACKAGE
ROOT = PACKAGE.parents[1]
STANDARD = {"config", "plans"}
TRACKS = {"tracking"}
LEARNS = {"data", "datasets", "models", "training", "methods", "scoring", "annotation", "testing"}
MEET = {"launch", "start", "execute", "api", "__init__", "__main__", "stages", "executors", "commands"}
LEARNING = {"torch", "torchvision", "timm", "segmentation_models_pytorch", "safetensors"}
TRACKING = {"mlflow", "sqlalchemy"}
STATISTICS = {"numpy", "scipy", "tqdm"}
FILES = sorted([*PACKAGE.rglob("*.py"), *ROOT.glob("analysis/**/*.py"), *ROOT.glob("entrypoints/*.py")])


def imports(path: Path) -> set[str]:
    """Every module that a file imports anywhere, also inside functions; relative ones made absolute."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import, line {node.lineno}"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


def place(path: Path) -> str:
    """The name below the package that decides a file's floor: a module or a folder."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def below(names: set[str], prefix: str = "sslseg") -> set[str]:
    """Second parts of the imports that start with `prefix`."""
    return {n.split(".")[1] for n in names if n.startswith(prefix + ".")}


def tops(names: set[str]) -> set[str]:
    return {n.split(".")[0] for n in names}


def modules(places: set[str]) -> list:
    found = [f for f in FILES if f.is_relative_to(PACKAGE) and place(f) in places]
    return [pytest.param(f, id=str(f.relative_to(PACKAGE))) for f in found]


def test_every_file_has_a_floor():
    known = STANDARD | TRACKS | LEARNS | MEET
    astray = {place(f) for f in FILES if f.is_relative_to(PACKAGE)} - known
    assert not astray, f"{astray}: say in tests/project/test_floors.py on which floor they are"
    assert not {n for n in known if not (PACKAGE / n).is_dir() and not (PACKAGE / f"{n}.py").is_file()}


@pytest.mark.parametrize("path", modules(STANDARD))
def test_config_and_plans_import_the_standard_library(path: Path):
    used = imports(path)
    assert tops(used) <= {*sys.stdlib_module_names, "_typeshed", "sslseg"}  # and its types
    assert below(used) <= STANDARD


@pytest.mark.parametrize("path", modules(TRACKS))
def test_tracking_does_not_know_that_it_is_machine_learning(path: Path):
    used = imports(path)
    assert not tops(used) & LEARNING
    assert below(used) <= STANDARD | TRACKS


@pytest.mark.parametrize("path", modules(LEARNS))
def test_machine_learning_does_not_know_that_it_is_tracked(path: Path):
    used = imports(path)
    assert not tops(used) & TRACKING
    assert below(used) <= STANDARD | LEARNS


def test_who_may_import_stages():
    """Only who runs stages does, so that mlflow and torch meet nowhere else; entry points reach them by start and launch."""
    for path in ROOT.glob("entrypoints/*.py"):
        own = {n for n in imports(path) if n.startswith("sslseg")}
        assert own == {"sslseg.start", "sslseg.start.main"}
    for path in FILES:
        assert "entrypoints" not in tops(imports(path)), path


def test_analysis_reads_the_store_and_never_torch():
    for path in ROOT.glob("analysis/**/*.py"):
        used = imports(path)
        assert not tops(used) & LEARNING, path
        assert below(used) <= STANDARD | TRACKS, path


def test_statistics_are_pure():
    for path in ROOT.glob("analysis/statistics/**/*.py"):
        used = imports(path)
        assert tops(used) <= set(sys.stdlib_module_names) | STATISTICS | {"analysis"}, path
        assert below(used, "analysis") <= {"statistics"}, path


# Each may import those before it. `sslseg` is the package's own __init__, which hands names on to notebooks.
ORDER = (
    "config", "plans", "tracking", "data", "datasets", "models", "training", "methods", "scoring", "annotation", "testing",
    "analysis", "execute", "stages", "executors", "commands", "launch", "start", "api", "sslseg", "__main__",
)  # fmt: skip
MODULES = {
    ".".join(f.relative_to(base).with_suffix("").parts).removesuffix(".__init__"): f
    for base, package in ((PACKAGE.parent, "sslseg"), (ROOT, "analysis"))
    for f in (base / package).rglob("*.py")
}


def arrows() -> dict[str, set[str]]:
    """Module -> modules that it imports anywhere, but for annotations alone."""
    found = {}
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text())
        typed = [
            n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"
        ]
        for node in typed:
            node.body = [ast.Pass()]
        found[name] = {
            module if module in MODULES else node.module
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for module in (f"{node.module}.{alias.name}" for alias in node.names)
        } | {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    return {name: (used & MODULES.keys()) - {name} for name, used in found.items()}  # fmt: skip


def room(module: str) -> str:
    """What of ORDER a module belongs to."""
    parts = module.split(".")
    return parts[min(len(parts) - 1, 1)] if parts[0] == "sslseg" else parts[0]


def test_no_circle_of_files():
    assert len(tuple(graphlib.TopologicalSorter(arrows()).static_order())) == len(MODULES)


def test_no_import_runs_back_up():
    assert {room(module) for module in MODULES} == set(ORDER)
    rank = {name: place for place, name in enumerate(ORDER)}
    found = {(one, other) for one, used in arrows().items() for other in used if room(one) != room(other)}
    assert not {(one, other) for one, other in found if rank[room(other)] > rank[room(one)]}
    assert len(found) > 100  # the reading of the sources does find imports


def test_the_tree_is_seen_at_a_glance():
    """At most six modules in the package's root, at most twelve files in any folder."""
    inside = [f for f in MODULES.values() if f.name != "__init__.py"]
    sizes = Counter(f.parent for f in inside)
    assert sizes[PACKAGE] <= 6
    assert max(sizes.values()) <= 12, sizes.most_common(3)


# Only finding torch fails: scipy asks sys.modules for it, and takes an entry for an import that worked.
WITHOUT = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused}:
            raise ImportError(f"{{name}} is not here")
sys.meta_path.insert(0, Refuse())
sys.path[:0] = ["src", "."]
"""


def _python(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)


def test_plug_ins_are_importable_where_torch_is_not():
    code = """
from sslseg.config import mlproject, plugins
from sslseg.plans import cells, studies
for folder in ("datasets", "methods"):
    for name in plugins.names(folder):
        plugins.load(folder, name)
"""
    done = _python(WITHOUT.format(refused=LEARNING | TRACKING) + code)
    assert done.returncode == 0, done.stderr


def test_analysis_runs_without_torch():
    code = """
import importlib, pkgutil
import analysis
for found in pkgutil.walk_packages(analysis.__path__, "analysis."):
    if not found.name.endswith("__main__"):
        importlib.import_module(found.name)
"""
    done = _python(WITHOUT.format(refused=LEARNING) + code)
    assert done.returncode == 0, done.stderr


def test_a_sweep_on_cpus_is_driven_without_torch():
    """Its workers import it; the driver would wait two seconds for nothing."""
    code = """
from sslseg.config import flags, params
from sslseg.executors import local
from sslseg.stages import sweep
from sslseg.training import devices
p = flags.resolve(params.Sweep(device="cpu", workers=1))
print(local.places(p), local.devices(p), devices.name(p))
"""
    done = _python(WITHOUT.format(refused=LEARNING) + code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-2:] == ["0", "cpu"]
