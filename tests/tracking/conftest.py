"""A store, its models, and a process beside this one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sslseg.tracking import ownership, session
from sslseg.tracking.registry import resolve
from tests.fixtures.owners import owner_of


@pytest.fixture(scope="module")
def log(model_folder: Callable[..., Path]) -> Callable[..., str]:
    """Log and register one model whose weights are `value`."""

    def one(run: session.Run, value: float, kind: str = "encoder", **facts) -> str:
        known = {"name": "encoder-resnet18", "role": "target", "method": "byol", "dataset": "photos"}
        known |= {"lineage": f"byol@photos:{facts.get('epoch')}", "card": "# A card"} | facts
        folder = model_folder(value, domain="natural", origin="a test")
        return getattr(resolve, f"log_{kind}")(run, folder, **known)

    return one


@pytest.fixture
def neighbour() -> Iterator[str]:
    """Another process of this machine that lives: its name as an owner."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield owner_of(pid=str(process.pid), start=ownership._start(process.pid))
        process.kill()
