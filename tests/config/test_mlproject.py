"""MLproject is the dataclasses, spelled for MLflow."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from mlflow.projects import _project_spec

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
    methods = {f"pretrain_{name}" for name in plugins.names("methods")}
    assert set(ENTRIES) == {*params.STAGES, "main", *methods} - {"pretrain"}
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


def test_values_with_spaces_arrive_whole(project, tmp_path: Path):
    command = project.get_entry_point("predict").compute_command(
        {"model": "m", "input": "my images/a b.nii", "output": "o"}, str(tmp_path)
    )
    argv = re.split(r"predict\.py", command)[1]
    assert flags.parse(params.Predict, shlex.split(argv)).input == "my images/a b.nii"
