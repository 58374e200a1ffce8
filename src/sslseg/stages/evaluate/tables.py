"""What an evaluation leaves: metrics, tables, the clinical figure, and a page."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.statistics import patients
from analysis.statistics.words import plural
from sslseg.config import caches, names
from sslseg.config.params import Evaluate
from sslseg.data import streams
from sslseg.data.source import Published
from sslseg.scoring import clinical, volumes
from sslseg.scoring import patients as by_patient
from sslseg.stages.evaluate import agreement
from sslseg.stages.evaluate import page as evaluate_page
from sslseg.stages.outcome import endings
from sslseg.tracking import session

# means over the classes: what evaluations are compared by first
HEADLINE = ("dice", "hd95_mm", volumes.FAILURES)
PAGE, FIGURE = "page.md", "agreement.png"


def log(
    p: Evaluate,
    run: session.Run,
    table: pd.DataFrame,
    per_slice: pd.DataFrame,
    skipped: list[dict],
    facts: Sequence[str],
    printed: Sequence[Published],
    number: Mapping[str, int],
) -> None:
    """Log everything below `evaluate`, and write the page and its tables to `p.out` too.

    Args:
        table, per_slice: rows of `volumes.score` and `volumes.slice_scores` with patient, group, frame, phase.
        facts: lines of the page.
        printed: published figures on this dataset.
        number: of each patient of the dataset, see `by_patient.numbers`.
    """
    summary = volumes.summarise(table, _interval(p, "bootstrap"))
    counted = volumes.counts(table)
    phased = clinical.applies(set(table["class"]), set(table["phase"]))
    more = _clinical(p, table, printed) if phased else {}
    shown = {"summary": summary, "counts": counted, **more}
    measured = shown.pop("clinical", None)
    tables = {"cases": table, "slices": per_slice}
    tables |= {"skipped": pd.DataFrame(skipped)} if skipped else {}
    tables |= {} if measured is None else {"clinical": measured}
    metrics = _metrics(table, per_slice, summary, counted) | {"evaluate/skipped": len(skipped)}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if phased:
            (folder / "acdc.csv").write_text(clinical.acdc_csv(table), encoding="utf-8")
        if measured is not None:
            agreement.save(measured, shown["agreement"], folder / FIGURE)
            metrics |= _clinical_metrics(shown["agreement"])
        counts = {"patient": table["patient"].nunique(), "volume": len(table) // table["class"].nunique()}
        cohort = ", ".join(plural(count, word) for word, count in counts.items())
        title, optional = f"Evaluation on {p.dataset}", [shown.get(k) for k in ("agreement", "published")]
        (folder / PAGE).write_text(
            evaluate_page.text(title, [*facts, cohort], summary, *optional), encoding="utf-8"
        )
        for name, frame in (tables | shown).items():
            frame.to_csv(folder / f"{name}.csv", index=False)
        run.artifact(folder, "evaluate")
        if p.out:
            _copy(folder, Path(p.out).expanduser(), [PAGE, FIGURE, *(f"{name}.csv" for name in shown)])
    run.log({key: value for key, value in metrics.items() if not np.isnan(value)})
    _log_patients(run, table, measured, number)
    others = f" of {len(number)}; part=all scores every one" if p.part != "all" else ""
    print(
        f"{cohort} (part={p.part}{others}); from low to high is the 95 % interval of the mean over patients"
    )
    for frame in shown.values():
        text = frame.drop(columns="source", errors="ignore")
        if "patients" in text:
            # a score of a class that no patient has says nothing; `counts` has it as absent
            text = text[text["patients"] > 0]
        print(text.to_string(index=False, na_rep="–", float_format=lambda v: f"{v:.3f}"))
    out = Path(p.out).expanduser().resolve() / PAGE
    where = f"also {out}" if p.out else "-P out=FOLDER writes it to a folder, too"
    endings.tell(f"page: evaluate/{PAGE} of run {run.id}, under Artifacts in the MLflow UI; {where}")
    if any(p.model):
        endings.segmenting(",".join(p.model))
    else:
        endings.compare(run.experiment_id, run.uri)


def _log_patients(
    run: session.Run, table: pd.DataFrame, measured: pd.DataFrame | None, number: Mapping[str, int]
) -> None:
    """Every score patient by patient, so that what several runs say of new patients can be told from the store."""
    table = table.assign(**{volumes.FAILURES: volumes.failed(table)})
    found = by_patient.of_volumes(table, [*volumes.SCORES, volumes.FAILURES])
    if measured is not None:
        found = found.join(clinical.errors(measured))
    for step, scores in by_patient.points(found, number, names.EVALUATED_PATIENTS):
        run.log(scores, step)


def _metrics(
    table: pd.DataFrame, per_slice: pd.DataFrame, summary: pd.DataFrame, counted: pd.DataFrame
) -> dict[str, float]:
    metrics = {"evaluate/patients": table["patient"].nunique()}
    for row in summary.itertuples():
        metrics |= _with_interval(f"evaluate/{row.score}/{row[1]}", row.mean, row.low, row.high)
    classes = summary[~summary["class"].str.startswith("region ")]  # regions are made of classes
    means = classes.groupby("score")["mean"].mean()
    metrics |= {f"evaluate/{score}": means[score] for score in HEADLINE}
    for row in counted.itertuples():
        metrics |= {f"evaluate/{status}/{row[1]}": getattr(row, status) for status in volumes.STATUS}
    sliced = per_slice.groupby("class", sort=False)[["dice", "iou"]].mean()
    for name, row in sliced.iterrows():
        metrics |= {f"evaluate/slice_{score}/{name}": value for score, value in row.items()}
    return metrics


def _clinical(p: Evaluate, table: pd.DataFrame, printed: Sequence[Published]) -> dict[str, pd.DataFrame]:
    """`clinical` by patient, its `agreement` and what is `published` beside it; {} where no patient has both phases."""
    measured = clinical.measure(table)
    if measured.empty:
        return {}
    found = clinical.agreement(measured, _interval(p, "bootstrap-clinical"))
    beside = clinical.beside(found, printed)
    return {"clinical": measured, "agreement": found} | ({"published": beside} if len(beside) else {})


def _clinical_metrics(found: pd.DataFrame) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for row in found.itertuples():
        key = row.quantity.replace(" ", "_")
        metrics |= _with_interval(f"evaluate/mae/{key}", row.mae, row.mae_low, row.mae_high)
        metrics |= {f"evaluate/{n}/{key}": getattr(row, n) for n in ("bias", "sd", "r", "worst_cases")}
    return metrics


def _interval(p: Evaluate, stream: str) -> volumes.Interval:
    """Ends of the 95 % interval over patients of a score."""
    rng = streams.stream(p.seed, stream)

    def ends(values: np.ndarray, score: str) -> tuple[float, float]:
        if score == volumes.FAILURES:
            found = patients.share(values)
        else:
            bounds = (0.0, 1.0) if score in ("dice", "iou") else (0.0, np.inf)
            found = patients.mean(values, rng, resamples=p.resamples, bounds=bounds)
        return found.low, found.high

    return ends


def _with_interval(key: str, value: float, low: float, high: float) -> dict[str, float]:
    return {key: value, f"{key}/low": low, f"{key}/high": high}


def _copy(folder: Path, out: Path, names: Sequence[str]) -> None:
    """The page and what it shows, no row of a single patient."""
    caches.claim(out)
    for name in names:
        if (folder / name).is_file():
            (out / name).write_bytes((folder / name).read_bytes())
