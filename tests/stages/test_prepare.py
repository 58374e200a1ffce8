"""What prepare says of a folder, at once and in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from sslseg import execute
from sslseg.config import flags, names
from sslseg.config.params import Prepare
from sslseg.tracking.store import client
from tests.fixtures import foreign_trees
from tests.fixtures.layout_trees import COLOUR, TREES, write

pytestmark = pytest.mark.usefixtures("store", "tmp_cache")


def prepared(root: Path, capsys, **texts: str) -> tuple[str, list[str]]:
    """Run ID, and the lines that were printed."""
    capsys.readouterr()
    texts = {"dataset": "images", "data_root": str(root), "threads": "1"} | texts
    run_id = execute.execute("prepare", flags.resolve(flags.from_mapping(Prepare, texts)))
    return run_id, capsys.readouterr().out.splitlines()


def test_a_layout_and_what_is_not_of_it(tmp_path, capsys):
    run_id, lines = prepared(TREES["ISIC 2018"].write(tmp_path / "isic"), capsys)
    first, layout, aside, *_, sheet = lines[-5:]
    assert first == "prepared 3 slices of 3 patients, 3 annotated: lesion"
    assert layout == "the folder has the layout of ISIC"
    assert aside == "3 files are not read, see aside.tsv of the run: not of the layout ISIC (3)"
    assert (
        lines[-2] == "every image is a patient of its own; patient_regex or csv in sslseg.json say otherwise"
    )
    assert Path(sheet.removeprefix("look at it: ")).is_file()
    assert client().get_run(run_id).data.tags[names.TAG_LAYOUT] == "ISIC"
    table = Path(client().download_artifacts(run_id, "aside.tsv")).read_text().splitlines()
    assert len(table) == 4
    assert table[1] == (
        "ISIC2018_Task2_Training_GroundTruth_v3/ISIC_0000001_attribute_globules.png\tnot of the layout ISIC"
    )


def test_nothing_annotated_is_said_first(tmp_path, capsys):
    for n in range(4):
        write(tmp_path / "own" / f"{n}.png", COLOUR, n)
    _, lines = prepared(tmp_path / "own", capsys)
    assert "prepared 4 slices of 4 patients, none annotated: no class" in lines
    assert "no mask was found; docs/reference/data.md says how masks are found, and how to name them" in lines


def test_masks_beside_images_need_no_word(tmp_path, capsys):
    _, lines = prepared(foreign_trees.images(tmp_path / "own"), capsys)
    assert "prepared 7 slices of 7 patients, 6 annotated: foreground" in lines
    assert not any("not read" in line or "layout" in line for line in lines)


@pytest.mark.parametrize("json", ["{}", '{"domain": "natural"}'])
def test_a_domain_is_declared_and_recorded(tmp_path, capsys, json: str):
    for n in range(4):
        write(tmp_path / "own" / f"{n}.png", COLOUR, n)
    (tmp_path / "own" / "sslseg.json").write_text(json)

    def domain(**texts: str) -> str:
        run_id, _ = prepared(tmp_path / "own", capsys, **texts)
        return client().get_run(run_id).data.tags[names.MODEL_DOMAIN]

    assert domain() == ("natural" if "natural" in json else "medical")
    assert domain(domain="endoscopy") == "endoscopy"
