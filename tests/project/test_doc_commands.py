"""What the pages tell to type beside stages: every module, file, extra, target, subcommand and option is there."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import shlex
import tomllib
import warnings
from pathlib import Path
from typing import Any

import pytest

import sslseg
from sslseg import __main__
from sslseg.config import flags
from sslseg.data.folders.pairing.layouts import LAYOUTS
from tests.project.test_readme import ENTRIES, PAGES, blocks, shell_lines

ROOT = Path(__file__).parents[2]
PROGRAMS = ("python ", "pytest ", "pip ", "make ", "mlflow ", "sslseg ")
LANGUAGES = {"bash", "json", "ini", "python", "text", "toml"}  # of these, tests read bash, python and text


def commands() -> list[tuple[str, str]]:
    """Lines of blocks and spans of sentences that begin with a program; `mlflow run` is test_readme's."""
    found = set()
    for page, text in PAGES.items():
        prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.DOTALL | re.MULTILINE)
        spans = [span.replace("\n", " ") for span in re.findall(r"`([^`]+)`", prose)]
        for line in (*shell_lines(text), *"".join(blocks(text, "text")).splitlines(), *spans):
            bare = re.sub(r"^([A-Z_]+=\S+ +)+", "", line)
            if bare.startswith(PROGRAMS) and not bare.startswith("mlflow run"):
                found.add((page, bare))
    return sorted(found)


def options(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--") and " " not in word}


@functools.cache
def extras() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


@functools.cache
def mlflow_cli() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow's own, as it is imported
        return importlib.import_module("mlflow.cli").cli


def mlflow_takes(words: list[str]) -> bool:
    command = mlflow_cli()
    while words and words[0] in getattr(command, "commands", {}):
        command, words = command.commands[words[0]], words[1:]
    known = {word for option in command.params for word in (*option.opts, *option.secondary_opts)}
    return command is not mlflow_cli() and options(words) <= known


def sslseg_takes(words: list[str]) -> bool:
    if words[0].startswith(("-", "<")):
        return words[0] in {"--version", "--help"} or words[0].startswith("<")
    if words[0] in ENTRIES:
        own = (
            {name for cls in ENTRIES.values() for name in flags.knobs(cls)} if words[0] == "pretrain" else ()
        )
        return options(words) <= {f"--{name}" for name in (*flags.knobs(ENTRIES[words[0]]), *own, "help")}
    (subcommands,) = (action for action in __main__._parser()._actions if isinstance(action.choices, dict))
    known = subcommands.choices.get(words[0])
    return known is not None and options(words) <= set(known._option_string_actions)


def is_there(words: list[str]) -> bool:
    match words:
        case ["python", "-m", module, *_]:
            return importlib.util.find_spec(module) is not None
        case ["python", file, *_]:
            return (ROOT / file).is_file()
        case ["pytest", place, *_]:
            return (ROOT / place.partition("::")[0]).exists()
        case ["pip", "install", *rest]:
            return set(re.findall(r"\[(\w+)\]", " ".join(rest))) <= extras()
        case ["make", target, *given]:
            makefile = (ROOT / "Makefile").read_text()
            names = [word.partition("=")[0] for word in given if "=" in word]
            return f"\n{target}:" in makefile and all(
                re.search(rf"\$\((or \$\()?{n}\b", makefile) for n in names
            )
        case ["mlflow", *rest]:
            return mlflow_takes(rest)
        case ["sslseg", *rest]:
            return sslseg_takes(rest)
    return False


def test_every_command_is_there():
    found = commands()
    assert len(found) > 70
    wrong = [(page, line) for page, line in found if not is_there(shlex.split(line, comments=True))]
    assert not wrong


@pytest.mark.parametrize(
    "wrong",
    [
        "python -m benchmarks.nothing",
        "pytest tests/test_nothing.py",
        "pip install -e '.[nothing]'",
        "make nothing",
        "make try NOTHING=1",
        "mlflow nothing",
        "mlflow server --nothing",
        "sslseg nothing",
        "sslseg finetune --nothing 1",
        "sslseg encoders --nothing",
    ],
)
def test_a_wrong_command_is_found(wrong: str):
    assert not is_there(shlex.split(wrong))


def test_blocks_are_of_a_language_that_tests_know():
    """A block of any other would be read by no test."""
    opened = {page: re.findall(r"^ *```(.*)$", text, re.MULTILINE)[::2] for page, text in PAGES.items()}
    assert {language for found in opened.values() for language in found} <= LANGUAGES


def test_python_of_the_pages_is_valid_and_names_public_functions():
    named = set()
    for text in PAGES.values():
        for block in blocks(text, "python"):
            ast.parse(block)
        named |= set(re.findall(r"\bsslseg\.(\w+)\(", text))
    assert named
    assert named <= set(sslseg.__all__)


def test_the_number_of_public_data_sets_is_that_of_the_layouts():
    assert f"[{len(LAYOUTS)} public data sets]" in PAGES["README.md"]
