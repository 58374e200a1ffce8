"""Read a dataset into a slice store; show what is in it before anything is trained."""

import json
from collections import Counter
from pathlib import Path

import pandas as pd

from analysis.statistics.words import plural
from sslseg.config import caches, names, plugins
from sslseg.config.commands import kept
from sslseg.config.names import DataError
from sslseg.config.params import Prepare, Pretrain, Sweep
from sslseg.config.texts import some
from sslseg.data import training_set
from sslseg.data.folders import detect, settings
from sslseg.data.folders import patients as patients_of
from sslseg.data.readers import pictures
from sslseg.data.slices import account, copies, prepare
from sslseg.data.slices.slice_store import Slices
from sslseg.stages.intake import doubts, inputs
from sslseg.stages.outcome import endings
from sslseg.tracking import identity, session

OUTLINES = {".json", ".xml"}  # of LabelMe, COCO, VOC, CVAT …


def identify(p: Prepare) -> str:
    """sha256 of the parameters, the data and the code that reads it.

    Raises:
        DataError: the folder cannot be read; where it is another format's, that is named.
    """
    code = identity.code_digest("sslseg.stages.prepare", plugins.path("datasets", p.dataset))
    try:
        data = training_set.store(p).digest
    except DataError as error:
        raise DataError(f"{error}{_other_format(p)}") from None
    return identity.of(p, upstream_sha="", data=data, subset="", code=code)


def _other_format(p: Prepare) -> str:
    """The formats that find annotated images where the one that was given finds nothing; "" where it finds some."""
    if p.dataset not in detect.formats() or not (root := Path(p.data_root)).is_dir():
        return ""
    answers = detect.ask(root)
    others = [f"dataset={answer.dataset}" for answer in answers if answer.labelled]
    refused = any(answer.refusal for answer in answers if answer.dataset == p.dataset)
    return f"; {' and '.join(others)} can read this folder" if refused and others else ""


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
    if same := copies.find(data.store, data.rows):
        print(f"warning: {copies.sentence(same)}")
        rows = "".join("\t".join(map(" | ".join, (c.patients, c.sides, c.images))) + "\n" for c in same)
        run.text("patients\tsides\timages\n" + rows, names.SAME_SCANS)
    index = data.store.index
    run.log(
        {
            "data/patients": index["patient"].nunique(),
            "data/volumes": index["volume"].nunique(),
            "data/slices": len(index),
            "data/labelled_slices": int(index["labelled"].sum()),
            "data/skipped": len(data.store.skipped),
            "data/same_scans": len(same),
            **{f"data/{name}_slices": len(rows) for name, rows in data.rows.items()},
            **{f"data/{name}_labelled": len(rows) for name, rows in data.labelled.items()},
        }
    )
    run.tag(names.TAG_LINEAGE, p.dataset)
    _tell(p, data, run)


def _tell(p: Prepare, data: training_set.Inputs, run: session.Run) -> None:
    """What was understood, in a few lines; what to look at is in the run's description, too."""
    store = data.store
    index, volumes = store.index, store.volume_table
    annotated, patients = int(index["labelled"].sum()), index["patient"].nunique()
    print(
        f"prepared {plural(len(index), 'slice')} of {plural(patients, 'patient')}, {annotated or 'none'} annotated: "
        f"{', '.join(store.classes[1:]) or 'no class'}"
    )
    print(_measures(data))
    module = plugins.load("datasets", p.dataset)
    root = prepare.locate(p.dataset, p.data_root, caches.cache_folder(p.cache)).resolve()
    known = module.pairing(root) if hasattr(module, "pairing") else None
    if known and known.layout:
        print(f"the folder has the layout of {known.layout}")
        run.tag(names.TAG_LAYOUT, known.layout)
    aside = known.aside if known else module.aside(root) if hasattr(module, "aside") else {}
    unknown = _account(root, store, aside, run)
    warnings = [*(module.notes(root) if hasattr(module, "notes") else ()), *doubts.of(data)]
    if known:
        warnings += patients_of.alone(root, [case.name for case in known.cases.values()], known.settings)
    for warning in warnings:
        print(f"warning: {warning}")
    warnings += [one["note"] for one in store.notes]
    if warnings:
        run.note("\n".join(f"- {warning}" for warning in warnings))
    if known:
        if not annotated and getattr(module, "TAKES_ANY", False):
            print("no mask was found; docs/reference/data.md says how masks are found, and how to name them")
            if drawn := sorted(OUTLINES & {Path(file).suffix.lower() for file in unknown}):
                print(
                    f"outlines in {' and '.join(drawn)} are not read: export them as pictures, a value a class"
                )
        elif annotated and 1 < patients == len(volumes) and not known.names_patients:
            folders = {Path(case.name).parent for case in known.cases.values()}
            hint = "patient_regex or csv in sslseg.json say otherwise"
            if 1 < len(folders) < patients:
                hint = f'where a folder is a patient, {{"patient_regex": "(.+)/"}} in {settings.FILE} says so'
            print(f"every image is a patient of its own; {hint}")
    print(f"look at it: {store.path / prepare.SHEET}")
    if not run.parent:
        _go_on(p, data)


def _measures(data: training_set.Inputs) -> str:
    """Sizes, spacing, and how patients and annotated slices are divided."""
    table, index = data.store.volume_table, data.store.index
    sides = [_range(table[f"native_{side}"], "") for side in ("height", "width")]
    spacing = [_range(table[f"native_spacing_{axis}"], ".3g") for axis in "yx"]
    parts = ", ".join(
        f"{len(data.labelled[part])} for {part} ({plural(index.iloc[rows]['patient'].nunique(), 'patient')})"
        for part, rows in data.rows.items()
    )
    guessed = spacing == ["1", "1"] and all(
        Path(image).suffix.lower() in pictures.SUFFIXES for image in table["image"]
    )
    said = f" (assumed, for pictures do not say it; spacing in {settings.FILE} does)" if guessed else ""
    return f"{' x '.join(sides)} pixels of {' x '.join(spacing)} mm{said}; annotated slices: {parts}"


def _range(values: pd.Series, form: str) -> str:
    return " to ".join(dict.fromkeys(format(end, form) for end in (values.min(), values.max())))


def _go_on(p: Prepare, data: training_set.Inputs) -> None:
    """Compare pretrainings on a third and on all of what is annotated; where nothing is, pretrain or annotate."""
    if (many := len(data.labelled["train"])) and data.store.index["foreground"].any():
        budgets = ",".join(map(str, sorted({max(1, many // 3), many})))
        endings.following(
            names.SWEEP, **kept(p, Sweep), pipelines="scratch,supervised", budgets=budgets, seeds="0,1,2"
        )
    else:
        endings.following(
            "pretrain_byol", "next, to learn from images alone", encoder=names.SCRATCH, **kept(p, Pretrain)
        )
        endings.to_annotate(p, "UPSTREAM", "or, with an encoder that `sslseg encoders` lists")


def _account(root: Path, store: Slices, aside: dict[str, str], run: session.Run) -> list[str]:
    """What became of every file of the folder, in a table and in one line; returns those of which nothing is known."""
    entries = account.account(root, store.fingerprint["files"], store.skipped, aside)
    notes = {one["file"]: one["note"] for one in store.notes}
    rows = "".join(f"{e.file}\t{e.state}\t{e.count}\t{e.reason or notes.get(e.file, '')}\n" for e in entries)
    run.text("file\tstate\tfiles\treason\n" + rows, names.FILES)
    counts = account.counts(entries)
    run.log({f"data/files_{state}": many for state, many in counts.items()})
    why: Counter[str] = Counter()
    for entry in entries:
        why[entry.reason] += entry.count if entry.state == account.SKIPPED else 0
    reason, many = max(why.items(), key=lambda item: item[1], default=("", 0))
    words = f" ({reason}: {many})" if many else ""
    print(
        f"of the files in {root}, {counts[account.READ]} read, {counts[account.SKIPPED]} skipped{words}, "
        f"{counts[account.UNKNOWN]} unknown: see {names.FILES} of the run"
    )
    if lost := [e for e in entries if e.state == account.UNKNOWN and e.image]:
        files = (f"{e.file} ({e.reason})" for e in lost)
        print(f"warning: {len(lost)} files may be images and are not read: {some(files, 3)}")
    return [e.file for e in entries if e.state == account.UNKNOWN]
