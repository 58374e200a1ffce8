"""The frame of the benchmarks, and that both sides of each do the same work, at small sizes. No times."""

import json

import numpy as np
import pytest

from benchmarks import __main__, compare, p2_store, p3_byol, p4_unet, subjects, table, views
from benchmarks.compare import Answer, PeerMissingError, Question, Times

EXTRA = "a peer of the extra: pip install -e '.[bench]'"


def question(measure, **changes):
    return Question(
        **{"id": "X1", "work": "work", "peer": "a peer", "measure": measure, "reach": 2, "moonshot": 4}
        | changes
    )


def answer(ratio=3.0):
    return Answer(ratio, (ratio - 1, ratio + 1), 7, {"ours": 1.0, "peer": ratio}, {"note": 0.123456})


# ---------------------------------------------------------------- frame
def test_variants_take_turns_in_changing_order(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(compare.gc, "collect", lambda: None)  # the suite's heap is large: 0.7 s, 27 times
    calls = []
    variants = {name: (lambda name=name: calls.append(name)) for name in ("ours", "peer", "third")}
    times = compare.compare(variants, rounds=9, warm=1, clock=iter(range(100)).__next__)
    rounds = [tuple(calls[i : i + 3]) for i in range(3, len(calls), 3)]
    assert len(rounds) == 9
    assert all(set(r) == set(variants) for r in rounds)
    assert len(set(rounds)) > 1
    assert {len(v) for v in times.seconds.values()} == {9}


def test_ratio_is_of_medians_and_spread_of_rounds():
    found = Times({"ours": [1.0, 2.0, 4.0], "peer": [6.0, 2.0, 8.0]}).answer(per_second=10)
    assert found.ratio == 6.0 / 2.0
    assert found.spread == (1.0, 6.0)
    assert found.extra["per_second"] == {"ours": 5.0, "peer": 10 / 6}


@pytest.mark.parametrize(("ratio", "at_most", "met"), [(1.9, False, "no"), (2, False, "reach"), (4, False, "moonshot"),
                                                       (1.0, True, "reach"), (1.2, True, "no")])  # fmt: skip
def test_goals(ratio, at_most, met):
    goals = {"reach": 1.05, "moonshot": 0.9} if at_most else {}
    assert compare.row(question(None, at_most=at_most, **goals), answer(ratio))["met"] == met


def test_a_row_takes_the_place_of_its_like(tmp_path):
    path = tmp_path / "results.json"
    for ratio, peer in ((3.0, "a peer"), (5.0, "another"), (2.5, "a peer")):
        compare.keep(compare.row(question(None, peer=peer), answer(ratio)), path)
    rows = json.loads(path.read_text())
    assert [(r["peer"], r["ratio"]) for r in rows] == [("a peer", 2.5), ("another", 5.0)]
    assert rows[0]["note"] == 0.1235
    assert {"torch", "numpy", "python"} <= set(rows[0]["versions"])
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.write(page, path)
    assert "old" not in page.read_text()
    assert "| X1 | work / a peer | **2.5** | 1.5 to 3.5 | 2 | 4 | reach |" in page.read_text()
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("after\n")


def test_a_missing_peer_is_said_and_not_counted(capsys, monkeypatch):
    monkeypatch.setattr(compare, "keep", lambda row: pytest.fail("a row was kept"))
    assert __main__.measure(question(lambda: compare.need("no_such_peer")))
    assert "not counted" in capsys.readouterr().out
    with pytest.raises(PeerMissingError, match=r"\[bench\]"):
        compare.need("no_such_peer")


def test_other_work_is_no_result(capsys, monkeypatch):
    def measure():
        raise AssertionError("losses differ")

    monkeypatch.setattr(compare, "keep", lambda row: pytest.fail("a row was kept"))
    assert not __main__.measure(question(measure))
    assert "losses differ" in capsys.readouterr().out


# ---------------------------------------------------------------- the same work
@pytest.fixture(scope="module")
def store():
    return subjects.store()  # the benchmark's own: the difference depends on the picture


@pytest.mark.parametrize("size", [96, 224])
def test_views_are_within_a_grey_level_of_torchvision(store, size):
    assert views.check_antialias(store, size) < views.ONE_LEVEL


def test_what_is_read_is_what_nibabel_reads(tmp_path):
    root = subjects.cohort(1, 32, 3, 1)
    p2_store.check_reading(root)
    p2_store.check_store(root, tmp_path)


def test_byol_steps_have_lightlys_losses():
    pytest.importorskip("lightly", reason=EXTRA)
    small = {"projector_hidden": 32, "projection_size": 16, "predictor_hidden": 24}
    assert p3_byol.check("test_resnet", 12, 32, **small) < p3_byol.EQUAL
    mine = p3_byol.ours("test_resnet", **small)  # float32, at a rate at which rounding does not grow
    assert p3_byol.difference(mine, p3_byol.reference(mine), 12, 32) < p3_byol.EQUAL


def test_unet_steps_have_smps_losses_and_torchmetrics_scores():
    net, (images, labels) = p4_unet.network("resnet10t", (16, 16, 16, 8, 8)), p4_unet.batch(64, 4)
    mine, theirs = p4_unet.ours(net, images, labels), p4_unet.reference(net, images, labels, fused=True)
    assert p4_unet.check(mine, theirs) < p4_unet.EQUAL
    assert np.isfinite(mine()[1]).all()
