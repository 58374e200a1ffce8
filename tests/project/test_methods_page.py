"""The table of methods: a row each, with the views that the code asks for."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

import pytest

from benchmarks import methods as costs
from sslseg.config import flags, plugins

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "methods.md").read_text()
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
