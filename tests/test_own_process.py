"""A stage in a process of its own: parameters are refused at once; whoever stops it, its run is ended once, by nobody else."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sslseg import launch, start
from sslseg.config import names
from sslseg.tracking import ownership

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
    """Before anything but `start`, the first import of an entry script, was imported."""
    given = api.create_run("0").info.run_id
    first = f"import os; from sslseg import start; start.early.keep(); os.kill(os.getpid(), {int(number)}); "
    done = _start(first + WAITING, MLFLOW_RUN_ID=given)
    _, said = done.communicate(timeout=60)
    assert (done.returncode, said) == (code, f"sslseg predict: {reason}\n")
    run = api.get_run(given)
    assert (run.info.status, run.data.tags[names.TAG_REASON]) == ("KILLED", reason)
    light = (
        "import sys; from sslseg import start; print({'psutil', 'mlflow', 'sslseg.launch'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", light], capture_output=True, text=True).stdout == "set()\n"
    script = inspect.getsource(start.main)
    assert script.index("early.keep()") < script.index("import launch")


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
