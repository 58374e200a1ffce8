"""Real SIGKILLs at random effects of every stage: `python -m tests.long.kills [--kills 20]`, `make kills`.

The same command again has to end with the numbers, models and registry entries of an uninterrupted run, bit
by bit, and to do again at most one checkpoint interval. Each kill has a store, checkpoints and a study of
its own; the prepared data are shared.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.long import saboteur

INTERVAL = 3  # steps between two checkpoints
GROUPS = {"step": 0.4, "checkpoint": 0.3, "store": 0.3}  # shares of the kills
FINE = {"steps": "8", "checkpoint_every": str(INTERVAL), "eval_every": "2"}
PRE = {"steps": "8", "checkpoint_every": str(INTERVAL), "save_epochs": "0,1,3"}
SMALL = ";".join(
    f"{name}=fixed" for name in ("warmup", "clip", "schedule", "crop_scale", "brightness", "contrast")
)
STAGES = ("pretrain", "finetune", "sweep", "tune")


@dataclass(frozen=True)
class Place:
    """Where the commands of one kill work: a store, a cache and logs of its own."""

    folder: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"


def argv_of(stage: str, root: Path, place: Place) -> tuple[list[str], str | None]:
    """Command line and method of a stage on tiny settings."""
    from tests.tiny_runs import TEXTS

    own = ("dataset", "data_root", "cache", "threads", "budget", "encoder")
    data = {"dataset": "acdc", "data_root": str(root), "cache": str(place.cache), "threads": "1"}
    fine, pre = TEXTS["finetune"] | FINE, TEXTS["pretrain"] | PRE

    def inner(texts: dict[str, str]) -> str:
        return ";".join(f"{k}={v}" for k, v in texts.items() if k not in own)

    texts = {
        "finetune": fine | data,
        "pretrain": pre | data,
        "sweep": data | {"workers": "1", "pipelines": "scratch,byol-target", "budgets": "3", "seeds": "0",
                         "finetune": inner(fine), "pretrain": inner(pre), "device": "cpu"},
        "tune": data | {"encoder": "scratch", "finetune": inner(fine), "budget": "3", "trials": "2",
                        "startup": "1", "space": SMALL, "pruner": "none", "device": "cpu"},
    }[stage]  # fmt: skip
    return [f"--{k}={v}" for k, v in texts.items()], "byol" if stage == "pretrain" else None


def forked(action: Callable[[], Any], output: Path | None = None) -> int:
    """Run `action` in a child process of its own session; returns its exit code, -9 after a SIGKILL."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        os.setsid()
        if output:
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(file, 1)
            os.dup2(file, 2)
        action()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def command(
    stage: str, root: Path, place: Place, log: str, at: int | None = None, mode: str = "all", uri: str = ""
) -> int:
    """Give the command once, with its effects noted, and killed in one of them."""
    argv, method = argv_of(stage, root, place)

    def action() -> None:
        told = {"log": str(place.folder / log), "at": at, "mode": mode}
        os.environ |= {saboteur.VARIABLE: json.dumps(told), "MLFLOW_TRACKING_URI": uri or place.uri}
        saboteur.install()
        from sslseg import launch

        launch.main(stage, argv, method)

    return forked(action, place.folder / f"{log}.output")


def facts(place: Place) -> dict[str, Any]:
    """What a reader of the store gets: of every run its numbers, parameters, models; and the registry."""
    out = place.folder / "facts.json"

    def action() -> None:
        out.write_text(json.dumps(_facts(place.uri)))

    if code := forked(action, place.folder / "facts.output"):
        raise RuntimeError(f"facts of {place.folder}: exit code {code}")
    return json.loads(out.read_text())


def _facts(uri: str) -> dict[str, Any]:
    os.environ["MLFLOW_TRACKING_URI"] = uri
    from sslseg import history, names, registry, store, tracking

    api, runs, twice = store.client(uri), {}, 0
    for run in tracking.search({}, uri=uri):
        tags, keys = run.data.tags, [k for k in run.data.metrics if not k.startswith(("cost/", "system/"))]
        curves = history.curves([run.info.run_id], keys, uri)
        if curves.duplicated(["key", "step"]).any():
            raise AssertionError("a step is read twice")
        twice += _rows(uri, run.info.run_id) - len(curves)
        models = api.search_logged_models(["0"], f"source_run_id = '{run.info.run_id}'")
        own = (names.MODEL_KIND, names.MODEL_ROLE, names.MODEL_EPOCH, names.MODEL_STEP, names.MODEL_SHA)
        runs.setdefault(f"{tags[names.TAG_STAGE]} {run.info.run_name}", []).append(
            {
                "status": run.info.status,
                "numbers": [
                    [k, int(s), repr(float(v))] for k, s, v in curves[["key", "step", "value"]].values
                ],
                "params": {
                    k: v for k, v in run.data.params.items() if not k.endswith((".cache", ".storage"))
                },
                "models": sorted([m.tags.get(t) or "" for t in own] for m in models if m.status == "READY"),
                "resumed": tags.get("sslseg.resumed_at_step", ""),
            }
        )
    versions = [
        {k: row[k] for k in ("name", "aliases", names.MODEL_SHA)}
        for kind in ("encoder", "segmenter")
        for row in registry.versions(kind, uri)
        if api.get_run(row["run_id"]).info.status == "FINISHED"  # others are whole models of a dead run
    ]
    half = [m.model_id for m in api.search_logged_models(["0"]) if m.status != "READY"]
    broken = [r["model_id"] for k in ("encoder", "segmenter") for r in registry.versions(k, uri)
              if r["model_id"] in half]  # fmt: skip
    return {"runs": runs, "versions": versions, "registered half": broken, "logged twice": twice}


def _rows(uri: str, run_id: str) -> int:
    """Values in the store, those that were logged twice counted twice."""
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as connection:
        question = "select count(*) from metrics where run_uuid = ? and key not like 'cost/%'"
        (count,) = connection.execute(question, (run_id,)).fetchone()
    connection.close()
    return count


def compare(wanted: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """Faults of what is there after the second command."""
    faults = []
    for name, (run,) in wanted["runs"].items():
        done = [r for r in got["runs"].get(name, []) if r["status"] == "FINISHED"]
        if len(done) != 1:
            faults.append(f"{name}: {len(done)} FINISHED runs")
            continue
        for part in ("numbers", "params", "models"):
            if done[0][part] != run[part]:
                apart = [x for x in run[part] if x not in done[0][part]]
                apart += [x for x in done[0][part] if x not in run[part]]
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
        left join metrics m on m.run_uuid = r.run_uuid and m.key not like 'cost/%'
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


def draw(effects: list[str], kills: int, rng: random.Random) -> list[int]:
    """Numbers of the effects to die in: each group its share, none twice."""
    of = {group: [n for n, name in enumerate(effects) if name.startswith(group)] for group in GROUPS}
    chosen: list[int] = []
    for group, share in GROUPS.items():
        chosen += rng.sample(of[group], min(len(of[group]), max(1, round(share * kills))))
    rest = [n for n in range(len(effects)) if n not in chosen]
    rng.shuffle(chosen)
    return (chosen + rng.sample(rest, len(rest)))[:kills]


def fresh(base: Path, name: str) -> Place:
    """An empty store and a cache that has the data prepared."""
    place = Place(base / name)
    (place.cache).mkdir(parents=True)
    shutil.copy(base / "template.db", place.folder / "mlflow.db")
    with sqlite3.connect(place.folder / "mlflow.db") as connection:
        connection.execute("update experiments set artifact_location = ?", (f"{place.folder}/mlruns/0",))
    connection.close()
    (place.cache / "slices").symlink_to(base / "prepared" / "slices")
    return place


def begin(base: Path) -> Path:
    """Cohort, prepared slices and the empty store that all kills start from; returns the cohort's folder."""
    from sslseg.data import phantom_tree, slices

    base.mkdir(parents=True, exist_ok=True)
    root = phantom_tree.write(base / "acdc", patients=6, seed=1, size=64, slices=3)

    def action() -> None:
        from sslseg.store import ensure_store

        ensure_store(f"sqlite:///{base}/template.db")
        with sqlite3.connect(base / "template.db") as connection:
            connection.execute("pragma wal_checkpoint(truncate)")
        connection.close()
        slices.prepare("acdc", root, base / "prepared", spacing=0, progress=False)

    if forked(action, base / "begin.output"):
        raise RuntimeError((base / "begin.output").read_text())
    return root


def one(stage: str, root: Path, place: Place, at: int, mode: str, wanted: dict, steps: int) -> dict[str, Any]:
    """Kill once, go on, and say what came of it."""
    begun = time.perf_counter()
    code = command(stage, root, place, "killed", at, mode)
    died = saboteur.effects(place.folder / "killed")[at]
    faults = []
    if code != (0 if mode == "worker" else -signal.SIGKILL):
        faults.append(f"exit code {code} of the killed command")
    if mode == "all":
        faults += finished_early(wanted, place)
        if code := command(stage, root, place, "again"):
            output = (place.folder / "again.output").read_text()[-400:]
            faults.append(f"exit code {code} of the second command: {output}")
    got = facts(place)
    both = saboteur.effects(place.folder / "killed") + saboteur.effects(place.folder / "again")
    repeated = sum(name.startswith("step") and name.endswith("done") for name in both) - steps
    faults += compare(wanted, got)
    if repeated > INTERVAL:
        faults.append(f"{repeated} steps done again, at most {INTERVAL}")
    resumed = any(run["resumed"] for runs in got["runs"].values() for run in runs)
    return {"stage": stage, "died": died, "mode": mode, "repeated": max(repeated, 0), "resumed": resumed,
            "twice": got["logged twice"], "faults": faults,
            "seconds": round(time.perf_counter() - begun, 1)}  # fmt: skip


def whole(stage: str, base: Path, root: Path) -> tuple[dict[str, Any], list[str]]:
    """Facts and effects of the command when nothing happens to it."""
    place = fresh(base, f"{stage}-whole")
    if code := command(stage, root, place, "whole"):
        raise RuntimeError(
            f"{stage}: exit code {code}: {(place.folder / 'whole.output').read_text()[-3000:]}"
        )
    return facts(place), saboteur.effects(place.folder / "whole")


def until_the_end(effects: list[str]) -> list[str]:
    """Without what follows the stored end of the last run: the same command after it rightly runs it all again."""
    ends = [i for i, name in enumerate(effects) if name == "store set_terminated done"]
    return effects[: ends[-1]] if ends else effects


def warm_up() -> None:
    """Import once what every child needs; without a thread, since they are forked."""
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    from sslseg import history, launch, registry  # noqa: F401
    from sslseg.stages import finetune, pretrain, tune  # noqa: F401


def try_stage(stage: str, kills: int, seed: int, base: Path, root: Path, keep: bool = False) -> list[dict]:
    """All kills of one stage."""
    wanted, effects = whole(stage, base, root)
    effects = until_the_end(effects)
    steps = sum(name.startswith("step") and name.endswith("done") for name in effects)
    print(f"{stage}: {len(effects)} effects, {steps} steps", flush=True)
    rows = []
    for number, at in enumerate(draw(effects, kills, random.Random(f"{seed} {stage}"))):
        # of a sweep, every second kill takes the worker alone, and the command goes on by itself
        worker = stage == "sweep" and number % 2 and effects[at].startswith(("step", "checkpoint"))
        place = fresh(base, f"{stage}-{number}")
        row = one(stage, root, place, at, "worker" if worker else "all", wanted, steps)
        rows.append(row)
        print(json.dumps(row), flush=True)
        if not (keep or row["faults"]):
            shutil.rmtree(place.folder)
    return rows


def table(rows: list[dict]) -> str:
    """Markdown: what was killed, and what came of it."""
    lines = ["| stage | kills | of them in a checkpoint's writing | gone on with | steps done again, at most |"
             " numbers logged twice | faults |", "|---|--:|--:|--:|--:|--:|--:|"]  # fmt: skip
    for stage in dict.fromkeys(row["stage"] for row in rows):
        own = [row for row in rows if row["stage"] == stage]
        kinds = Counter(row["died"].split()[0] for row in own)
        lines.append(
            f"| {stage} | {len(own)} | {kinds['checkpoint']} | {sum(r['resumed'] for r in own)} | "
            f"{max(r['repeated'] for r in own)} | {sum(r['twice'] for r in own)} | "
            f"{sum(bool(r['faults']) for r in own)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", nargs="*", default=list(STAGES))
    parser.add_argument("--kills", type=int, default=20, help="of each stage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="keep the stores")
    parser.add_argument("--folder", type=Path, help="work here; default: a temporary folder")
    parser.add_argument("--table", type=Path, help="write the counts to this file, as Markdown")
    options = parser.parse_args()
    warm_up()
    base = options.folder or Path(tempfile.mkdtemp(prefix="sslseg-kills-"))
    root = begin(base)
    rows = []
    for stage in options.stages:
        rows += try_stage(stage, options.kills, options.seed, base, root, options.keep)
    if options.table:
        options.table.write_text(table(rows) + "\n")
    print(table(rows))
    failed = [row for row in rows if row["faults"]]
    if not (options.folder or failed):
        shutil.rmtree(base)
    print(f"{len(rows)} kills, {len(failed)} with faults" + (f"; see {base}" if failed else ""))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
