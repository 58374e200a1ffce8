"""Who is in which image: cases into patients, groups and frames."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from sslseg.config.names import DataError
from sslseg.data.folders.settings import FILE, Settings


def people(
    root: Path, cases: dict[str, str], s: Settings, pattern: str = ""
) -> dict[str, tuple[str, str, int]]:
    """case -> (patient, group, frame).

    The patient comes from the table, else from `patient_regex`, else from `pattern`, else it is the
    case. Frames are the numbers behind "frame" in the names, or else count from 1 within a patient.

    Args:
        cases: case -> group that its place in the folder suggests; dropped if a patient is in two.

    Raises:
        DataError: the table lacks a case, or `patient_regex` does not match one.
    """
    table = _table(root / s.csv) if s.csv else {}
    found: dict[str, list[tuple[str, str]]] = {}
    for case in sorted(cases):
        patient, group = table.get(case, ("", cases[case]))
        if s.csv and not patient:
            raise DataError(f"{root / s.csv}: wanted a row with a patient for case {case}, got none")
        found.setdefault(patient or _patient(root, case, s.patient_regex, pattern), []).append((case, group))
    placed = {}
    for patient, own in found.items():
        numbers = [int(m[1]) if (m := re.search(r"frame_?(\d+)", case)) else -1 for case, _ in own]
        if len(set(numbers)) < len(numbers) or min(numbers) < 0:
            numbers = list(range(1, len(own) + 1))
        groups = {group for _, group in own}
        for (case, group), number in zip(own, numbers, strict=True):
            placed[case] = (patient, group if s.csv or len(groups) == 1 else "", number)
    return placed


def _patient(root: Path, case: str, regex: str, pattern: str) -> str:
    match = re.search(regex or pattern, case) if regex or pattern else None
    if regex and match is None:
        raise DataError(f"{root / FILE}: patient_regex {regex!r} does not match the case {case!r}")
    return case if match is None else (match[1] if match.re.groups else match[0]) or case


def _table(path: Path) -> dict[str, tuple[str, str]]:
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: wanted a CSV table ({error})") from None
    if not {"case", "patient"} <= set(table.columns):
        raise DataError(f"{path}: wanted columns case and patient, got {', '.join(table.columns)}")
    groups = table["group"] if "group" in table else [""] * len(table)
    return {c: (p, g) for c, p, g in zip(table["case"], table["patient"], groups, strict=True)}
