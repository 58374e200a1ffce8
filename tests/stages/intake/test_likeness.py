"""Data compared with what an encoder was trained on: known answers, and the sentence of a stage."""

from __future__ import annotations

import copy
import re
from types import SimpleNamespace

import pytest

from sslseg.config import names
from sslseg.data import outside
from sslseg.data.phantom import tree
from sslseg.data.slices import prepare, slice_store
from sslseg.stages.intake import likeness


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> slice_store.Slices:
    place = tmp_path_factory.mktemp("likeness")
    root = tree.write(place / "t", patients=4, seed=2, size=64, slices=3)
    return prepare.prepare("acdc", root, place / "cache", spacing=2.0, progress=False)


class Tagged(dict):
    parent = ""

    def tag(self, key: str, value: str) -> None:
        self[key] = value


def upstream(**own: object) -> SimpleNamespace:
    return SimpleNamespace(config={"sslseg": own}, resolved=SimpleNamespace(run_id="r1"))


def test_data_are_like_themselves(store):
    own = outside.portrait(store)
    assert own["pixel_mm"] == pytest.approx([2.0, 2.0], rel=0.05)
    assert outside.apart(own, own, "cardiac-mri", "cardiac-mri") == []
    assert outside.apart(own, {}, "cardiac-mri", "") == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.update(pixel_mm=[1.3, 1.3]), "pixels of"),
        (lambda p: p.update(pixel_mm=[1.5, 1.5]), ""),
        (lambda p: p.update(pixel_mm=None), ""),
        (lambda p: p["intensity"].update(p99_0={"min": -1000.0, "max": 30.0}), r"typical intensity \(p99\) "),
        (lambda p: p["intensity"].update(mean={"min": 0.0, "max": 1e6}), ""),
        (lambda p: p["intensity"].pop("p1_0"), ""),
    ],
)
def test_what_is_far_is_said(store, change, words):
    theirs = copy.deepcopy(outside.portrait(store))
    change(theirs)
    found = outside.apart(outside.portrait(store), theirs)
    assert len(found) == bool(words)
    assert re.match(words, found[0] if found else "")


@pytest.mark.parametrize(
    ("ours", "theirs", "far"),
    [
        ("cardiac-mri", "natural", True),
        ("medical", "natural", True),  # vague, and yet no photograph
        ("medical", "cardiac-mri", False),
        ("brain-mri", "cardiac-mri", True),
        ("", "natural", False),
    ],
)
def test_domains(ours, theirs, far):
    assert outside.apart({}, {}, ours, theirs) == ([f"{ours}, not {theirs}"] if far else [])


def test_the_run_is_tagged_and_the_reader_told(store, capsys):
    run = Tagged()
    likeness.check(run, upstream(**likeness.facts(store)), store)
    assert run[names.TAG_APART] == "no"
    likeness.check(run, upstream(), store)
    assert run[names.TAG_APART] == "unknown"
    assert not capsys.readouterr().out
    likeness.check(run, upstream(domain="natural"), store)
    assert run[names.TAG_APART] == "cardiac-mri, not natural"
    assert not capsys.readouterr().out  # of photographs everybody knows, and nobody can act on it
    likeness.check(run, upstream(domain="brain-mri"), store)
    assert run[names.TAG_APART] == "cardiac-mri, not brain-mri"
    assert "warning: acdc is far from the data that the encoder of run r1" in capsys.readouterr().out
    run = Tagged()
    likeness.check(run, SimpleNamespace(config={}, resolved=None), store)
    assert not run
    run.parent = "a sweep"
    likeness.check(run, upstream(domain="natural"), store)
    assert run[names.TAG_APART] == "cardiac-mri, not natural"
    assert not capsys.readouterr().out


def test_a_sweep_says_it_once_for_each_encoder(monkeypatch, capsys):
    def run(apart: str, encoder: str) -> SimpleNamespace:
        tags = {names.TAG_APART: apart, names.TAG_UPSTREAM_RUN: encoder, names.TAG_DATASET: "acdc"}
        return SimpleNamespace(data=SimpleNamespace(tags={k: v for k, v in tags.items() if v}))

    runs = {"a": run("far", "r1"), "b": run("far", "r1"), "c": run("far", "r2"), "d": run("no", "r3"),
            "e": run("unknown", "r3"), "f": run("", "")}  # fmt: skip
    monkeypatch.setattr(
        "sslseg.stages.intake.likeness.client", lambda uri: SimpleNamespace(get_run=runs.__getitem__)
    )
    once = likeness.Once("sqlite:///x.db")
    for run_id in runs:
        once.tell(run_id)
    said = "warning: acdc is far from the data that the encoder of run {} was last trained on: far"
    assert capsys.readouterr().out.splitlines() == [said.format("r1"), said.format("r2")]


def test_photographs_have_no_millimetres(tmp_path):
    from tests.contracts.test_datasets import _pictures

    found = prepare.prepare(
        "images", _pictures(tmp_path / "in"), tmp_path / "cache", spacing=2.0, progress=False
    )
    assert not found.physical
    assert outside.portrait(found)["pixel_mm"] is None
    assert likeness.facts(found)["reading"] == {"colour": "keep"}
