"""The example of a package of its own, installed and run: its method is found, keeps the contract and pretrains."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "sslseg-rotation"
PAGE = (ROOT / "docs" / "how-to" / "extending.md").read_text()
PRETRAIN = """
import json, sys
from sslseg.config import flags, plugins
from sslseg.plans import pipelines
from sslseg.testing import methods

p = methods.settings("rotation")
print(json.dumps({
    "listed": "rotation" in plugins.names("methods"),
    "own": "rotation" in plugins.own("methods"),
    "sentence": str(pipelines.parse("supervised+rotation@target")),
    "file": str(plugins.path("methods", "rotation")),
    "choice": "rotation" in flags.knobs(__import__("sslseg.config.params").config.params.AnyMethod)["method"][1].choices,
}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which the example is installed, as pip does it; nothing is downloaded."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "example"  # a build leaves files beside its source
    source.mkdir()
    for file in EXAMPLE.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            (source / file.relative_to(EXAMPLE)).parent.mkdir(parents=True, exist_ok=True)
            (source / file.relative_to(EXAMPLE)).write_bytes(file.read_bytes())
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index",
               "--quiet", "--target", str(folder), str(source)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "src")])}


def _python(words: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_its_method_is_a_word_like_any_other(installed):
    done = _python(["-c", PRETRAIN], installed)
    assert done.returncode == 0, done.stderr
    assert '"listed": true, "own": false, "sentence": "supervised+rotation@target"' in done.stdout
    assert 'sslseg_rotation/rotation.py"' in done.stdout
    assert '"choice": true' in done.stdout


@pytest.mark.slow
def test_its_method_keeps_the_contract(installed):
    done = _python(
        ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, str(EXAMPLE)], installed
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b12 passed", done.stdout)


def test_the_page_shows_what_is_there():
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", PAGE, re.DOTALL)
    for file in ("sslseg_rotation/rotation.py", "pyproject.toml", "test_contract.py"):
        assert (EXAMPLE / file).read_text() in blocks, file
    code = (EXAMPLE / "sslseg_rotation" / "rotation.py").read_text()
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 40
