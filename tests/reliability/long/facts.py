"""What a reader of a store finds after a command, and how that differs from what it should be."""

from __future__ import annotations

import json
import os
import sqlite3
from typing import Any

from tests.reliability.long.places import Place, forked


def facts(place: Place) -> dict[str, Any]:
    """Of every run its numbers, parameters, models; and the registry. Read in a process of its own."""
    out = place.folder / "facts.json"

    def action() -> None:
        out.write_text(json.dumps(_facts(place.uri)))

    if code := forked(action, place.folder / "facts.output"):
        raise RuntimeError(f"facts of {place.folder}: exit code {code}")
    return json.loads(out.read_text())


def _facts(uri: str) -> dict[str, Any]:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    from sslseg.config import names
    from sslseg.tracking import session, store
    from sslseg.tracking.history import frames
    from sslseg.tracking.registry import resolve

    api, runs, twice = store.client(uri), {}, 0
    everything = session.search({}, uri=uri)
    called = {
        run.info.run_id: f"the run {run.info.run_name}" for run in everything
    }  # an ID is another each time
    for run in everything:
        tags = run.data.tags
        keys = [
            k for k in run.data.metrics if not k.removeprefix(names.DETAIL).startswith(("cost/", "system/"))
        ]
        curves = frames.curves([run.info.run_id], keys, uri)
        if curves.duplicated(["key", "step"]).any():
            raise AssertionError("a step is read twice")
        twice += _rows(uri, run.info.run_id) - len(curves)
        models = api.search_logged_models(["0"], f"source_run_id = '{run.info.run_id}'")
        own = (names.MODEL_KIND, names.MODEL_ROLE, names.MODEL_EPOCH, names.MODEL_STEP, names.MODEL_SHA)
        runs.setdefault(f"{tags[names.TAG_STAGE]} {run.info.run_name}", []).append(
            {
                "status": run.info.status,
                "numbers": [
                    [k, int(s), repr(float(v))]
                    for k, s, v in curves[["key", "step", "value"]].values
                    if k.removeprefix(names.DETAIL) != names.SWEEP_LEFT  # an estimate of time
                ],
                "params": {
                    k: called.get(v, v)
                    for k, v in run.data.params.items()
                    if not k.endswith((".cache", ".storage"))
                },
                "models": sorted([m.tags.get(t) or "" for t in own] for m in models if m.status == "READY"),
                "resumed": tags.get("sslseg.resumed_at_step", ""),
            }
        )
    versions = [
        {k: row[k] for k in ("name", "aliases", names.MODEL_SHA)}
        for kind in ("encoder", "segmenter")
        for row in resolve.versions(kind, uri)
        if api.get_run(row["run_id"]).info.status == "FINISHED"  # others are whole models of a dead run
    ]
    half = [m.model_id for m in api.search_logged_models(["0"]) if m.status != "READY"]
    broken = [r["model_id"] for k in ("encoder", "segmenter") for r in resolve.versions(k, uri)
              if r["model_id"] in half]  # fmt: skip
    return {"runs": runs, "versions": versions, "registered half": broken, "logged twice": twice}


def _rows(uri: str, run_id: str) -> int:
    """Values in the store, those that were logged twice counted twice."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
        question = "select count(*) from metrics where run_uuid = ? and key not like '%cost/%'"
        (count,) = connection.execute(question, (run_id,)).fetchone()
    connection.close()
    return count


def compare(wanted: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """Faults of what is there after the second command, against an uninterrupted one."""
    faults = []
    for name, (run,) in wanted["runs"].items():
        done = [r for r in got["runs"].get(name, []) if r["status"] == "FINISHED"]
        if len(done) != 1:
            faults.append(f"{name}: {len(done)} FINISHED runs")
            continue
        for part in ("numbers", "params", "models"):
            if done[0][part] != run[part]:
                whole, left = (list(r[part].items()) if part == "params" else r[part] for r in (run, done[0]))
                apart = [x for x in whole if x not in left] + [x for x in left if x not in whole]
                faults.append(f"{name}: other {part}: {apart[:4]}")
    key = lambda v: sorted(json.dumps(row, sort_keys=True) for row in v)  # noqa: E731
    if key(got["versions"]) != key(wanted["versions"]):
        faults.append(f"registry: {len(got['versions'])} versions, {len(wanted['versions'])} wanted")
    if got["registered half"]:
        faults.append(f"half models are registered: {got['registered half']}")
    return faults


def finished_early(wanted: dict[str, Any], place: Place) -> list[str]:
    """Runs that say FINISHED after the kill, and lack numbers. Read without MLflow, which would wait."""
    if not (place.folder / "mlflow.db").exists():
        return []
    question = """select t.value || ' ' || r.name, count(distinct m.key || ' ' || m.step) from runs r
        join tags t on t.run_uuid = r.run_uuid and t.key = 'sslseg.stage'
        left join metrics m on m.run_uuid = r.run_uuid and m.key not like '%cost/%'
        where r.status = 'FINISHED' and r.run_uuid not in
        (select run_uuid from tags where key = 'sslseg.resumed_as') group by r.run_uuid"""
    with sqlite3.connect(place.folder / "mlflow.db") as connection:
        found = connection.execute(question).fetchall()
    connection.close()
    return [
        f"{name}: FINISHED with {count} numbers after the kill"
        for name, count in found
        if name not in wanted["runs"] or count != len(wanted["runs"][name][0]["numbers"])
    ]
