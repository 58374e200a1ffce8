"""A sweep of real stages on a Ray cluster of several nodes; one is killed in the middle of a cell."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sslseg import execute
from sslseg.config import caches, flags, names, params
from sslseg.config.names import FINETUNE, SWEEP
from sslseg.tracking import session
from tests.fixtures.ray_clusters import once_killed, two_nodes
from tests.fixtures.tiny_runs import Tiny, get, numbers
from tests.fixtures.tiny_sweeps import FINE, spelled, table


def swept(tiny: Tiny, address: str, seeds: tuple[int, ...]) -> str:
    """A sweep of scratch cells on the cluster; returns its run ID."""
    texts = FINE | {"steps": "30", "checkpoint_every": "1", "eval_every": "10"}
    p = params.Sweep(
        dataset="acdc", data_root=str(tiny.root), cache=str(tiny.cache), threads=1, device="cpu",
        pipelines=("scratch",), budgets=(3,), seeds=seeds, finetune=spelled(texts),
        executor="ray", ray_address=address,
    )  # fmt: skip
    return execute.execute(SWEEP, flags.resolve(p))


def busy_run() -> tuple[str, ...]:
    """A fine-tuning that runs and has a whole checkpoint: its run ID and process; () while there is none."""
    for run in session.search({names.TAG_STAGE: FINETUNE}, status="RUNNING"):
        folder = caches.checkpoint_folder(Path(run.data.params.get("cfg.cache", "")), run.info.run_id)
        if any(folder.glob("step-*.safetensors")):
            return run.info.run_id, run.data.tags[names.TAG_PROCESS].split(":")[1]
    return ()


@pytest.mark.slow
def test_a_node_is_lost_and_the_sweep_is_complete(tiny: Tiny, store: str):
    killed: list[str] = []

    def busy() -> str:
        found = busy_run()
        killed.extend(found[:1])
        return found[1] if found else ""

    with two_nodes() as cluster:
        killing = once_killed(cluster, busy)
        sweep = swept(tiny, cluster.address, (0, 1, 2))
        killing()
    cells = table(sweep)
    assert set(cells) == {f"scratch/n=3/seed={seed}" for seed in (0, 1, 2)}
    finished = session.search({names.TAG_STAGE: FINETUNE}, status="FINISHED")
    assert sorted(run.info.run_id for run in finished) == sorted(cells.values())
    assert set(Counter(run.data.tags[names.TAG_IDENTITY] for run in finished).values()) == {1}
    assert not session.search({names.TAG_STAGE: FINETUNE}, status="RUNNING")
    assert killed[0] in cells.values()  # gone on with in its own run
    assert get(killed[0]).data.tags["sslseg.resumed_at_step"]
    seed = int(get(killed[0]).data.params["cfg.seed"])
    hand = tiny.run(FINETUNE, seed=seed, device="cpu", steps=30, checkpoint_every=1, eval_every=10)
    assert hand not in cells.values()
    assert numbers(hand) == numbers(killed[0])  # as if nothing had happened
