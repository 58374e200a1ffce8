"""From a command line into a stage: every way out closes the run and says why in one line."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow import MlflowClient

from sslseg import execute, launch
from sslseg.config import caches, flags, names, params, plugins
from sslseg.plans import cells
from sslseg.tracking import ownership, session

PREDICT = ["--model", "0" * 32, "--input", __file__, "--output", "o"]
# A stage that says that it runs, starts a child, and then waits for ever.
WAITING = f"""
import signal, subprocess, sys, types
module = types.ModuleType("sslseg.stages.predict")
def run(p, run):
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    print(run.id, child.pid, flush=True)
    signal.pause()
module.run = run
sys.modules["sslseg.stages.predict"] = module
from sslseg.launch import main
main("predict", {PREDICT!r})
"""


@pytest.fixture
def api(store: str) -> MlflowClient:
    return MlflowClient(store)


def _start(code: str, *, path: str = "src", argv: tuple = (), **environment: str) -> subprocess.Popen:
    env = os.environ | {"PYTHONPATH": path} | environment
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen([sys.executable, "-c", code, *argv], env=env, **pipes)


@pytest.mark.parametrize(
    ("stage", "argv", "sentence"),
    [
        ("finetune", ["--buget", "3"], "unknown parameter 'buget'; did you mean 'budget'?"),
        ("finetune", ["--steps", "ten"], "steps: wanted a whole number, got 'ten'"),
        ("finetune", ["--budget=0"], "budget: must be at least 1; not 0"),
        ("predict", [], "model: a value is required"),
    ],
)  # fmt: skip
def test_wrong_parameters_end_with_2_and_need_neither_torch_nor_mlflow(
    stage: str, argv: list, sentence: str, tmp_path: Path
):
    for name in ("torch", "mlflow", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not here')")
    code = f"import sys; from sslseg.launch import main; main({stage!r}, sys.argv[1:])"
    done = _start(code, path=f"{tmp_path}:src", argv=tuple(argv))
    out, errors = done.communicate(timeout=60)
    assert done.returncode == names.EXIT_USAGE
    assert errors.startswith(f"sslseg {stage}: {sentence}")
    assert errors.count("\n") == 1
    assert out == ""


def test_the_adopted_run_is_failed_with_the_reason(api: MlflowClient, tmp_path: Path):
    given = api.create_run("0").info.run_id
    (tmp_path / "torch.py").write_text("raise ImportError('not here')")
    code = "from sslseg.launch import main; main('prepare', ['--spacing', '-1'])"
    done = _start(code, path=f"{tmp_path}:src", MLFLOW_RUN_ID=given)
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 2, errors
    run = api.get_run(given)
    assert (run.info.status, run.info.run_name) == ("FAILED", "prepare")  # not the name that MLflow had drawn
    assert run.data.tags[names.TAG_REASON] == "spacing: must be at least 0; not -1.0"


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "Ctrl-C"), (signal.SIGHUP, 129, "SIGHUP")],
)
def test_signals_kill_the_run_and_its_children(api: MlflowClient, number: int, code: int, reason: str):
    process = _start(WAITING)
    run_id, child = process.stdout.readline().split()
    process.send_signal(number)
    process.communicate(timeout=60)  # ends when the child, which holds the pipe too, has ended
    assert process.returncode == code
    run = api.get_run(run_id)
    assert (run.info.status, run.data.tags[names.TAG_REASON]) == ("KILLED", reason)
    with pytest.raises(ProcessLookupError):
        os.kill(int(child), 0)


@pytest.mark.parametrize(
    ("number", "code", "reason"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]
)
def test_a_signal_of_the_first_moment_is_kept_until_the_run_can_be_ended(
    api: MlflowClient, number, code, reason
):
    """Before anything but the first line of an entry script was imported."""
    given = api.create_run("0").info.run_id
    first = f"import os; from sslseg.config import early; early.keep(); os.kill(os.getpid(), {int(number)}); "
    done = _start(first + WAITING, MLFLOW_RUN_ID=given)
    _, said = done.communicate(timeout=60)
    assert (done.returncode, said) == (code, f"sslseg predict: {reason}\n")
    run = api.get_run(given)
    assert (run.info.status, run.data.tags[names.TAG_REASON]) == ("KILLED", reason)
    scripts = [path.read_text() for path in Path("entrypoints").glob("*.py")]
    assert all(text.index("early.keep()") < text.index("sslseg.launch") for text in scripts)


def test_two_signals_at_once_are_one():
    """Ctrl-C reaches a worker from the terminal, and SIGTERM from the sweep that the terminal stops, too."""
    code = """import os, signal
from sslseg.tracking import processes
processes.raise_on_signals()
both = {signal.SIGINT, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, both)
for one in both:
    os.kill(os.getpid(), one)
try:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
    print("went on")
except KeyboardInterrupt:
    print("stopped")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("stopped\n", "")


def test_who_breaks_a_training_off_is_told_that_nothing_is_lost(monkeypatch: pytest.MonkeyPatch, capsys):
    def broken_off(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "execute", broken_off)
    assert launch._guarded("finetune", ["--encoder=scratch"], None, None) == 130
    assert launch._guarded("analyse", [], None, None) == 130
    said = capsys.readouterr().err
    assert (
        said == "sslseg finetune: Ctrl-C; the same command again goes on from there\nsslseg analyse: Ctrl-C\n"
    )


def test_the_launcher_dies_alone(api: MlflowClient):
    """As `mlflow run` does it: launcher -> bash -c -> entry script; SIGKILL to the launcher alone."""
    given = api.create_run("0").info.run_id
    launcher = f"""
import subprocess, sys
subprocess.run(["bash", "-c", "{sys.executable} -c \\"$CODE\\"; true"])
"""
    process = _start(launcher, MLFLOW_RUN_ID=given, CODE=WAITING)
    assert process.stdout.readline().split()[0] == given
    process.kill()
    process.communicate(timeout=60)
    run = api.get_run(given)
    assert (run.info.status, run.data.tags[names.TAG_REASON]) == ("KILLED", "SIGTERM")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_mlflow_s_failed_does_not_stand_over_killed(api: MlflowClient, number: int):
    """As `mlflow run` does it: it waits for the stage and then calls its run FAILED, whatever the stage had written."""
    given = api.create_run("0").info.run_id
    launcher = """
import os, subprocess, sys
from mlflow import MlflowClient
child = subprocess.Popen([sys.executable, "-c", os.environ["CODE"]])
print(child.pid, flush=True)
child.wait()
api = MlflowClient()
print(api.get_run(os.environ["MLFLOW_RUN_ID"]).info.status, flush=True)
api.set_terminated(os.environ["MLFLOW_RUN_ID"], "FAILED")
"""
    process = _start(launcher, MLFLOW_RUN_ID=given, CODE=WAITING)
    stage, begun = int(process.stdout.readline()), process.stdout.readline()
    assert begun.split()[0] == given
    os.kill(stage, number)
    assert process.stdout.readline() == "KILLED\n"
    process.communicate(timeout=60)
    until = time.monotonic() + 60
    while api.get_run(given).info.status != "KILLED":
        assert time.monotonic() < until


@pytest.mark.parametrize("there", ["RUNNING", "FINISHED", "KILLED"])
def test_only_failed_is_written_over(api: MlflowClient, there: str):
    run_id = api.create_run("0").info.run_id
    for status, expected in ((there, there), ("FAILED", "KILLED")):
        api.update_run(run_id, status=status)
        launch.write_after(run_id, "KILLED", 2**22 + 1)
        assert api.get_run(run_id).info.status == expected


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_a_run_that_has_ended_is_left_as_it_is(api: MlflowClient, status: str):
    given = api.create_run("0").info.run_id
    api.set_terminated(given, status)
    before = api.get_run(given)
    done = _start("from sslseg.launch import main; main('prepare', [])", MLFLOW_RUN_ID=given)
    _, errors = done.communicate(timeout=120)
    assert done.returncode == 1
    assert errors.startswith(
        f"sslseg prepare: run {given} has ended ({status}), and a run that has ended is not taken up"
    )
    after = api.get_run(given)
    assert (after.info.status, after.info.end_time, after.data.tags) == (
        status,
        before.info.end_time,
        before.data.tags,
    )


@pytest.mark.parametrize("argv", [[], ["--spacing", "-1"]])
def test_a_run_of_another_process_stays_its_own(api: MlflowClient, argv: list[str]):
    me = {names.TAG_PROCESS: ownership.owner()}  # alive, and another process than the one that is started
    given = api.create_run("0", tags=me).info.run_id
    done = _start(f"from sslseg.launch import main; main('prepare', {argv})", MLFLOW_RUN_ID=given)
    _, errors = done.communicate(timeout=120)
    assert done.returncode in (1, 2), errors
    after = api.get_run(given)
    assert (after.info.status, after.data.tags.get(names.TAG_REASON)) == ("RUNNING", None)
    api.set_terminated(given)


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
        names.SslsegError, match=f"run {first} of the process elsewhere:1:0 does the same predict"
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
