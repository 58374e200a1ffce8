"""`sslseg splits`: a division leaves as nnU-Net's splits_final.json and comes back the same."""

from __future__ import annotations

import json

import pytest

from sslseg import __main__
from sslseg.config import plugins
from sslseg.datasets import nnunet
from tests.fixtures import foreign_trees, trees

PATIENTS = {f"patient{n:03d}" for n in range(1, 11)}


def sides(case: str) -> str:
    return {"1": "test", "2": "val"}.get(case.partition("_")[0][-1], "train")


def test_acdc_leaves_for_nnunet_and_comes_back_divided_alike(tmp_path, capsys):
    own = trees.acdc(tmp_path / "acdc", patients=10, cine=())
    copy = foreign_trees.nnunet_copy(own, tmp_path / "Dataset027_ACDC")
    file = copy / "splits_final.json"
    assert __main__.main(["splits", "acdc", str(own), str(file)]) == 0
    assert "16 cases train, 2 cases validate, 2 cases test" in capsys.readouterr().out
    folds = json.loads(file.read_text())
    cases = {c for fold in folds for part in fold.values() for c in part}
    assert cases == {p.name.removesuffix(".nii.gz") for p in (copy / "labelsTr").iterdir()}
    assert {sides(c) for c in folds[0]["train"]} == {"train"}
    assert {sides(c) for c in folds[0]["val"]} == {"val"}
    assert {sides(c) for c in folds[1]["val"]} == {"test"}
    assert nnunet.describe(copy).sides == {p: sides(p) for p in PATIENTS}
    again = tmp_path / "again.json"  # nnunet's own division, out again
    assert __main__.main(["splits", "nnunet", str(copy), str(again)]) == 0
    assert json.loads(again.read_text()) == folds


def test_what_cannot_be_written(tmp_path, capsys):
    root = foreign_trees.nnunet(tmp_path / "raw", cases=6)
    file = tmp_path / "splits.json"
    assert __main__.main(["splits", "nnunet", str(root), str(file), "--split", "file"]) == 2
    assert "bring no file of splits" in capsys.readouterr().err
    assert __main__.main(["splits", "nnunet", str(tmp_path / "no"), str(file)]) == 1
    file.touch()
    assert __main__.main(["splits", "nnunet", str(root), str(file)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert __main__.main(["splits", "nnunet", str(root), str(tmp_path / "no" / "s.json")]) == 1
    said = f"sslseg splits: FileNotFoundError: [Errno 2] No such file or directory: '{tmp_path}/no/s.json'\n"
    assert capsys.readouterr().err == said
    images = foreign_trees.images(tmp_path / "a" / "x")
    foreign_trees.images(tmp_path / "a" / "y")
    module = plugins.load("datasets", "images")
    with pytest.raises(nnunet.DataError, match="a name of its own for each case"):
        nnunet.write_splits(file, {}, module.find(images.parent))
