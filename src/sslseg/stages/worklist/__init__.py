"""Which slices to annotate next, by what an encoder sees in them. Val and test are never listed."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sslseg.annotation import coreset
from sslseg.annotation.coreset import Pick, Pool
from sslseg.config import names, plugins
from sslseg.config.commands import kept
from sslseg.config.params import Finetune, Worklist
from sslseg.data import streams
from sslseg.data.slices import contact_sheet
from sslseg.data.slices.slice_store import Slices
from sslseg.data.slices.sources import listed
from sslseg.stages.intake import upstream
from sslseg.stages.outcome import endings
from sslseg.stages.worklist import gain, pools
from sslseg.tracking import lineage, session
from sslseg.training.devices import fill  # noqa: F401 a hook of `launch`

DRAWS = 20  # random lists that the radius is compared with


def run(p: Worklist, run: session.Run) -> None:
    """Log the list, its contact sheet, how well it covers train, and, if asked, what it would have gained.

    Raises:
        EncoderError: see `upstream.fetch`.
        ParamError: fewer slices can be listed than were asked for.
        LeakError: see `gain.simulate`.
    """
    start = upstream.begin(p, run)
    model, data = start.source.resolved, start.data
    assert model is not None  # `refusals` lets no scratch through
    start.enter()
    run.tag(names.TAG_LINEAGE, lineage.text(lineage.walk(model.run_id)))
    rows = data.rows["train"]
    features = pools.see(start, rows)
    had = pools.annotated(data, data.labelled["train"], p.annotated, p.seed)
    pool = pools.of(data.store, rows, features, np.isin(rows, had))
    picks = pools.pick(p, pool, p.slices)
    _log(p, run, data.store, rows, pool, picks)
    if p.simulate:
        gain.simulate(start, features)


# ---------------------------------------------------------------- what is logged
def table(choice: str, store: Slices, rows: np.ndarray, pool: Pool, picks: Sequence[Pick]) -> pd.DataFrame:
    """One row a slice, first things first; `z` counts from 0 as the file does, `time` is set for 4D files."""
    found, series = [], _series(store)
    for rank, one in enumerate(picks, 1):
        row = store.index.iloc[rows[one.place]]
        volume = store.volume_table.iloc[row["volume"]]
        files = series.get(volume["image"])
        part = coreset.THIRDS[pool.thirds[one.place]] if volume["slices"] > 1 else ""
        found.append(
            {
                "rank": rank,
                **{key: row[key] for key in ("patient", "group", "frame", "phase", "z")},
                "third": part,
                "file": files[row["z"]] if files else volume["image"],
                "time": "" if volume["position"] < 0 else int(volume["position"]),
                "distance": round(one.distance, 4),
                "reason": _reason(choice, one, str(row["group"]), part),
            }
        )
    return pd.DataFrame(found)


def _series(store: Slices) -> dict[str, list[str]]:
    """First file -> all files of each volume whose slices lie in files of their own, relative to the data folder."""
    module, root = plugins.load("datasets", store.dataset), store.root
    if root is None or not hasattr(module, "slice_files"):
        return {}
    found = [module.slice_files(source) for source in listed(module, root, lenient=True)[0]]
    relative = [[Path(os.path.relpath(file, root)).as_posix() for file in files] for files in found]
    return {files[0]: files for files in relative if files}


def _reason(choice: str, one: Pick, group: str, part: str) -> str:
    if choice == "k-median":
        rule = f"with it train slices are {one.reach:.3f} from an annotated or listed one on average"
    elif np.isnan(one.distance):
        rule = "nearest to the mean of all, as nothing is annotated yet"
    else:
        rule = f"{one.distance:.3f} from the nearest slice annotated or listed before"
    within = f", {one.third_had} in the {part}" if part else ""
    return f"{rule}; {group or 'all'}: {one.group_had} slices so far{within}"


def _log(
    p: Worklist, run: session.Run, store: Slices, rows: np.ndarray, pool: Pool, picks: list[Pick]
) -> None:
    listed = table(p.choice, store, rows, pool, picks)
    run.text(listed.to_csv(index=False), "worklist.csv")
    places = [one.place for one in picks]
    with tempfile.TemporaryDirectory() as scratch:
        sheet = Path(scratch) / "worklist.png"
        contact_sheet.contact_sheet(store, sheet, [int(rows[place]) for place in places])
        run.artifact(sheet)
    free = np.flatnonzero(~pool.annotated)
    drawn = [streams.stream(p.seed, "worklist", i).permutation(free)[: len(picks)] for i in range(DRAWS)]
    mean, radius = coreset.reach(pool, places)
    at_random = np.mean([coreset.reach(pool, list(d)) for d in drawn], axis=0)
    reached = {
        "worklist/slices": len(picks),
        "worklist/annotated": int(pool.annotated.sum()),
        "worklist/candidates": len(free),
        "worklist/patients": listed["patient"].nunique(),
        "worklist/reach": mean,
        "worklist/reach_random": float(at_random[0]),
        "worklist/radius": radius,
        "worklist/radius_random": float(at_random[1]),
    }
    if pool.annotated.any():
        before = coreset.reach(pool, [])
        reached |= {"worklist/reach_before": before[0], "worklist/radius_before": before[1]}
    run.log(reached)
    told = listed.drop(columns=["reason", "time"])
    print(told.loc[:, (told != "").any()].to_string(index=False, na_rep="–"))
    print(
        f"a train slice's distance from the nearest annotated one: mean {mean:.3f} with this list and "
        f"{at_random[0]:.3f} with as many at random; largest {radius:.3f} and {at_random[1]:.3f}"
    )
    endings.tell(
        f"z counts slices from 0; worklist.csv and worklist.png of run {run.id}, under Artifacts in the MLflow UI"
    )
    endings.following(names.FINETUNE, "next, when they are annotated", encoder=p.encoder, **kept(p, Finetune))
