"""The Ray back-end where it differs from the others: without Ray, and what fits on which machines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sslseg import launch, names, params
from sslseg.names import SslsegError


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


def machine(address: str, alive: bool = True, **resources: float) -> dict:
    return {"Alive": alive, "NodeManagerAddress": address, "Resources": resources}


def test_what_a_worker_reserves_and_how_many_fit(monkeypatch: pytest.MonkeyPatch):
    """Fractions share a device; a worker is never split over two machines; dead machines do not count."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from sslseg.executors import ray

    there = [machine("a", CPU=8, GPU=2), machine("b", CPU=3), machine("c", alive=False, CPU=64, GPU=8)]
    monkeypatch.setattr(ray.ray, "nodes", lambda: there)
    for knobs, wanted, fitting in (
        ({}, {"num_cpus": 1.0, "num_gpus": 1.0}, 2),
        ({"ray_gpus": 0.25, "ray_cpus": 1.5}, {"num_cpus": 1.5, "num_gpus": 0.25}, 5),
        ({"device": "cpu", "ray_cpus": 2.0}, {"num_cpus": 2.0, "num_gpus": 0.0}, 5),
        ({"ray_cpus": 16.0}, {"num_cpus": 16.0, "num_gpus": 1.0}, 0),
    ):
        demand = ray._demand(params.Workers(**knobs))
        assert demand == wanted
        assert ray._fitting(demand) == fitting


def test_a_sqlite_store_is_for_one_machine(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    from sslseg.executors import ray

    monkeypatch.setattr(ray.ray, "nodes", lambda: [machine("a"), machine("a")])
    ray._check_store("sqlite:////x/mlflow.db")
    monkeypatch.setattr(ray.ray, "nodes", lambda: [machine("a"), machine("b")])
    ray._check_store("http://tracking:5000")
    with pytest.raises(SslsegError, match="2 machines and the tracking store is a SQLite file"):
        ray._check_store("sqlite:////x/mlflow.db")
