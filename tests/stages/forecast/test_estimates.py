"""What a dry run says of hours, disk and end, on a store of planted runs whose costs are known."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from sslseg.config import names, params
from sslseg.plans import cells, studies
from sslseg.stages.forecast import estimates
from sslseg.tracking import session
from sslseg.tracking.history import frames

NOW = datetime.datetime(2026, 1, 1, 12, 0)
LITE0 = "tf_efficientnet_lite0"


def plant(uri: str, folder: Path, stage: str, seconds: float, size: int, **facts: str) -> None:
    """A FINISHED run that took `seconds` and left `size` bytes."""
    tags = {names.TAG_DEVICE: facts.pop("device", "cpu")}
    if pipeline := facts.pop("pipeline", ""):
        tags[names.TAG_PIPELINE] = pipeline
    if method := facts.pop("method", ""):
        tags[names.TAG_METHOD] = method
    file = folder / "file.bin"
    file.write_bytes(bytes(size))
    with session.open_run(stage, tags=tags, uri=uri) as run:
        run.params(facts)
        run.log({"cost/seconds": seconds})
        run.artifact(file)


@pytest.fixture(scope="module")
def planted(store: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fine-tunings at the cpu preset: 0.1, 0.2 and 0.9 s a slice on the CPU; a BYOL of 0.05 s a slice."""
    folder = tmp_path_factory.mktemp("planted")
    fine = {"preset": "cpu", "architecture": LITE0, "batch_size": "8"}
    plant(store, folder, names.FINETUNE, 80.0, 1000, steps="100", **fine)
    plant(store, folder, names.FINETUNE, 80.0, 3000, steps="50", **fine)
    plant(store, folder, names.FINETUNE, 720.0, 5000, steps="100", **fine)
    plant(store, folder, names.FINETUNE, 40.0, 3000, steps="5", **fine)  # mostly its start
    plant(store, folder, names.FINETUNE, 1.0, 1, steps="100", device="cuda: fast", **fine)
    plant(store, folder, names.FINETUNE, 1.0, 1, steps="100", **fine | {"architecture": "resnet50"})
    plant(store, folder, names.FINETUNE, 1.0, 1, steps="100", **fine | {"preset": "paper-text"})
    plant(store, folder, names.FINETUNE, 400.0, 9000, steps="100", pipeline="scratch+mean_teacher", **fine)
    byol = {"preset": "cpu", "architecture": LITE0, "batch_size": "32", "steps": "10", "method": "byol"}
    plant(store, folder, names.PRETRAIN, 16.0, 700, **byol)
    plant(store, folder, names.PRETRAIN, 1.0, 1, **byol | {"method": "simclr"})
    return store


def estimated(uri: str, device: str = "cpu", **grid: object) -> tuple[list, dict, dict]:
    """Cells, kinds and costs of a grid of which nothing has been run."""
    p = studies.fill(params.Sweep(**grid))
    found = cells.cells(p)
    parameters = {cell.name: cell.params() for cell in found}
    kinds = estimates.kinds(found, parameters)
    return found, kinds, estimates.costs(
        kinds, parameters, frames.runs(uri=uri), device, lambda run_id: estimates.size_of(run_id, uri)
    )  # fmt: skip


def test_known_numbers(planted: str):
    """Median 0.2 s a slice of 800 slices: 160 s; BYOL 0.05 s of 3,200: 160 s. Sizes 3,000 and 700 bytes."""
    found, kinds, costs = estimated(
        planted, pipelines=("scratch", "byol@target"), budgets=(3, 15), seeds=(0, 1),
        finetune="steps=100", pretrain="steps=100",
    )  # fmt: skip
    assert len(found) == 9
    assert {kind.architecture for kind in kinds.values()} == {LITE0}
    assert costs["scratch/n=3/seed=0"] == estimates.Cost(pytest.approx(160.0), 3000, 3)
    assert costs["byol@demo"] == estimates.Cost(pytest.approx(160.0), 700, 1)
    _, _, others = estimated(
        planted,
        pipelines=("scratch", "scratch+mean_teacher", "scratch+frozen"),
        budgets=(3,),
        finetune="steps=100",
    )
    known = {name.partition("/")[0]: cost.seconds for name, cost in others.items()}
    assert known == {
        "scratch": pytest.approx(160.0),
        "scratch+mean_teacher": pytest.approx(400.0),
        "scratch+frozen": None,
    }
    for steps, cost in (("5", (40.0, 1)), ("1", (8.0, 1)), ("1000", (1600.0, 3))):
        _, _, others = estimated(planted, pipelines=("scratch",), budgets=(3,), finetune=f"steps={steps}")
        (short,) = others.values()
        assert (short.seconds, short.runs) == (pytest.approx(cost[0]), cost[1])
    total = estimates.total(found, costs, places=4)
    assert total == estimates.Total(pytest.approx(1440.0), 8 * 3000 + 700, 0, 0, pytest.approx(360.0))
    many = estimates.total(found, costs, places=100)
    assert many.wall == pytest.approx(320.0)  # the pretraining, then a fine-tuning from it
    assert list(estimates.lines(found, kinds, costs, 4, NOW)) == [
        f"8 x finetune cpu {LITE0}: 160.0 s and 0.0 MB each, by 3 earlier runs",
        f"1 x pretrain byol cpu {LITE0}: 160.0 s and 0.0 MB each, by 1 earlier run",
        "hours: 0.40 of work, 0.10 with 4 at a time; end: not before 2026-01-01 12:06",
        "disk: 0.000 GB of models and files",
    ]


def test_a_part_that_is_unknown_is_said(planted: str):
    found, kinds, costs = estimated(
        planted, pipelines=("byol@target",), budgets=(3,), finetune="steps=100",
        pretrain_preset="demo",
    )  # fmt: skip
    assert costs["byol@demo"] == estimates.Cost()
    said = list(estimates.lines(found, kinds, costs, 2, NOW))
    assert said[1] == f"1 x pretrain byol demo {LITE0}: unknown, no earlier run"
    assert said[2].startswith("hours: at least 0.04 of work, at least 0.04 with 2 at a time")
    assert said[3].startswith("disk: at least")


def test_nothing_known_is_unknown(planted: str):
    """Another device; and a network that nothing was run with, known from what would be imported."""
    for change in ({"device": "cuda: other"}, {"study": "paper"}):
        found, kinds, costs = estimated(planted, **change)
        tuned = [cell for cell in found if cell.stage == names.FINETUNE]
        said = list(estimates.lines(tuned, kinds, costs, 2, NOW))
        assert said[-2:] == [
            "hours and end: unknown, no finished run of these kinds on this kind of device", "disk: unknown"
        ]  # fmt: skip
    assert {kind.architecture for kind in kinds.values()} == {"resnet50"}


def test_nothing_missing_nothing_said():
    assert list(estimates.lines([], {}, {}, 2, NOW)) == []
