"""From a command line into a stage: every way out closes the run and says why in one line."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from sslseg import execute, launch
from sslseg.config import caches, flags, names, params, plugins
from sslseg.plans import cells
from sslseg.tracking import session

PREDICT = ["--model", "0" * 32, "--input", __file__, "--output", "o"]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, store: str) -> SimpleNamespace:
    """A stage of this test's own in the place of `predict`."""
    module = SimpleNamespace(run=lambda p, run: None, TOLD=())
    monkeypatch.setattr(execute, "stage_module", lambda name: module)
    return module


def _main(*argv: str) -> int:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        with pytest.raises(SystemExit) as exit:
            launch.main("predict", [*PREDICT, *argv])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return exit.value.code


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (None, 0, "FINISHED"),
        (SystemExit(0), 0, "FINISHED"),
        (names.EncoderError("no such encoder"), 1, "FAILED"),
        (names.LeakError("saw test data"), 3, "FAILED"),
        (names.ParamError("beyond the end"), 2, "FAILED"),
        (ZeroDivisionError("x"), 1, "FAILED"),
        (ImportError("no torch"), 1, "FAILED"),
    ],
)
def test_exit_codes(api, stage, monkeypatch, capsys, error, code: int, status: str):
    seen = []

    def run(p, run):
        seen.append(run.id)
        if error:
            raise error

    stage.run = run
    monkeypatch.setenv("MLFLOW_RUN_ID", api.create_run("0").info.run_id)
    assert _main() == code
    assert api.get_run(seen[0]).info.status == status
    printed = capsys.readouterr().err
    assert printed.count("\n") == (1 if isinstance(error, Exception) else 0)
    assert str(error or "") in printed or isinstance(error, SystemExit)


def test_a_run_to_adopt_that_is_not_there(stage, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    assert _main() == 1
    assert "MLFLOW_RUN_ID names it" in capsys.readouterr().err


def test_cells_and_stages_by_hand_carry_the_same_parameters_and_tags(api, stage, monkeypatch):
    given = api.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", given)
    assert _main("--batch_size", "4") == 0
    p = flags.resolve(flags.parse(params.Predict, [*PREDICT, "--batch_size=4"]))
    with session.open_run("sweep") as sweep:
        cell = execute.execute("predict", p, parent_run_id=sweep.id, name="cell")
    hand, warm = api.get_run(given).data, api.get_run(cell).data
    assert hand.params == warm.params == {f"cfg.{k}": v for k, v in flags.texts(p).items()}
    own = {k for k in hand.tags if k.startswith("sslseg.")}
    assert {k for k in warm.tags if k.startswith("sslseg.")} - own == {names.TAG_SWEEP}
    assert warm.tags["mlflow.parentRunId"] == warm.tags[names.TAG_SWEEP] == sweep.id


def test_the_same_command_again_resumes(api, stage, tmp_cache: Path, capsys):
    p = flags.resolve(flags.parse(params.Predict, [*PREDICT, "--cache", str(tmp_cache)]))
    stage.identify = lambda p: "one identity"
    stage.fill = lambda p: p
    seen = []

    def run(p, run):
        seen.append(run.id)
        folder = caches.checkpoint_folder(tmp_cache, run.id)
        if not folder.exists():
            folder.mkdir(parents=True)
            (folder / "step").touch()
            raise MemoryError("lost")

    stage.run = run
    with pytest.raises(MemoryError):
        execute.execute("predict", p)
    assert execute.execute("predict", p) == seen[0]
    assert seen[1] == seen[0]
    assert f"going on with run {seen[0]}" in capsys.readouterr().out
    assert api.get_run(seen[0]).info.status == "FINISHED"
    assert session.find("one identity") == seen[0]


def test_relative_folders_mean_where_mlflow_run_was_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
):
    """It starts a stage in the project's folder, which for an address is a clone that is thrown away."""
    project = plugins.PACKAGE.parents[1]
    monkeypatch.chdir(project)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["src", ".", "/lib", ""]))
    launcher = SimpleNamespace(cwd=lambda: str(tmp_path))
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
    launch._stand_with(launcher)
    assert Path.cwd() == project  # by hand
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "0")
    launch._stand_with(launcher)
    assert Path.cwd() == tmp_path
    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(project / "src"), str(project), "/lib"]
    assert f"are read from {tmp_path}, where `mlflow run` was started" in capsys.readouterr().out
    launch._stand_with(SimpleNamespace(cwd=lambda: str(project)))
    assert Path.cwd() == tmp_path  # not in the project: nobody has put this process there


def test_the_same_command_of_another_process_is_refused(api, stage):
    """Both would write the same masks; another folder, or a process that is dead, is another matter."""
    p = flags.resolve(flags.parse(params.Predict, PREDICT))
    stage.run = lambda p, run: None
    first = execute.execute("predict", p)
    mark = api.get_run(first).data.tags[names.TAG_COMMAND]
    assert execute.execute("predict", p)  # one after the other
    api.update_run(first, status="RUNNING")
    api.set_tag(first, names.TAG_PROCESS, "elsewhere:1:0")
    api.set_tag(first, names.TAG_HEARTBEAT, f"{time.time():.3f}")
    with pytest.raises(
        names.SslsegError, match=f"run {first} of process 1 on elsewhere does the same predict"
    ):
        execute.execute("predict", p)
    other = execute.execute("predict", dataclasses.replace(p, output="elsewhere"))
    assert api.get_run(other).data.tags[names.TAG_COMMAND] != mark
    api.set_tag(first, names.TAG_HEARTBEAT, "1000")
    assert execute.execute("predict", p)
    api.set_terminated(first)


def test_system_metrics_are_switched_on_by_mlflow_s_own_variable(api, stage, monkeypatch: pytest.MonkeyPatch):
    def measured(run_id: str) -> set[str]:
        return {key for key in api.get_run(run_id).data.metrics if key.startswith("system/")}

    def run(p, run):
        until = time.monotonic() + 60
        while not measured(run.id) and time.monotonic() < until:
            pass

    p = flags.resolve(flags.parse(params.Predict, PREDICT))
    stage.run = lambda p, run: None
    assert measured(execute.execute("predict", p)) == set()
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.05")
    stage.run = run
    found = measured(execute.execute("predict", p))
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= found


def test_methods_bring_their_own_parameters():
    with pytest.raises(names.ParamError, match="method: must be one of .*byol"):
        cells.parameters_of("pretrain", "byool")
    assert issubclass(cells.parameters_of("pretrain", "byol"), params.Pretrain)
    with pytest.raises(names.ParamError, match="stage: must be one of"):
        cells.parameters_of("finetun")


def test_a_stage_without_a_cache_of_its_own_ends_well(api, stage):
    p = flags.resolve(flags.from_mapping(params.STAGES["analyse"], {"dataset": "acdc", "out": "x"}))
    assert api.get_run(execute.execute("analyse", p)).info.status == "FINISHED"


@pytest.mark.parametrize(
    ("stage", "given", "wanted"),
    [
        ("sweep", {"study": "paper-cpu"}, "sweep paper-cpu"),
        (
            "finetune",
            {"dataset": "acdc", "encoder": "scratch", "budget": "30", "seed": "2"},
            "finetune acdc n=30 seed=2",
        ),
        ("finetune", {"dataset": "acdc", "encoder": "scratch"}, "finetune acdc n=all seed=0"),
        ("tune", {"dataset": "acdc", "encoder": "scratch", "budget": "7"}, "tune finetune acdc n=7"),
        ("import_encoder", {"source": "file:/home/me/enc.pth"}, "import_encoder enc.pth"),
        ("analyse", {}, "analyse"),
    ],
)
def test_a_run_that_nobody_named_says_what_it_is(stage: str, given: dict[str, str], wanted: str) -> None:
    p = flags.resolve(flags.from_mapping(params.STAGES[stage], given))
    assert execute.title(stage, p) == wanted
