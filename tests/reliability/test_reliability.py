"""docs/reference/reliability.md against docs/reference/reliability.json, which the long commands write."""

from __future__ import annotations

import json
from pathlib import Path

from tests.reliability.fuzz import FORMATS
from tests.reliability.fuzz.runner import Report
from tests.reliability.long import kills, places, record, soak

FOUND = json.loads(record.RESULTS.read_text())


def test_the_page_has_the_tables_of_what_was_recorded():
    page = record.PAGE.read_text()
    assert all(f"<!-- {name}: begin -->" in page for name in record.TABLES if name.partition(" ")[0] in FOUND)
    assert record.rendered(page, FOUND) == page


def test_every_format_had_its_share():
    assert set(FOUND["fuzz"]) == set(FORMATS)
    for name, row in FOUND["fuzz"].items():
        ends = [(end, n) for kind in row["kinds"].values() for end, n in kind.items()]
        assert sum(n for _, n in ends) >= 500, name
        assert all(end.startswith(("read ", "refused ")) for end, _ in ends), name


def test_what_is_recorded_of_kills_is_twenty_a_stage():
    assert set(FOUND["kills"]) == set(places.STAGES)
    for row in FOUND["kills"].values():
        assert row["kills"] >= 20
        assert row["faults"] == 0
        assert row["steps done again, at most"] <= places.INTERVAL


def test_a_recorded_row_takes_the_place_of_its_elder(tmp_path: Path):
    page, results = tmp_path / "a.md", tmp_path / "a.json"
    page.write_text(
        "x\n<!-- fuzz: begin -->\nold\n<!-- fuzz: end -->\ny\n<!-- kills: begin --><!-- kills: end -->\n"
    )
    report = Report("csv")
    report.outcomes.update({("cut", "read as a table"): 3, ("cut", "refused no"): 1, ("bits", "HANG"): 1})
    record.keep("fuzz", {"csv": report.row(0), "b": {"seed": 0, "kinds": {}}}, results, page)
    record.keep("fuzz", {"b": {"seed": 0, "kinds": {"k": {"refused no": 2500}}}}, results, page)
    text = page.read_text()
    assert "| csv | 2 | 5 | 3 | 1 | 3 | 1 |" in text
    assert "| b | 1 | 2,500 | 0 | 2,500 | 1 | 0 |" in text
    assert "| all 2 | 3 | 2,505 | 3 | 2,501 | 3 | 1 |" in text
    assert "old" not in text
    assert text.startswith("x\n")
    assert text.endswith("y\n<!-- kills: begin --><!-- kills: end -->\n")


def test_dialects_share_their_classes():
    ends = {"kinds": {"cut": {"refused a": 1}}}
    text = record.classes({"checkpoint a": ends, "checkpoint b": {"kinds": {"cut": {"refused b": 2}}}})
    assert text.splitlines()[2:] == ["| checkpoint, all dialects | cut | 3 | 0 | 3 | 2 | 0 |"]


def test_kills_are_counted_by_stage():
    row = {"stage": "tune", "died": "store log_batch done", "mode": "all", "cold": True, "repeated": 2, "resumed": True,
           "twice": 4, "faults": [], "seconds": 1.4}  # fmt: skip
    more = row | {
        "died": "checkpoint half",
        "cold": False,
        "repeated": 3,
        "resumed": False,
        "faults": ["x"],
    }
    counted = kills.counts([row, more], 0)["tune"]
    assert counted["in a checkpoint's writing"] == counted["in a call of the store"] == counted["faults"] == 1
    assert (counted["steps done again, at most"], counted["numbers logged twice"]) == (3, 8)


def test_what_grows_is_not_flat():
    flat = [{"stage": i, "seconds": 1.0, "rss_mb": 500 + i % 3, "files": 9, "threads": 3} for i in range(100)]
    assert not soak.grown(soak.summary(flat, 20))
    for part, more in (("rss_mb", 0.2), ("files", 0.1), ("threads", 0.02)):
        leaking = [row | {part: row[part] + more * i} for i, row in enumerate(flat)]
        assert soak.grown(soak.summary(leaking, 20)), part
