"""The package without its checkout: a wheel, installed elsewhere, whose stages start in an empty folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("src", "analysis", "pyproject.toml", "README.md", "LICENSE", "NOTICE")
EVERY_MODULE = """
import importlib, pkgutil, sys
import analysis, sslseg
for package in (analysis, sslseg):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if found.name.endswith("__main__"):
            continue
        try:
            module = importlib.import_module(found.name)
        except Exception as error:
            if "ray" not in str(error) and "submitit" not in str(error):  # extras, see executors/
                raise
        else:
            print(module.__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `pip install` has put the package; nothing is fetched."""
    base = tmp_path_factory.mktemp("installed")
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        (base / "source").mkdir(exist_ok=True)
        copy(ROOT / name, base / "source" / name, **({"ignore": ignored} if copy is shutil.copytree else {}))
    words = ["--no-build-isolation", "--no-deps", "--no-index", "--quiet", "--target", str(base / "target")]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *words, str(base / "source")],
        cwd=base, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return base / "target"


def _python(installed: Path, folder: Path, *argv: str) -> str:
    """What Python prints in an empty folder, with the installed package before any other."""
    environment = os.environ | {"PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, *argv], cwd=folder, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_module_is_in_it_and_can_be_imported(installed: Path, tmp_path: Path):
    found = {Path(line) for line in _python(installed, tmp_path, "-c", EVERY_MODULE).splitlines()}
    for root, package in ((ROOT / "src", "sslseg"), (ROOT, "analysis")):
        wanted = {p.relative_to(root) for p in (root / package).rglob("*.py")}
        assert {p.relative_to(installed) for p in installed.glob(f"{package}/**/*.py")} == wanted
        absent = wanted - {p.relative_to(installed) for p in found}
        assert {p.name for p in absent} <= {
            "__main__.py",
            "__init__.py",
            "ray.py",
            "_cluster.py",
            "slurm.py",
        }
    assert all(path.is_relative_to(installed) for path in found)
    assert (installed / "analysis" / "page" / "report.html.j2").is_file()


@pytest.mark.parametrize("stage", ["analyse", "demo", "tryout"])
def test_stages_start_in_an_empty_folder(installed: Path, tmp_path: Path, stage: str):
    printed = _python(installed, tmp_path, "-m", "sslseg", stage, "--help")
    assert printed.startswith(f"usage: sslseg {stage} [--name value …]\n")
    assert not list(tmp_path.iterdir())
