"""Read a dataset into a slice store; show what is in it before anything is trained."""

from __future__ import annotations

import json
from collections import Counter

from sslseg.config import caches, names, plugins
from sslseg.config.params import Prepare
from sslseg.data import training_set
from sslseg.data.slices import prepare
from sslseg.data.slices.slice_store import Slices
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
    _tell(p, data.store, run)


def _tell(p: Prepare, store: Slices, run: session.Run) -> None:
    """What was understood, in a few lines; the files that were not read go into a table."""
    index, volumes = store.index, store.volume_table
    annotated, patients = int(index["labelled"].sum()), index["patient"].nunique()
    print(
        f"prepared {len(index)} slices of {patients} patients, {annotated or 'none'} annotated: "
        f"{', '.join(store.classes[1:]) or 'no class'}"
    )
    module = plugins.load("datasets", p.dataset)
    if hasattr(module, "pairing"):
        known = module.pairing(prepare.locate(p.dataset, p.data_root, caches.cache_folder(p.cache)).resolve())
        if known.layout:
            print(f"the folder has the layout of {known.layout}")
            run.tag(names.TAG_LAYOUT, known.layout)
        if known.aside:
            rows = "".join(f"{file}\t{why}\n" for file, why in sorted(known.aside.items()))
            run.text("file\treason\n" + rows, "aside.tsv")
            why, many = Counter(known.aside.values()).most_common(1)[0]
            print(f"{len(known.aside)} files are not read, see aside.tsv of the run: {why} ({many})")
        if not annotated and getattr(module, "TAKES_ANY", False):
            print("no mask was found; docs/reference/data.md says how masks are found, and how to name them")
        elif (
            annotated
            and 1 < patients == len(volumes)
            and not known.settings.csv
            and not known.settings.patient_regex
        ):
            print("every image is a patient of its own; patient_regex or csv in sslseg.json say otherwise")
    print(f"look at it: {store.path / prepare.SHEET}")
