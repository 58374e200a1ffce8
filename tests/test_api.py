"""The public functions: lazy, and equal to what the modules behind them give."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import sslseg
from sslseg.commands import encoders
from sslseg.config import names
from sslseg.config.names import EncoderError
from sslseg.tracking import session
from sslseg.tracking.registry import resolve
from tests.fixtures.planted_study import finetune, runs_of


def test_import_loads_neither_torch_nor_mlflow() -> None:
    code = "import sys, sslseg; dir(sslseg); print(sorted({'torch', 'mlflow', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_reading_runs_does_not_load_torch(store: str) -> None:
    code = "import sys, sslseg; sslseg.read_runs(); print('torch' in sys.modules, 'mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == [
        "False",
        "True",
    ]


def test_unknown_names_are_refused() -> None:
    with pytest.raises(AttributeError, match="load_encoder"):
        sslseg.load_model  # noqa: B018
    assert set(sslseg.__all__) <= set(dir(sslseg))


def test_an_encoder_is_listed_loaded_and_traced(store: str, tmp_path) -> None:
    import torch

    from sslseg.models import encoder

    net = encoder.build("resnet10t", 1, seed=3)
    encoder.save(
        net,
        tmp_path / "e",
        architecture="resnet10t",
        channels=1,
        normalisation={"mean": [0.5], "std": [0.5]},
        extra={},
    )
    with session.open_run(
        names.PRETRAIN, tags={names.TAG_METHOD: "byol", names.TAG_DATASET: "photos"}
    ) as run:
        facts = {"name": "encoder-resnet10t", "role": "target", "method": "byol", "epoch": 2, "step": 20}
        facts |= {"dataset": "photos", "lineage": "byol@photos:2", "card": "# A card"}
        resolve.log_encoder(run, tmp_path / "e", **facts)
    row = sslseg.encoders().iloc[0]
    assert (row["reference"], row["run_id"], row["epoch"], row["role"]) == (
        "models:/encoder-resnet10t/1", run.id, "2", "target")  # fmt: skip
    images = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 1, 64, 64), np.float32))
    with torch.no_grad():
        expected = net.eval()(images)
        for reference in (run.id, row["reference"]):
            torch.testing.assert_close(sslseg.load_encoder(reference)(images), expected, rtol=0, atol=1e-6)
    assert [hop.name for hop in sslseg.lineage_of(run.id)] == ["byol@photos"]
    assert sslseg.read_runs()["run_id"].tolist() == [run.id]
    assert sslseg.read_curves([run.id], ["val/iou"]).empty
    with pytest.raises(EncoderError, match="unknown"):
        sslseg.load_encoder("0" * 32)


def test_the_score_of_an_encoder_is_the_mean_of_repetitions_alone() -> None:
    """Of other data, steps or variants there is no mean; the newest ones count, and which data they are of is said."""
    ious = {
        ("acdc", "600", 0): 0.9,
        ("acdc", "600", 1): 0.7,
        ("acdc", "20", 2): 0.3,
        ("images", "600", 0): 0.1,
    }
    planted = []
    for i, ((dataset, steps, seed), iou) in enumerate(ious.items()):
        run = finetune("supervised", 30, seed, 1 - iou, cfg={"steps": steps, "data_root": "/data/hearts"})
        tags = run.tags | {
            names.TAG_DATASET: dataset,
            names.TAG_DATA_DIGEST: dataset,
            names.TAG_UPSTREAM_MODEL: "m",
        }
        planted.append(replace(run, name=str(i), tags=tags, start=run.start + (9 - i) * 1000))
    tested = encoders._tested("import", "m", runs_of(planted))
    assert (tested["test_iou"], tested["of"], tested["tested_on"]) == (pytest.approx(0.8), 2, "acdc")
    later = replace(planted[3], start=planted[0].start + 1)
    tested = encoders._tested("import", "m", runs_of([later, *planted[:3]]))
    assert (tested["test_iou"], tested["of"], tested["tested_on"]) == (pytest.approx(0.1), 1, "hearts")
    assert encoders._tested("import", "other", runs_of(planted))["of"] == 0
