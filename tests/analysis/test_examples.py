"""Fig. 5: the same cases for all pipelines, read from artifacts that hold nothing but arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from analysis.comparison import cells
from analysis.figures import fig5_examples
from sslseg.config.names import SslsegError
from sslseg.tracking.history import frames
from tests.fixtures.planted import plant
from tests.fixtures.planted_study import make, runs_of

TRUTH = np.zeros((5, 12, 12), np.uint8)
TRUTH[1:, 2:10, 2:10] = 1
IMAGE = TRUTH * 90
IMAGE[:, :4] = 0


def cases(shifts: list[int]) -> dict[str, np.ndarray]:
    """Five slices, the first without structure; prediction `i` is the truth moved by `shifts[i]`."""
    moved = np.stack([np.roll(t, s, axis=1) for t, s in zip(TRUTH, shifts, strict=True)])
    return {"rows": np.arange(10, 15), "image": IMAGE, "truth": TRUTH, "prediction": moved}


def test_iou_against_arithmetic() -> None:
    found = fig5_examples.Cases(**cases([0, 0, 1, 2, 4]), colours=()).iou()
    np.testing.assert_allclose(found, [np.nan, 1, 7 / 9, 6 / 10, 4 / 12])


def test_cases_are_chosen_over_all_pipelines_and_never_an_empty_slice() -> None:
    first = fig5_examples.Cases(**cases([0, 0, 1, 4, 2]), colours=())
    second = fig5_examples.Cases(**cases([0, 1, 0, 0, 4]), colours=())
    assert fig5_examples.chosen([first]) == {"worst": 3, "median": 2, "best": 1}
    assert fig5_examples.chosen([first, second]) == {"worst": 4, "median": 1, "best": 2}


@pytest.fixture(scope="module")
def filled(store: str, tmp_path_factory: pytest.TempPathFactory) -> cells.Study:
    tmp_path = tmp_path_factory.mktemp("cases")
    planted = make(("scratch", "supervised"), (3, 30), 2)
    plant(store, planted)
    api = MlflowClient(store)
    for name, shifts in (("scratch", [0, 0, 1, 4, 2]), ("supervised", [0, 1, 0, 0, 4])):
        run = next(r for r in planted if r.name == f"{name}/n=30/seed=1")
        np.savez_compressed(tmp_path / "cases.npz", **cases(shifts))
        api.log_artifact(run.run_id, str(tmp_path / "cases.npz"), "test")
    return replace(cells.study(runs_of(planted)), uri=store)


def test_drawn_from_the_runs_that_kept_their_cases(filled: cells.Study, tmp_path: Path) -> None:
    content = fig5_examples.data(filled)
    assert content.table["seed"].tolist() == [1] * 6  # seed 0 kept none
    assert content.table.set_index(["arm", "case"])["iou"].loc[("supervised", "best")] == 1.0
    assert set(content.table["row"]) == {11, 12, 14}
    figure = fig5_examples.draw(content)
    panels = np.array(figure.axes).reshape(3, 4)
    titles = [[axis.get_title() for axis in line] for line in panels]
    assert titles == [["image", "truth", "scratch", "supervised"], [""] * 4, [""] * 4]
    assert [axis.get_ylabel() for axis in panels[:, 0]] == ["worst", "median", "best"]
    said = [
        [f"IoU {iou:.2f}" for iou in rows["iou"]] for _, rows in content.table.groupby("case", sort=False)
    ]
    assert [[axis.get_xlabel() for axis in line] for line in panels] == [["", "", *line] for line in said]
    for axes, (_, rows) in zip(panels, content.table.groupby("case", sort=False), strict=True):
        place = rows["row"].iloc[0] - 10
        image, truth, *predictions = [axis.images for axis in axes]
        assert np.array_equal(image[0].get_array(), IMAGE[place][4:10, 2:10])  # what is not black
        masks = [TRUTH[place], *(cases.prediction[place] for _, cases, _ in content.parts)]
        for (below, above), mask in zip((truth, *predictions), masks, strict=True):
            assert np.array_equal(below.get_array(), image[0].get_array())
            assert np.array_equal(above.get_array()[..., 3] > 0, mask[4:10, 2:10] > 0)
    assert [text.get_text() for text in figure.legends[0].texts] == ["class 1"]


def test_pickles_and_bombs_are_refused(filled: cells.Study, tmp_path: Path, monkeypatch) -> None:
    np.savez(tmp_path / "cases.npz", rows=np.array([object()], dtype=object))
    run = filled.runs["run_id"].iloc[0]
    MlflowClient(filled.uri).log_artifact(run, str(tmp_path / "cases.npz"), "test")
    with pytest.raises(ValueError, match="allow_pickle"):
        fig5_examples.read(run, filled.uri)
    assert frames.artifact(run, "test/none.npz", tmp_path, filled.uri) is None
    np.savez_compressed(tmp_path / "cases.npz", **cases([0] * 5))
    MlflowClient(filled.uri).log_artifact(run, str(tmp_path / "cases.npz"), "test")
    monkeypatch.setattr(fig5_examples, "MOST", 1000)  # the file itself has fewer bytes
    with pytest.raises(SslsegError, match="unpacks to [0-9,]+ bytes, at most 1,000"):
        fig5_examples.read(run, filled.uri)
