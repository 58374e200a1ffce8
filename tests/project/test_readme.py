"""Every command, word and snippet of the README, tried without running a stage."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sslseg import __main__, execute
from sslseg.config import flags, mlproject, names, params, plugins
from sslseg.plans import cells, pipelines, studies

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PAGES = {"README.md": README} | {p.name: p.read_text() for p in sorted((ROOT / "docs").rglob("*.md"))}
ENTRIES = {name: cls for name, _, cls in mlproject.entry_points()}


def section(title: str) -> str:
    return re.split(r"^## ", README.partition(f"\n## {title}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def shell_lines(text: str) -> list[str]:
    """Commands of the bash blocks, continuation lines joined, comments gone."""
    joined = "\n".join(blocks(text, "bash")).replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def stage_commands(text: str) -> list[str]:
    """All `mlflow run . -e …` lines, and the `-e … -P …` of tables and sentences."""
    spans = [s.replace("\n", " ") for s in re.findall(r"`(-e [^`]+)`", text)]
    return [c for c in [*shell_lines(text), *spans] if "mlflow run" in c or c.startswith("-e ")]


COMMANDS = [(page, command) for page, text in PAGES.items() for command in stage_commands(text)]


@pytest.mark.parametrize(("page", "command"), COMMANDS)
def test_commands_are_understood(page: str, command: str):
    words = shlex.split(command, comments=True)
    if "mlflow" in words:
        assert words[words.index("--env-manager") + 1] == "local", "the documented way"
    if "<" in command or "…" in command:
        return  # a pattern, not a command
    entry = words[words.index("-e") + 1]
    assert entry in ENTRIES
    given = dict(w.split("=", 1) for flag, w in zip(words, words[1:], strict=False) if flag == "-P")
    required = {
        k: "x"
        for k, (f, m, _) in flags.knobs(ENTRIES[entry]).items()
        if f.default is flags.MISSING and m.presets is None
    }
    p = flags.resolve(flags.from_mapping(ENTRIES[entry], required | given))
    if isinstance(p, params.Sweep):
        assert cells.cells(studies.fill(p))


def test_there_are_commands_to_test():
    assert sum(page == "README.md" for page, _ in COMMANDS) > 10
    assert len(COMMANDS) > 60


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page: str):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^make ([\w-]+)", "\n".join(shell_lines(PAGES[page])), re.MULTILINE))
    named |= set(re.findall(r"`make ([\w-]+)`", PAGES[page]))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES)
def test_subcommands_exist(page: str):
    parser = __main__._parser()
    lines = [line for line in shell_lines(PAGES[page]) if line.startswith(("sslseg ", "python -m sslseg "))]
    for line in lines:
        words = shlex.split(line, comments=True)
        parser.parse_args(words[words.index("sslseg") + 1 :])
    for name in re.findall(r"`sslseg (\w+)", PAGES[page]):
        assert name in {*plugins.names("commands"), *__main__.STAGES}


def test_the_table_of_pipelines_says_what_they_are():
    """Names, kinds and the entry points of every step."""
    table = page("reference/pipelines.md")
    found = re.findall(r"^\| `([^`]+)` \| (\w+).*?\| (.*) \|$", table, re.MULTILINE)
    assert [name for name, _, _ in found] == list(studies.SEVEN)
    for name, kind, steps in found:
        row = pipelines.parse(name)
        entries = re.findall(r"-e (\w+)", steps)
        stages = ["pretrain" if e.startswith("pretrain_") else e for e in entries]
        assert kind == row.kind
        assert stages == [*(hop.stage for hop in row.hops), names.FINETUNE]


def test_every_dataset_has_a_row():
    table = re.findall(
        r"^\| (`[^|]+) \|",
        page("reference/data.md").partition("| dataset | what lies")[2].partition("\n\n")[0],
        re.MULTILINE,
    )
    listed = [name for cell in table for name in re.findall(r"`(\w+)`", cell)]
    assert sorted(listed) == sorted(plugins.names("datasets"))


def test_presets_are_those_of_the_code():
    text = re.sub(r"\s+", " ", section("ACDC, a GPU, a cluster"))
    for word, cls in {
        "Pretraining": plugins.load("methods", "byol").Params,
        "Fine-tuning": params.Finetune,
    }.items():
        sentence = text.partition(f"{word}: ")[2].partition(". ")[0]
        assert tuple(re.findall(r"`([\w-]+)`", sentence)) == flags.knobs(cls)["preset"][1].choices


def test_exit_codes_are_those_of_the_code():
    table = dict(re.findall(r"^\| ([\d, ]+) \| (.*) \|$", page("reference/exit-codes.md"), re.MULTILINE))
    codes = [int(code) for cell in table for code in cell.split(",")]
    known = [0, names.EXIT_FAILED, names.EXIT_USAGE, names.EXIT_LEAK]
    assert codes == [*known, 128 + signal.SIGHUP, execute.EXIT_INTERRUPTED, execute.EXIT_TERMINATED]


def test_the_map_names_what_is_there():
    (text,) = blocks(page("reference/map.md"), "text")
    paths = [line.split()[0] for line in text.splitlines()]
    assert all((ROOT / path).exists() for path in paths)
    folders = {p.name for p in (ROOT / "src" / "sslseg").iterdir() if (p / "__init__.py").is_file()}
    assert folders == {Path(path).name for path in paths if path.startswith("src/") and path.endswith("/")}


def test_every_dependency_has_its_reason_and_no_other():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    table = re.findall(r"^\| ([A-Za-z][\w-]*) \| (.+) \|$", page("reference/dependencies.md"), re.MULTILINE)
    listed = [name for name, _ in table if name != "package"]
    assert sorted(listed) == sorted(Requirement(w).name for w in wanted)


def test_the_result_is_between_its_marks():
    text = README
    assert text.index("<!-- result: begin") < text.index("<!-- result: end -->")


def test_nothing_of_this_machine_is_named():
    for page, text in PAGES.items():
        assert not re.search(r"/(root|work|tmp|home)/", text), page


@pytest.fixture
def filled_store(store: str, tmp_path: Path) -> str:
    """One registered encoder, as a pretraining leaves it."""
    from sslseg.models import encoder
    from sslseg.tracking import session
    from sslseg.tracking.registry import resolve

    net = encoder.build("test_efficientnet", 1, seed=0)
    law = {"mean": [0.5], "std": [0.5]}
    encoder.save(
        net, tmp_path / "e", architecture="test_efficientnet", channels=1, normalisation=law, extra={}
    )
    with session.open_run(
        names.PRETRAIN, tags={names.TAG_METHOD: "byol", names.TAG_DATASET: "photos"}
    ) as run:
        resolve.log_encoder(
            run, tmp_path / "e", name="encoder-test", role="target", method="byol", epoch=None, step=1,
            dataset="photos", lineage="byol@photos", card="# Card",
        )  # fmt: skip
        run.log({"train/loss": 1.0}, 1)
    return store


def test_the_notebook_snippet_runs(filled_store: str):
    (snippet,) = blocks(README, "python")
    found: dict = {}
    exec(compile(snippet, "README.md", "exec"), found)
    assert found["curves"]["key"].tolist() == ["train/loss"]
    assert [hop.name for hop in found["stages"]] == ["byol@photos"]


@pytest.mark.parametrize("target", ["setup", "demo", "test", "ui"])
def test_make_knows_how(target: str, tmp_path: Path):
    """A dry run in a folder without an environment: make setup comes first, always."""
    for file in ("Makefile", "conda.yaml", "pyproject.toml"):
        (tmp_path / file).write_bytes((ROOT / file).read_bytes())
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    out = subprocess.run(
        ["make", "--dry-run", target], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert out.returncode == 0, out.stderr
    assert "-m venv .venv" in out.stdout
