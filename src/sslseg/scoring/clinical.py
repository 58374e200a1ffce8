"""What a cardiologist reads off the masks of ED and ES, and how far it is from the truth."""

import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sslseg.data.source import Published
from sslseg.scoring.volumes import Interval

CAVITIES, MUSCLE = ("LV", "RV"), "MYO"  # class names of acdc, mnms and phantom
DENSITY = 1.05  # g/ml of heart muscle, ACDC challenge
BESIDE = ["quantity", "unit", "who", "data", "patients", "r", "bias", "sd", "mae", "mae_low", "mae_high",
          "source"]  # fmt: skip
FAILED = ("missed", "invented")
LIMITS = 1.96  # standard deviations around the bias: Bland and Altman's limits of agreement
OFFICIAL_ORDER = ("LV", "RV", "MYO")  # ACDC's own script: labels 3, 1, 2


def applies(classes: Collection[str], phases: Collection[str]) -> bool:
    """Whether the data names a ventricle and has both phases."""
    return {"ED", "ES"} <= set(phases) and bool(set(CAVITIES) & set(classes))


def measure(table: pd.DataFrame) -> pd.DataFrame:
    """Clinical quantities of every patient with both phases, from the rows of `cases.score`.

    EDV, ESV and stroke volume in ml, ejection fraction in %, muscle mass at ED in g, muscle volume at ES
    in ml. A cavity missed at ED or ES gives the worst ejection fraction there could be, 0 or 100 %,
    whichever is farther from the truth; a predicted one below 0 is drawn to it.

    Of a patient with several examinations, each with both phases (`visit`), the mean of them; of an examination with
    several volumes of a phase, that of these.

    Args:
        table: also with columns patient and phase, and perhaps visit.

    Returns:
        patient, quantity, unit, truth, prediction, error (prediction - truth), worst_case (bool).
    """
    table = _with_visits(table)
    rows = []
    known = table["phase"].isin(["ED", "ES"]) & table["truth_ml"].notna()
    for (patient, _), part in table[known].groupby(["patient", "visit"], sort=False):
        merged: dict[str, Any] = {"truth_ml": "mean", "prediction_ml": "mean", "status": _worst}
        by = part.groupby(["class", "phase"], sort=False).agg(merged)
        rows += [{"patient": patient, **row} for row in _visit(by)]
    found = pd.DataFrame(rows)
    if rows and found.duplicated(["patient", "quantity"]).any():
        numbers = dict.fromkeys(("truth", "prediction", "error"), "mean")
        merged = {"unit": "first"} | numbers | {"worst_case": "any"}
        found = found.groupby(["patient", "quantity"], sort=False).agg(merged).reset_index()
    return found


def _with_visits(table: pd.DataFrame) -> pd.DataFrame:
    return table if "visit" in table else table.assign(visit="")


def _worst(status: pd.Series) -> str:
    return next((one for one in status if one in FAILED), status.iloc[0])


def _visit(by: pd.DataFrame) -> list[dict]:
    """Quantities of one examination, rows indexed by class and phase."""
    rows: list[dict] = []

    def add(quantity: str, unit: str, truth: float, prediction: float, worst: bool) -> None:
        rows.append({"quantity": quantity, "unit": unit, "truth": truth, "prediction": prediction,
                     "error": prediction - truth, "worst_case": worst})  # fmt: skip

    for name in (*CAVITIES, MUSCLE):
        if not {(name, "ED"), (name, "ES")} <= set(by.index):
            continue
        both = by.loc[(name, "ED")], by.loc[(name, "ES")]
        (edv, esv), (edv_hat, esv_hat) = ([float(v[k]) for v in both] for k in ("truth_ml", "prediction_ml"))
        ed_worst, es_worst = (v["status"] in FAILED for v in both)
        if name == MUSCLE:
            add(f"{name} ED mass", "g", edv * DENSITY, edv_hat * DENSITY, ed_worst)
            add(f"{name} ESV", "ml", esv, esv_hat, es_worst)
            continue
        worst = ed_worst or es_worst
        truth = 100 * (edv - esv) / edv if edv else np.nan
        if worst or not edv_hat:
            fraction = 0.0 if truth > 50 else 100.0
        else:
            fraction = float(np.clip(100 * (edv_hat - esv_hat) / edv_hat, 0, None))
        add(f"{name} EDV", "ml", edv, edv_hat, ed_worst)
        add(f"{name} ESV", "ml", esv, esv_hat, es_worst)
        add(f"{name} SV", "ml", edv - esv, edv_hat - esv_hat, worst)
        add(f"{name} EF", "%", truth, fraction, worst)
    return rows


def errors(measured: pd.DataFrame) -> pd.DataFrame:
    """Absolute errors: a row a patient, a column `mae/<quantity>` (LV_EF …), NaN where it has no such quantity."""
    positive = measured.assign(error=measured["error"].abs())
    by = positive.pivot(index="patient", columns="quantity", values="error")
    return by.rename(columns=lambda quantity: f"mae/{quantity.replace(' ', '_')}").rename_axis(columns=None)


def agreement(measured: pd.DataFrame, interval: Interval) -> pd.DataFrame:
    """Bland and Altman's bias and limits, correlation, and mean absolute error with its 95 % interval.

    Args:
        interval: as in `volumes.summarise`.

    Returns:
        quantity, unit, patients, worst_cases, bias, sd, lower, upper (limits of agreement), r, mae,
        mae_low, mae_high. sd and limits need two patients, r three; else NaN.
    """
    rows = []
    for quantity, part in measured.groupby("quantity", sort=False):
        part = part.dropna(subset=["error"])
        errors, n = part["error"].to_numpy(float), len(part)
        if not n:
            continue
        sd = float(errors.std(ddof=1)) if n > 1 else np.nan
        low, high = interval(np.abs(errors), "mae")
        rows.append(
            {"quantity": quantity, "unit": part["unit"].iloc[0], "patients": n,
             "worst_cases": int(part["worst_case"].sum()), "bias": errors.mean(), "sd": sd,
             "lower": errors.mean() - LIMITS * sd, "upper": errors.mean() + LIMITS * sd,
             "r": _correlation(part), "mae": np.abs(errors).mean(), "mae_low": low, "mae_high": high}
        )  # fmt: skip
    return pd.DataFrame(rows)


def _correlation(part: pd.DataFrame) -> float:
    truth, prediction = part["truth"].to_numpy(float), part["prediction"].to_numpy(float)
    if len(part) < 3 or np.ptp(truth) == 0 or np.ptp(prediction) == 0:
        return float("nan")
    return float(np.corrcoef(truth, prediction)[0, 1])


def beside(found: pd.DataFrame, published: Sequence[Published]) -> pd.DataFrame:
    """What others have published next to `agreement`, quantity by quantity; nothing where none has.

    Of the published ones bias and standard deviation are known; their mean absolute error is what normal
    errors of these would have (the folded normal's mean), and has no interval.

    Returns:
        quantity, unit, who, data, patients, r, bias, sd, mae, mae_low, mae_high, source.
    """
    rows = []
    for ours in found.to_dict("records"):
        theirs = [p for p in published if p.quantity == ours["quantity"]]
        shared = {"quantity": ours["quantity"], "unit": ours["unit"]}
        if theirs:
            rows.append({**ours, **shared, "who": "this run", "data": "", "source": ""})
        rows += [
            {**shared, "who": p.method, "data": p.data, "patients": p.patients, "r": p.r, "bias": p.bias, "sd": p.sd,
             "mae": folded(p.bias, p.sd), "mae_low": np.nan, "mae_high": np.nan, "source": p.source}
            for p in theirs
        ]  # fmt: skip
    return pd.DataFrame(rows, columns=BESIDE)


def folded(mean: float, sd: float) -> float:
    """E|X| of a normal X."""
    part = sd * np.sqrt(2 / np.pi) * np.exp(-(mean**2) / (2 * sd**2))
    return float(part + mean * (1 - 2 * stats.norm.cdf(-mean / sd)))


def acdc_csv(table: pd.DataFrame) -> str:
    """The table of ACDC's own evaluation script: Dice, predicted volume and its error, in ml.

    Its header, its order of classes, its natural order of names and its three decimals; a case is
    named <patient>_<phase>. Dice of a structure absent from both is empty.

    Args:
        table: rows of `cases.score` with columns patient, phase and frame.
    """
    present = [name for name in OFFICIAL_ORDER if (table["class"] == name).any()]
    lines = {}
    keys = ["patient", "visit", "phase", "frame"]
    for (patient, visit, phase, frame), part in _with_visits(table).groupby(keys, sort=False):
        by = part.set_index("class")
        cells = [by.loc[name, key] for name in present for key in ("dice", "prediction_ml", "error_ml")]
        text = ["" if np.isnan(v) else f"{v:.3f}" for v in cells]
        who = f"{patient}_{visit}" if visit else patient
        case = f"{who}_{phase or f'frame{frame:02d}'}"
        lines[f"{case}_frame{frame:02d}" if case in lines else case] = text
    head = ["Name", *(c for n in present for c in (f"Dice {n}", f"Volume {n}", f"Err {n}(ml)"))]
    rows = [",".join([name, *lines[name]]) for name in sorted(lines, key=_natural)]
    return "\n".join([",".join(head), *rows]) + "\n"


def _natural(text: str) -> list[tuple[int, str]]:
    return [(int(t), "") if t.isdigit() else (0, t) for t in re.split(r"(\d+)", text) if t]
