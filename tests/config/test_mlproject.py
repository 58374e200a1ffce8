"""MLproject is the dataclasses, spelled for MLflow."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
from mlflow.projects import _project_spec

from sslseg import __main__, launch
from sslseg.config import flags, mlproject, params, plugins

ROOT = plugins.PACKAGE.parents[1]
ENTRIES = {name: (script, cls) for name, script, cls in mlproject.entry_points()}


@pytest.fixture(scope="module")
def project() -> _project_spec.Project:
    """MLproject as `mlflow run` reads it."""
    return _project_spec.load_project(str(ROOT))


def test_the_file_is_what_the_dataclasses_say():
    assert (ROOT / "MLproject").read_text() == mlproject.text(), "stale: run `make mlproject`"


def test_every_stage_and_method_is_an_entry_point(project):
    assert set(ENTRIES) == {*params.STAGES, "main", "pretrain_byol", "pretrain_simclr"}
    assert project.name == "sslseg"
    for name in ENTRIES:
        assert project.get_entry_point(name).name == name


@pytest.mark.parametrize("name", list(ENTRIES))
def test_what_mlflow_hands_on_is_understood(name: str, project, tmp_path: Path):
    """Defaults, through MLflow's own substitution and a shell, give the dataclass's own defaults."""
    script, cls = ENTRIES[name]
    entry = project.get_entry_point(name)
    required = {k: "x" for k, p in entry.parameters.items() if p.default is None}
    command = entry.compute_command(required, str(tmp_path))
    words = shlex.split(command)
    python = words.index("python")
    assert (ROOT / words[python + 1]).is_file()
    argv = words[python + 2 + len(script.split()[1:]) :]
    if name == "pretrain":  # every knob is left to the method
        _, method, argv = launch._of_a_method(None, argv)
        cls = plugins.load("methods", method).Params
        assert argv == []
    parsed = flags.parse(cls, argv)
    assert parsed == flags.from_mapping(cls, required)
    flags.resolve(parsed)


@pytest.mark.parametrize("name", list(ENTRIES))
def test_a_knob_that_a_preset_governs_has_no_default_of_its_own(name: str, project):
    """MLproject's defaults always reach the script, so a number there would beat the preset."""
    entry = project.get_entry_point(name)
    table = flags.knobs(ENTRIES[name][1])
    assert list(entry.parameters) == list(table)
    for knob, (_, meta, _) in table.items():
        if meta.presets is not None:
            assert entry.parameters[knob].default == "", knob
            assert f"--{knob} {{{knob}}}" in entry.command


def test_one_entry_point_takes_every_method_and_its_own_knobs(project, tmp_path: Path):
    given = {"method": "simclr", "temperature": "0.5", "data_root": "/a b", "lr": "0.2"}
    words = shlex.split(project.get_entry_point("pretrain").compute_command(given, str(tmp_path)))
    argv = words[words.index("python") + 2 :]
    for form in (argv, [f"{k}={v}" for k, v in zip(argv[::2], argv[1::2], strict=True)]):
        entry, method, own = launch._of_a_method(None, form)
        assert (entry, method) == ("pretrain", "simclr")
        p = flags.parse(plugins.load("methods", method).Params, own)
        assert (p.temperature, p.data_root, p.lr) == (0.5, "/a b", 0.2)
        assert p == plugins.load("methods", "simclr").Params(temperature=0.5, data_root="/a b", lr=0.2)
    assert launch._of_a_method("byol", ["--seed", "1"]) == ("pretrain_byol", "byol", ["--seed", "1"])


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--method", "boyl"], "method: must be one of .*byol.*; not 'boyl'"),
        (["--method=byol", "--temperature=1"], "unknown parameter 'temperature'"),
        (["--method=simclr", "--temprature=1"], "did you mean 'temperature'"),
    ],
)
def test_what_a_method_does_not_know_is_refused_at_once(
    argv, said, monkeypatch, capsys: pytest.CaptureFixture
):
    _in_this_process(monkeypatch)
    with pytest.raises(SystemExit) as ended:
        launch.main("pretrain", argv)
    assert ended.value.code == 2
    assert re.search(said, capsys.readouterr().err)


def test_values_with_spaces_arrive_whole(project, tmp_path: Path):
    command = project.get_entry_point("predict").compute_command(
        {"model": "m", "input": "my images/a b.nii", "output": "o"}, str(tmp_path)
    )
    argv = re.split(r"predict\.py", command)[1]
    assert flags.parse(params.Predict, shlex.split(argv)).input == "my images/a b.nii"


def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage's process takes signals over, and ends its children."""
    for name in ("raise_on_signals", "end_children"):
        monkeypatch.setattr(launch.processes, name, lambda: None)


@pytest.mark.parametrize("name", [name for name in ENTRIES if name != "main"])
def test_help_explains_every_knob(name: str, monkeypatch, capsys: pytest.CaptureFixture):
    _in_this_process(monkeypatch)
    with pytest.raises(SystemExit) as ended:
        __main__.main([name, "--help"])
    printed = capsys.readouterr().out
    assert (ended.value.code, printed[-1]) == (0, "\n")
    assert printed.startswith(f"usage: sslseg {name} [--name value …]\n")
    words = " ".join(printed.split())
    for knob, (field, meta, _) in flags.knobs(ENTRIES[name][1]).items():
        about = words.partition(f" --{knob} ")[2]
        spelled = re.sub(r"\s+", "", meta.help)
        assert spelled in re.sub(r"\s+", "", about)[: len(spelled) + 30], knob
        told = about.partition(" --")[0]
        assert ("required" in told) == (field.default is flags.MISSING), knob
        values = (meta.presets or {"": field.default} if field.default is not flags.MISSING else {}).values()
        assert all(re.sub(r"\s+", "", flags.to_text(v)) in re.sub(r"\s+", "", told) for v in values), knob


@pytest.mark.parametrize("script", sorted((ROOT / "entrypoints").glob("*.py")), ids=lambda path: path.stem)
def test_help_of_an_entry_point_is_its_stage_s(script: Path, monkeypatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    _in_this_process(monkeypatch)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(script), run_name="__main__")
    assert ended.value.code == 0
    begin = "nothing was run: -e names one of" if script.stem == "main" else f"usage: sslseg {script.stem}"
    assert capsys.readouterr().out.startswith(begin)


@pytest.mark.parametrize("name", plugins.names("commands"))
def test_help_of_a_look_up_explains_every_argument(name: str):
    parser = argparse.ArgumentParser()
    plugins.load("commands", name).arguments(parser)
    assert all(action.help for action in parser._actions)


@pytest.mark.parametrize(
    ("given", "code", "error"),
    [
        ([], 0, ""),
        (["--dataset", "acdc"], 2, "sslseg: '--dataset' was given, and no entry point: -e names one\n"),
    ],
)
def test_mlflow_run_without_an_entry_point_says_which_there_are(given, code, error, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["main.py", *given])
    _in_this_process(monkeypatch)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "entrypoints" / "main.py"), run_name="__main__")
    assert ended.value.code == code
    said, told = capsys.readouterr()
    assert told == error
    assert all(f"  {name}" in said for name in ENTRIES if name != "main")
    assert "mlflow run . -e demo --env-manager local" in said
