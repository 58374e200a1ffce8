"""The Ray back-end where it differs: without Ray, without a cluster, with a node lost, what fits on which machines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sslseg import launch
from sslseg.config import names, params
from sslseg.config.names import SslsegError
from sslseg.plans.cells import Cell
from sslseg.plans.jobs import Graph, Job
from sslseg.tracking import processes
from tests.fixtures.ray_clusters import once_killed, two_nodes


@pytest.mark.parametrize(("stage", "argv"), [("sweep", []), ("tune", ["--encoder=scratch"])])
def test_without_ray_one_sentence_and_exit_code_2(
    stage: str, argv: list[str], store: str, tmp_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.delitem(sys.modules, "sslseg.executors.ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)  # an import of it fails
    assert launch._guarded(stage, [*argv, "--executor=ray", "--workers=1"], None, None) == names.EXIT_USAGE
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"sslseg {stage}: executor: ray is not installed here; `pip install -e .[ray]`, or use executor=local"
    )


@pytest.fixture
def cluster():
    """Ray's connection to a cluster, without Ray's executor."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from sslseg.executors import _cluster

    return _cluster


def test_no_cluster_at_the_address_is_one_sentence(cluster, monkeypatch: pytest.MonkeyPatch):
    def init(address: str, **given: object) -> None:
        raise ConnectionError(f"nobody is at {address}\nand a page of advice")

    monkeypatch.setattr(cluster.ray, "init", init)
    settings = params.Workers(executor="ray", ray_address="127.0.0.1:1")
    wanted = r"no Ray cluster answers at '127\.0\.0\.1:1' \(nobody is at 127"
    with pytest.raises(SslsegError, match=wanted), cluster.connected(settings):
        raise AssertionError("there is none")


@pytest.mark.parametrize("times", [2, 3])
def test_a_start_that_fails_is_tried_again_then_told(cluster, monkeypatch: pytest.MonkeyPatch, times: int):
    """A machine too busy for Ray's own 15 seconds: Exception("The current node timed out during startup. …")."""
    tries = []

    def init(address: str, **given: object) -> None:
        tries.append(address)
        if len(tries) <= times:
            raise Exception("The current node timed out during startup. This could …")

    monkeypatch.setattr(cluster.ray, "init", init)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)
    settings = params.Workers(executor="ray")
    if times < cluster.STARTS:
        with cluster.connected(settings):
            pass
    else:
        wanted = "did not start on this machine in 3 tries .*timed out"
        with pytest.raises(SslsegError, match=wanted), cluster.connected(settings):
            raise AssertionError("there is none")
    assert tries == ["local"] * 3


def work(job: Job) -> str:
    """Note who does it; the job `long` never ends the first time."""
    file = Path(job.context["folder"]) / job.name
    first = not file.exists()
    with file.open("a") as lines:
        lines.write(f"{os.getpid()}\n")
    if job.name == "long" and first:
        signal.pause()
    return f"run-{job.name}<{job.upstream_run_id}"


@pytest.mark.slow
def test_a_job_of_a_lost_node_is_done_on_another(tmp_path: Path):
    """There is no room for a new worker: the one that is left does it all, and nobody waits for the other."""
    names_of = ["long", "heir", *(f"job{i}" for i in range(4))]
    cells = [Cell(n, "finetune", {}, upstream="long" if n == "heir" else "") for n in names_of]
    file = tmp_path / "long"
    with two_nodes() as made:
        from sslseg.executors import ray

        killing = once_killed(made, lambda: file.exists() and file.read_text().strip())
        settings = params.Workers(executor="ray", ray_address=made.address, device="cpu")
        ended = list(ray.run(Graph(cells, {"folder": str(tmp_path)}), work, settings))
        killing()
        assert len(made.worker_nodes) == 1
    assert sorted(outcome.job.name for outcome in ended) == sorted(names_of)
    found = {outcome.job.name: outcome.value for outcome in ended}
    assert found["heir"] == "run-heir<run-long<"
    begun = {name: len((tmp_path / name).read_text().splitlines()) for name in names_of}
    assert begun == dict.fromkeys(names_of, 1) | {"long": 2}


def test_the_end_of_a_sweep_reaches_workers_before_rays_own_processes(monkeypatch: pytest.MonkeyPatch):
    """On a signal children are ended; whoever is Ray itself stays until its workers are, or until told to go."""
    sleeper = [sys.executable, "-c", "import signal; print(flush=True); signal.pause()"]
    worker = subprocess.Popen(sleeper, stdout=subprocess.PIPE)
    raylet = subprocess.Popen([*sleeper, "/x/ray/core/src/ray/raylet/raylet"], stdout=subprocess.PIPE)
    for child in (worker, raylet):
        child.stdout.readline()  # the kernel shows no command line in the first moment of a program
    mine = [psutil.Process(child.pid) for child in (worker, raylet)]  # not what other tests have started
    monkeypatch.setattr(psutil.Process, "children", lambda self, recursive=False: mine)
    try:
        signalled = {child.pid for child in processes._signal_children()}
        assert worker.pid in signalled
        assert raylet.pid not in signalled
        assert worker.wait(60) == -signal.SIGTERM
        processes.end_daemons()
        assert raylet.wait(60) == -signal.SIGKILL
    finally:
        for child in (worker, raylet):
            child.kill()
            child.communicate()


def machine(address: str, alive: bool = True, **resources: float) -> dict:
    return {"Alive": alive, "NodeManagerAddress": address, "Resources": resources}


def test_what_a_worker_reserves_and_how_many_fit(cluster, monkeypatch: pytest.MonkeyPatch):
    """Fractions share a device; a worker is never split over two machines; dead machines do not count."""
    there = [machine("a", CPU=8, GPU=2), machine("b", CPU=3), machine("c", alive=False, CPU=64, GPU=8)]
    monkeypatch.setattr(cluster.ray, "nodes", lambda: there)
    for knobs, wanted, fitting in (
        ({}, {"num_cpus": 1.0, "num_gpus": 1.0}, 2),
        ({"ray_gpus": 0.25, "ray_cpus": 1.5}, {"num_cpus": 1.5, "num_gpus": 0.25}, 5),
        ({"device": "cpu", "ray_cpus": 2.0}, {"num_cpus": 2.0, "num_gpus": 0.0}, 5),
        ({"ray_cpus": 16.0}, {"num_cpus": 16.0, "num_gpus": 1.0}, 0),
    ):
        demand = cluster.demand(params.Workers(**knobs))
        assert demand == wanted
        assert cluster.fitting(demand) == fitting
