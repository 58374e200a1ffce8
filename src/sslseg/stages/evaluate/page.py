"""What an evaluation found, as one page of Markdown for the run and for a report."""

from collections.abc import Sequence

import pandas as pd

SHOWN = {"dice": "Dice", "iou": "IoU", "hd_mm": "HD, mm", "hd95_mm": "HD95, mm", "assd_mm": "ASSD, mm",
         "absolute_error_ml": "volume error, ml", "failure_rate": "failure rate"}  # fmt: skip
POLICY = (
    "Per patient in 3D at the original resolution; a patient's volumes are averaged first. Intervals are 95 %, "
    "over patients (studentised bootstrap; of failures, Clopper and Pearson's): they are about this model on "
    "patients like these, and say nothing of another training run. A missed or invented structure is the worst "
    "case (Dice 0, distances the image's diagonal, ejection fraction 0 or 100 %), is counted as a failure, and is "
    "never left out."
)
FOLDED = "mean absolute error of published figures: that of normal errors of their bias and s.d."


def text(
    title: str,
    facts: Sequence[str],
    summary: pd.DataFrame,
    agreement: pd.DataFrame | None = None,
    published: pd.DataFrame | None = None,
) -> str:
    """The page.

    Args:
        facts: lines about model and data.
        summary: of `volumes.summarise`.
        agreement: of `clinical.agreement`, where there is ED and ES.
        published: of `clinical.beside`.
    """
    parts = [f"# {title}", "\n".join(f"- {fact}" for fact in facts), POLICY, _scores(summary)]
    if agreement is not None and len(agreement):
        figure = "![Bland-Altman and correlation](agreement.png)"
        parts += ["## Clinical agreement", _agreement(agreement), figure]
    if published is not None and len(published):
        parts += ["## Beside published figures", _published(published), f"\\* {FOLDED}", _sources(published)]
    return "\n\n".join(parts) + "\n"


def _scores(summary: pd.DataFrame) -> str:
    """A row a class, a column a score."""
    classes = summary["class"].drop_duplicates().tolist()
    by = summary.set_index(["class", "score"])
    rows = [[name, *(_interval(by.loc[(name, score)]) for score in SHOWN)] for name in classes]
    return table(["", *SHOWN.values()], rows)


def _agreement(found: pd.DataFrame) -> str:
    head = ["", "mean \\|error\\|", "bias", "limits of agreement", "r", "patients", "worst cases"]
    rows = [
        [f"{r.quantity}, {r.unit}", f"{_number(r.mae)} [{_number(r.mae_low)}, {_number(r.mae_high)}]",
         _number(r.bias), f"{_number(r.lower)} to {_number(r.upper)}", _number(r.r, 3), str(r.patients),
         str(r.worst_cases)]
        for r in found.itertuples()
    ]  # fmt: skip
    return table(head, rows)


def _published(found: pd.DataFrame) -> str:
    head = ["", "who", "cases", "mean \\|error\\|", "bias ± s.d.", "r"]
    rows = []
    for r in found.itertuples():
        error = _number(r.mae) + ("\\*" if r.source else f" [{_number(r.mae_low)}, {_number(r.mae_high)}]")
        patients = f"{r.patients} patients" if r.patients else ""
        cases = ", ".join(filter(None, [r.data, patients]))
        spread = f"{_number(r.bias, 2)} ± {_number(r.sd, 2)}"
        rows.append([f"{r.quantity}, {r.unit}", r.who, cases, error, spread, _number(r.r, 3)])
    return table(head, rows)


def _sources(found: pd.DataFrame) -> str:
    return "Published: " + "; ".join(found["source"].loc[found["source"] != ""].drop_duplicates()) + "."


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _interval(row: pd.Series) -> str:
    digits = 3 if row.name[1] in ("dice", "iou", "failure_rate") else 1
    return f"{_number(row['mean'], digits)} [{_number(row['low'], digits)}, {_number(row['high'], digits)}]"


def _number(value: float, digits: int = 1) -> str:
    return "–" if value != value else f"{value:.{digits}f}"
