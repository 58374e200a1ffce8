"""Read a dataset into a slice store; show what is in it before anything is trained."""

from __future__ import annotations

import json

from sslseg.config import names, plugins
from sslseg.config.params import Prepare
from sslseg.data import training_set
from sslseg.stages.intake import inputs
from sslseg.tracking import identity, session


def identify(p: Prepare) -> str:
    """sha256 of the parameters, the data and the code that reads it."""
    code = identity.code_digest("sslseg.stages.prepare", plugins.path("datasets", p.dataset))
    return identity.of(p, upstream_sha="", data=training_set.store(p).digest, subset="", code=code)


def run(p: Prepare, run: session.Run) -> None:
    """Prepare, and log fingerprint, contact sheet and the table of what was left out."""
    data = training_set.load(p)
    inputs.record(p, data, run)
    run.text(json.dumps(data.store.fingerprint, indent=2, sort_keys=True), names.FINGERPRINT)
    run.text(data.store.volume_table.to_csv(index=False), "volumes.csv")
    for file in sorted(data.store.path.glob("*.png")):
        run.artifact(file)
    if data.store.skipped:
        rows = "".join(f"{s['file']}\t{s['reason']}\n" for s in data.store.skipped)
        run.text("file\treason\n" + rows, names.SKIPPED)
    index = data.store.index
    run.log(
        {
            "data/patients": index["patient"].nunique(),
            "data/volumes": index["volume"].nunique(),
            "data/slices": len(index),
            "data/labelled_slices": int(index["labelled"].sum()),
            "data/skipped": len(data.store.skipped),
            **{f"data/{name}_slices": len(rows) for name, rows in data.rows.items()},
            **{f"data/{name}_labelled": len(rows) for name, rows in data.labelled.items()},
        }
    )
    run.tag(names.TAG_LINEAGE, p.dataset)
    print(f"prepared {len(index)} slices of {index['patient'].nunique()} patients: {data.store.path}")
