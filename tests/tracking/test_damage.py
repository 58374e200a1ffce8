"""Runs that read a damaged slice store are found, marked, and used for nothing any more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sslseg.config import caches, names
from sslseg.tracking import session
from sslseg.tracking.history import frames
from sslseg.tracking.registry import references, resolve
from sslseg.tracking.upkeep import damage, doctor
from tests.fixtures.planted import Planted, plant, run_id_of

DIGEST = "0123456789abcdef" + 48 * "7"
SINCE = 1_700_000_030.0  # s; planted runs begin at 1,700,000,000 and end 60 s later


def _run(name: str, **tags: str) -> Planted:
    known = {"stage": names.TAG_STAGE, "read": names.TAG_DATA_READ, "upstream": names.TAG_UPSTREAM_RUN}
    digest = {} if "upstream" in tags else {names.TAG_DATA_DIGEST: tags.pop("digest", DIGEST)}
    start = int(tags.pop("start", 1_700_000_000_000))
    own = {names.TAG_IDENTITY: f"identity of {name}", **digest, **{known[k]: v for k, v in tags.items()}}
    return Planted(name, tags=own, start=start)


@pytest.fixture(scope="module")
def noted(store: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A store of runs, and a cache with a note of a damaged slice store."""
    cache = tmp_path_factory.mktemp("cache")
    folder = caches.damage_folder(cache)
    folder.mkdir(parents=True)
    note = {"store": "acdc-0123456789abcdef", "parts": ["labels.u1"], "read": "bad", "since": SINCE}
    (folder / "acdc-0123456789abcdef-bad.json").write_text(json.dumps(note))
    misled = run_id_of("misled")
    plant(store, [
        _run("sound", read="good"), _run("other data", digest="f" * 64), _run("misled", read="bad"),
        _run("earlier version"), _run("ended before", start=1_699_999_000_000),
        _run("child", upstream=misled), _run("grandchild", upstream=run_id_of("child")),
        _run("child of a sound one", upstream=run_id_of("sound")),
    ])  # fmt: skip
    return store, cache


def test_who_read_it_and_what_comes_from_them(noted: tuple[str, Path]) -> None:
    uri, cache = noted
    found = dict(damage.runs(cache, uri))
    assert set(found) == {run_id_of(n) for n in ("misled", "earlier version", "child", "grandchild")}
    fact = "read the slice store acdc-0123456789abcdef while that was damaged (labels.u1)"
    assert found[run_id_of("misled")] == f"it {fact}"
    assert found[run_id_of("grandchild")] == f"it comes from run {run_id_of('child')}, which {fact}"
    assert list(damage.runs(cache.parent / "no such cache", uri)) == []


def test_marked_runs_are_used_for_nothing(noted: tuple[str, Path], tmp_path: Path) -> None:
    uri, cache = noted
    with session.open_run(names.PRETRAIN, uri=uri) as run:
        run.tags({names.TAG_DATA_DIGEST: DIGEST, names.TAG_DATA_READ: "bad"})
        (tmp_path / names.CONFIG_FILE).write_text("{}")
        (tmp_path / names.WEIGHTS_FILE).write_bytes(b"\2\0\0\0\0\0\0\0{}")
        model = resolve.log_encoder(
            run, tmp_path, name="encoder-x", role="target", method="byol", dataset="acdc", lineage="byol-acdc"
        )
    for reference in (run.id, f"models:/{model}", "models:/encoder-x@byol-acdc"):
        assert references.find(reference, references.Wanted(), uri)[0].model_id == model
    assert session.find("identity of misled", uri=uri) == run_id_of("misled")
    assert run_id_of("misled") in set(frames.runs(uri=uri)["run_id"])

    findings = list(doctor.misled(uri, cache))
    assert len(findings) == 5
    for finding in findings:
        finding.mend()
    assert [(f.grave, f.mend) for f in doctor.misled(uri, cache)] == [(False, None)] * 5

    for reference in (run.id, f"models:/{model}", "models:/encoder-x@byol-acdc"):
        with pytest.raises(
            names.EncoderError, match=r"it read the slice store acdc-.* while that was damaged"
        ):
            references.find(reference, references.Wanted(), uri)
    for name in ("misled", "earlier version", "child", "grandchild"):
        assert session.find(f"identity of {name}", uri=uri) is None
    left = set(frames.runs(uri=uri)["run_id"])
    assert left == {run_id_of(n) for n in ("sound", "other data", "ended before", "child of a sound one")}
    tags = MlflowClient(uri).get_run(run_id_of("child")).data.tags
    assert tags[names.TAG_DAMAGED].startswith(f"it comes from run {run_id_of('misled')}")
