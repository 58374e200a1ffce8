"""The table of pipelines: every row tells itself apart, in ink too."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sslseg.plans import pipelines
from sslseg.plans.pipelines import ROWS


def _as_run(row: pipelines.Row, target: str) -> list[tuple[str, str, str]]:
    datasets = {"natural": ("photos", "natural"), "target": (target, "cardiac-mri")}
    return [(h.method, *datasets.get(h.data, (h.data, "cardiac-mri"))) for h in row.hops]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_recognised_from_its_own_stages(name: str):
    assert pipelines.match(_as_run(ROWS[name], "acdc"), "acdc") == name


def test_names_say_the_stages_and_ink_is_distinct():
    assert list(ROWS) == [
        "scratch", "supervised", "byol-natural", "byol-target", "supervised+byol-target",
        "byol-natural+byol-target", "phantom-supervised",
    ]  # fmt: skip
    for row in ROWS.values():
        assert row.name == ("+".join(hop.key for hop in row.hops) or "scratch")
    for attribute in ("colour", "marker", "order"):
        assert len({getattr(row, attribute) for row in ROWS.values()}) == len(ROWS)
    assert sum(bool(row.paper) for row in ROWS.values()) == 5  # the paper has no scratch arm


@pytest.mark.parametrize(
    "hops",
    [
        [("simclr", "acdc", "cardiac-mri")],
        [("byol", "other-mri", "cardiac-mri")],
        [("supervised", "", "")],
        [("byol", "acdc", "cardiac-mri"), ("byol", "photos", "natural")],
        [("byol", "acdc", "cardiac-mri")] * 2,
    ],
)
def test_what_is_no_row_is_not_guessed(hops):
    assert pipelines.match(hops, "acdc") is None


def test_the_table_needs_neither_mlflow_nor_torch():
    code = "import sys, sslseg.plans.pipelines; print({'mlflow', 'torch', 'numpy'} & set(sys.modules))"
    env = {"PYTHONPATH": "src"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == "set()", done.stderr
