"""docs/start/tutorial.md: its commands in their order, on a coarse copy and with a tiny network."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from pathlib import Path

import nibabel as nib
import pytest

from sslseg import execute
from sslseg.config import flags, params
from sslseg.config.names import EVALUATE, FINETUNE, IMPORT, PREDICT, PREPARE
from sslseg.data import training_set
from tests.fixtures import tiny_runs

PAGE = (Path(__file__).parents[2] / "docs" / "start" / "tutorial.md").read_text()
STAMP = "one subject, no generalisation claim"
SMALL = {
    PREPARE: {"spacing": "0"},
    FINETUNE: {"encoder": "scratch", "architecture": "test_resnet", "decoder": "8,8,8,8,8", "steps": "2",
               "eval_every": "2", "image_size": "32", "batch_size": "2", "spacing": "0"},
}  # fmt: skip


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("nilearn") is None:
        pytest.skip("the tutorial wants nilearn: pip install -e '.[tutorial]'")
    root = tmp_path_factory.mktemp("raw") / "Dataset152_MNI"
    done = tiny_runs.python("docs/tutorial/mni152.py", str(root), "--resolution", "4")
    assert done.returncode == 0, done.stderr
    assert STAMP in done.stdout
    return root


def commands() -> list[tuple[str, dict[str, str]]]:
    """(entry point, its -P texts) of every mlflow line of the page."""
    lines = [line for line in PAGE.splitlines() if line.startswith("mlflow run")]
    words = [shlex.split(line) for line in lines]
    return [
        (w[w.index("-e") + 1], dict(v.split("=", 1) for f, v in zip(w, w[1:], strict=False) if f == "-P"))
        for w in words
    ]


def test_slabs_are_apart_and_on_one_side_each(raw: Path) -> None:
    places = {}
    for path in sorted((raw / "imagesTr").iterdir()):
        image = nib.load(path)
        step, start = image.header.get_zooms()[2], image.affine[2, 3]
        places[path.name.removesuffix("_0000.nii.gz")] = (start, start + step * (image.shape[2] - 1))
    ends = sorted(places.values())
    assert all(low - high >= 6 + step for (_, high), (low, _) in zip(ends, ends[1:], strict=False))
    first, second = json.loads((raw / "splits_final.json").read_text())
    sides = [first["train"], first["val"], second["val"]]
    assert first["train"] == second["train"]
    assert sorted(sum(sides, [])) == sorted(places)


@pytest.mark.slow
def test_the_commands_of_the_page_run_in_their_order(raw: Path, tmp_path, tmp_cache, store) -> None:
    stages = commands()
    assert [name for name, _ in stages] == [PREPARE, IMPORT, FINETUNE, PREDICT, EVALUATE]
    meant = {"$MNI": str(raw), "out/mni": str(tmp_path / "masks")}
    ran: dict[str, str] = {}
    for name, texts in stages:
        if name == IMPORT:
            continue  # its download-free weights have their own tests
        meant["MODEL"] = ran.get(FINETUNE, "")
        texts = {
            k: re.sub("|".join(map(re.escape, meant)), lambda m: meant[m[0]], v) for k, v in texts.items()
        }
        texts |= SMALL.get(name, {}) | {"threads": "1"}
        p = flags.resolve(flags.from_mapping(params.STAGES[name], texts))
        ran[name] = execute.execute(name, p)
        if name == PREPARE:
            assert STAMP in training_set.store(p).licence
    metrics = tiny_runs.get(ran[EVALUATE]).data.metrics
    assert metrics["evaluate/patients"] == 1
    assert {"evaluate/dice/grey", "evaluate/dice/white", "evaluate/hd95_mm/grey"} <= set(metrics)
    assert not [key for key in metrics if key.endswith("/low")]  # one slab says nothing about others
    assert tiny_runs.get(ran[PREDICT]).data.metrics["predict/volumes"] == 1
    assert tiny_runs.get(ran[PREPARE]).data.metrics["data/patients"] == 7


def test_nothing_in_the_package_knows_this_task() -> None:
    package = Path(__file__).parents[2] / "src"
    words = re.compile(r"nilearn|mni152|white matter|grey matter", re.IGNORECASE)
    assert not [p for p in package.rglob("*.py") if words.search(p.read_text())]
