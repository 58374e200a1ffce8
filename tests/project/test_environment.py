"""conda.yaml, pyproject.toml, MLproject and the Makefile build one and the same environment."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
CONDA = yaml.safe_load((ROOT / "conda.yaml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = next(part["pip"] for part in CONDA["dependencies"] if isinstance(part, dict))
RANGES = {
    canonicalize_name(r.name): r
    for r in map(Requirement, [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]])
}
PAIR = 15  # torchvision is built against one torch: 0.24 against 2.9, 0.29 against 2.14
MODULES = {  # import name -> distribution, where they differ
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "re2": "google-re2",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "xdist": "pytest-xdist",
    "yaml": "pyyaml",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
}
OPTIONAL = {
    "ray",
    "submitit",
    "pydicom",
    "highdicom",
    "SimpleITK",
    "monai",
    "onnxruntime",
    "pytest",
    "_typeshed",  # mypy's alone
}  # extras, imported only when asked for


def pinned() -> dict[str, Version]:
    found = {}
    for pin in map(Requirement, PINS):
        (specifier,) = pin.specifier
        found[canonicalize_name(pin.name)] = Version(specifier.version)
    return found


def test_conda_yaml_is_an_environment_file():
    """The keys and types that conda (and MLflow's virtualenv reader) takes."""
    assert set(CONDA) == {"name", "channels", "dependencies"}
    assert isinstance(CONDA["name"], str)
    assert CONDA["channels"] == ["conda-forge"]
    words = [part for part in CONDA["dependencies"] if isinstance(part, str)]
    assert [part for part in CONDA["dependencies"] if not isinstance(part, str)] == [{"pip": PINS}]
    assert "pip" in words  # conda warns when a pip section has no pip
    (python,) = [word.partition("=")[2] for word in words if word.startswith("python=")]
    assert Version(python) >= Version("3.11")


def test_python_is_wanted_from_3_11():
    assert PROJECT["requires-python"] == ">=3.11"
    assert sys.version_info >= (3, 11)


def test_every_pin_is_exact_and_names_nothing_twice():
    for pin in map(Requirement, PINS):
        assert [s.operator for s in pin.specifier] == ["=="], pin
        assert not pin.url, pin
        assert "*" not in str(pin.specifier), pin
    assert len(pinned()) == len(PINS)


def test_pins_are_the_project_s_dependencies_within_their_ranges():
    assert set(pinned()) == set(RANGES)
    outside = [
        str(RANGES[name]) for name, version in pinned().items() if version not in RANGES[name].specifier
    ]
    assert not outside


def test_torch_and_torchvision_are_a_pair():
    for torch, vision in (
        (pinned()["torch"], pinned()["torchvision"]),
        tuple(min(Version(s.version) for s in RANGES[n].specifier) for n in ("torch", "torchvision")),
    ):
        assert (torch.major, vision.major, vision.minor - torch.minor) == (2, 0, PAIR)
        assert torch.micro == vision.micro


def test_mlflow_stays_below_the_version_that_cannot_be_installed():
    assert Version("3.18.0") not in RANGES["mlflow"].specifier


def test_mlproject_names_conda_yaml():
    project = yaml.safe_load((ROOT / "MLproject").read_text())
    assert project["conda_env"] == "conda.yaml"
    assert "python_env" not in project


def test_mlflow_reads_the_same_pins_for_other_environment_managers():
    """`--env-manager uv` and `virtualenv` build from what this reader finds in conda.yaml."""
    from mlflow.utils.environment import _PythonEnv

    found = _PythonEnv.from_conda_yaml(str(ROOT / "conda.yaml"))
    assert found.dependencies == PINS
    assert found.python.startswith("3.11")


def test_make_setup_extracts_exactly_these_pins():
    """The Makefile's own sed line, run on conda.yaml."""
    makefile = (ROOT / "Makefile").read_text()
    (line,) = re.findall(r"^\t(sed -n .*) > ", makefile, re.MULTILINE)
    out = subprocess.run(["sh", "-c", line.replace("$$", "$")], cwd=ROOT, capture_output=True, text=True)
    assert out.stdout.splitlines() == PINS, out.stderr


def imported(folder: str) -> set[str]:
    """Top-level modules that the files below `folder` import, wherever in the file."""
    found: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("folder", ["src", "analysis", "entrypoints", "tests"])
def test_whatever_is_imported_is_declared(folder: str):
    own = {"sslseg", "analysis", "entrypoints", "benchmarks", "tests", "team"}
    declared = {canonicalize_name(Requirement(r).name) for r in PROJECT["dependencies"]} | {"packaging"}
    if folder == "tests":  # which may import what `make setup` installs, and skip without what it does not
        declared |= set(RANGES) | {"playwright", "lightly"}
    third = imported(folder) - set(sys.stdlib_module_names) - own - OPTIONAL
    missing = {name for name in third if canonicalize_name(MODULES.get(name, name)) not in declared}
    assert not missing


@pytest.mark.parametrize("folder", ["src", "analysis", "entrypoints", "team", "benchmarks"])
def test_the_encoding_of_a_text_is_said(folder: str):
    """Else it is that of the user's language settings: a page with a dash could not be written, or is not what was meant."""
    silent = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", "") in ("read_text", "write_text")
        and "encoding" not in {keyword.arg for keyword in node.keywords}
    ]
    assert silent == []


def test_runs_of_tests_stay_out_of_the_checkout_s_own_store():
    """`make test` beside a demo must not put its encoders into what `sslseg encoders` lists."""
    runs, names = (
        re.compile(r"\btiny\.run\("),
        re.compile(r'"store"|[(, ]store(: str)?[,)]|\bteam_as\b|\bapi: MlflowClient'),
    )
    texts = {path: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    assert [
        str(p.relative_to(ROOT)) for p, t in texts.items() if runs.search(t) and not names.search(t)
    ] == []
