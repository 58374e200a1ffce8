"""The Slurm back-end where it differs: what sbatch is told, what is refused, a task whose time is over."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import pytest

from sslseg import launch
from sslseg.config import names, params
from sslseg.config.names import ParamError
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Graph, Job
from sslseg.tracking import session
from tests.contracts.test_executors import until


@pytest.fixture
def slurm():
    pytest.importorskip("submitit", reason="the extra `slurm` is not installed")
    from sslseg.executors import slurm

    return slurm


def test_without_submitit_one_sentence_and_exit_code_2(
    store: str, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.delitem(sys.modules, "sslseg.executors.slurm", raising=False)
    monkeypatch.setitem(sys.modules, "submitit", None)  # an import of it fails
    assert launch._guarded("sweep", ["--executor=slurm"], None, None) == names.EXIT_USAGE
    assert capsys.readouterr().err.splitlines()[-1] == (
        "sslseg sweep: executor: submitit is not installed here; `pip install -e .[slurm]`, or use executor=local"
    )


def asked(slurm, folder: Path, monkeypatch: pytest.MonkeyPatch, tasks: int, **knobs) -> list[str]:
    """The lines of the sbatch file of so many tasks, as on a login node."""
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    inner = slurm.executor(params.Workers(executor="slurm", **knobs), folder)._executor
    inner.parameters["map_count"] = tasks
    return inner._make_submission_file_text(inner._submitit_command_str, "uid").splitlines()


def test_what_sbatch_is_told(slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A job array; GPUs, cores and time of a task; told before its time is over, and queued again then."""
    options = "partition=gpu,account=lab,mem=32G,cpu_bind=none"
    lines = asked(
        slurm, tmp_path, monkeypatch, 4, slurm_gpus=1, slurm_cpus=6, slurm_minutes=90, slurm_options=options
    )
    directives = dict(
        line.removeprefix("#SBATCH --").partition("=")[::2] for line in lines if line.startswith("#SBATCH")
    )
    log = f"{tmp_path}/%A_%a_0_log"
    assert directives == {
        "array": "0-3%4", "gpus-per-node": "1", "cpus-per-task": "6", "time": "90", "signal": "USR2@90", "requeue": "",
        "partition": "gpu", "account": "lab", "mem": "32G", "cpu-bind": "none", "nodes": "1", "job-name": "sslseg",
        "wckey": "submitit", "open-mode": "append", "output": f"{log}.out", "error": f"{log}.err",
    }  # fmt: skip
    (path,) = [line for line in lines if line.startswith("export PYTHONPATH=")]
    assert str(Path(__file__).parents[2] / "src") in path.partition("=")[2].strip("'").split(":")
    assert lines[-1].startswith("srun ")
    assert lines[-1].endswith(f"{sys.executable} -u -m submitit.core._submit {tmp_path}")

    short = asked(slurm, tmp_path, monkeypatch, 2, device="cpu", slurm_minutes=3)
    assert "#SBATCH --signal=USR2@90" in short
    assert not [line for line in short if "gpu" in line]


def test_what_is_refused(slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ParamError, match="slurm_options: wanted name=value"):
        asked(slurm, tmp_path, monkeypatch, 1, slurm_options="gpu")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ParamError, match="wanted the commands of Slurm .* slurm_cluster=local"):
        slurm.executor(params.Workers(executor="slurm"), tmp_path)
    assert slurm.places(params.Workers(executor="slurm")) == (slurm.TASKS, 4)


def work(job: Job) -> str:
    """In a run: wait for ever the first time, go on the second."""
    file = Path(job.context["folder"]) / job.name
    first = not file.exists()
    with session.open_run("finetune", parent_run_id="0" * 32, uri=job.context["uri"]) as run:
        with file.open("a") as lines:
            lines.write(f"{run.id} {os.getpid()}\n")
        if first and job.name == "long":
            signal.pause()
    return run.id


@pytest.mark.slow
def test_a_task_whose_time_is_over_is_queued_again_and_its_cell_goes_on(
    slurm, tmp_path: Path, tmp_cache: Path, store: str
):
    """As Slurm tells it: SIGUSR2. The run ends, so that it can be taken up; nobody is blamed for a death."""
    file = tmp_path / "long"
    graph = Graph([Cell("long", "finetune", {}), Cell("heir", "finetune", {}, upstream="long")],
                  {"folder": str(tmp_path), "uri": store})  # fmt: skip

    def end() -> None:
        line = until(lambda: file.exists() and file.read_text().endswith("\n") and file.read_text())
        os.kill(int(line.split()[1]), signal.SIGUSR2)

    ending = threading.Thread(target=end)
    ending.start()
    settings = params.Workers(executor="slurm", slurm_cluster="local", workers=1, device="cpu")
    ended = {outcome.job.name: outcome for outcome in slurm.run(graph, work, settings)}
    ending.join()
    assert {name: outcome.error for name, outcome in ended.items()} == {"long": "", "heir": ""}
    (first, pid), (second, again) = [line.split() for line in file.read_text().splitlines()]
    assert pid != again  # another process, of the same task
    ended_first = session.store.client(store).get_run(first)
    assert ended_first.info.status == "KILLED"
    assert ended_first.data.tags[names.TAG_REASON] == "SIGTERM"
    assert ended["long"].value == second
    assert not list((tmp_cache / "slurm").iterdir())  # nothing is left of tasks that ended well
