"""The table of methods: a row each, with the views that the code asks for."""

from __future__ import annotations

import importlib.util
import re
from itertools import groupby
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import methods as costs
from sslseg.config import flags, plugins

DOCS = Path(__file__).parents[2] / "docs"
RESULTS, PAGE = DOCS / "results", (DOCS / "reference" / "methods.md").read_text()
ROWS = {r[0]: r for r in re.findall(r"^\| `(\w+)` \|" + r" ([^|]+) \|" * 6 + "$", PAGE, re.MULTILINE)}


def test_every_method_has_one_row():
    assert sorted(ROWS) == sorted(plugins.own("methods"))


@pytest.mark.parametrize("name", plugins.own("methods"))
def test_views_are_those_of_the_code(name: str):
    module = plugins.load("methods", name)
    p = flags.resolve(module.Params(preset="cpu"))
    sizes = module.Method.wanted(p).sizes(p.image_size)
    assert ROWS[name][3] == ", ".join(f"{len(list(same))} x {size}" for size, same in groupby(sizes))


def test_measured_costs_go_to_their_column():
    page = costs.write(PAGE, {"byol": 1.0, "dino": 2.345})
    assert re.search(r"^\| `dino` \|.*\| x2\.35 \| [^|]+ \|$", page, re.MULTILINE)
    assert len(page.splitlines()) == len(PAGE.splitlines())


def test_the_page_of_results_has_what_its_runs_say():
    """docs/results/methods-acdc.md: the calls and the table are those of today's rule on the committed scores."""
    page = importlib.util.spec_from_file_location("methods_acdc", RESULTS / "methods_acdc.py")
    made = importlib.util.module_from_spec(page)
    page.loader.exec_module(made)
    runs = pd.read_csv(made.RUNS)
    judged, committed = made.calls(made.study(runs), 75), pd.read_csv(made.HERE / "calls.csv")
    wanted = committed[committed["budget"] == 75].reset_index(drop=True)
    pd.testing.assert_frame_equal(judged, wanted, rtol=1e-4)
    assert made.table(runs, judged) in (RESULTS / "methods-acdc.md").read_text()
    assert (runs.groupby(["arm", "budget"])["seed"].nunique() == 3).all()
