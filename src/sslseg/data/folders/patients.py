"""Who is in which image: cases into patients, groups and frames."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from sslseg.config.names import DataError
from sslseg.config.texts import some
from sslseg.data.folders import settings, tables
from sslseg.data.folders.settings import FILE, Settings
from sslseg.data.readers import formats

PHASES = ("ED", "ES")


def people(
    root: Path, cases: dict[str, str], s: Settings, pattern: str = "", given: Mapping[str, str] | None = None
) -> dict[str, tuple[str, str, int]]:
    """case -> (patient, group, frame).

    The patient comes from the table, else from `patient_regex`, else it is `given`, else it comes from
    `pattern`, else it is the case. Frames are the numbers behind "frame" in the names, or else count from 1
    within a patient.

    Args:
        cases: case -> group that its place in the folder suggests; dropped if a patient is in two.
        given: case -> patient, of cases whose pattern names it.

    Raises:
        DataError: the table lacks a case, or `patient_regex` does not match one, or finds an empty name in it.
    """
    told = _told(root, cases, s, pattern, given or {})
    spelled: dict[tuple[int, str], str] = {}  # patient (0) or group (1) as compared -> as first written
    found: dict[str, list[tuple[str, str]]] = {}
    for case in sorted(cases):
        names = enumerate(told[case])
        patient, group = (spelled.setdefault((k, tables.fold(n)), n.strip()) for k, n in names)
        found.setdefault(patient, []).append((case, group))
    placed = {}
    for patient, own in found.items():
        numbers = [int(m[1]) if (m := re.search(r"frame_?(\d+)", case)) else -1 for case, _ in own]
        if len(set(numbers)) < len(numbers) or min(numbers) < 0:
            numbers = list(range(1, len(own) + 1))
        groups = {group for _, group in own}
        for (case, group), number in zip(own, numbers, strict=True):
            placed[case] = (patient, group if s.csv or len(groups) == 1 else "", number)
    return placed


def alone(root: Path, cases: Iterable[str], s: Settings) -> list[str]:
    """A sentence on rows of the table that name none of the cases: an image that is lost, or a name that is misspelled."""
    known = {tables.fold(case) for case in cases}
    rows = _table(root / s.csv, ()) if s.csv else {}
    lone = [row["case"] for name, row in rows.items() if tables.fold(name) not in known]
    return [f"{root / s.csv}: no image is there for the rows of {some(lone, 5)}"] if lone else []


def phases(root: Path, case: str, s: Settings, count: int) -> dict[int, str]:
    """Frame, from 1 -> ED or ES, of a case of `count` frames, as columns of the table name them; {} without these.

    Raises:
        DataError: a cell is no frame of the case, or both are the same.
    """
    if not s.csv:
        return {}
    path = root / s.csv
    row = _table(path, PHASES).get(tables.fold(case), {})
    named = [phase for phase in PHASES if row.get(phase)]
    found = {tables.frame(path, case, row, phase, 1, count): phase for phase in named}
    if len(found) < len(named):
        raise DataError(f"{path}: {case}: wanted different frames for ED and ES, got {list(found)[0]} twice")
    return found


def _table(path: Path, optional: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Rows by their cases, which may be names of files with their endings."""
    found: dict[str, dict[str, str]] = {}
    for name, row in tables.read(path, ("case", "patient"), "case", optional).items():
        if found.setdefault(formats.split(name)[0], row) is not row:
            twice = f"{row['case']} twice, with its ending and without"
            raise DataError(f"{path}: wanted one row a case, got {twice}")
    return found


def _told(
    root: Path, cases: dict[str, str], s: Settings, pattern: str, given: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """case -> patient and group, as they are written down."""
    if not s.csv:
        own = {} if s.patient_regex else given
        return {c: (own.get(c) or _patient(root, c, s, pattern), group) for c, group in cases.items()}
    path = root / s.csv
    table = _table(path, ("group",))
    tables.check_numbers(path, "patient", (row["patient"] for row in table.values()))
    found: dict[str, tuple[str, str]] = {}
    known: dict[str, str] = {}
    for case in sorted(cases):
        row = table.get(tables.fold(case), {})
        if not row.get("patient"):
            raise DataError(f"{path}: wanted a row with a patient for case {case}, got none")
        if (other := known.setdefault(tables.fold(case), case)) != case:
            both = f"{other} and {case}"
            raise DataError(f"{path}: wanted names that differ in more than their case, got {both}")
        found[case] = row["patient"], row.get("group", "")
    return found


def _patient(root: Path, case: str, s: Settings, pattern: str) -> str:
    regex = settings.expression(s.patient_regex) if s.patient_regex else re.compile(pattern)
    match = regex.search(case)
    if s.patient_regex and match is None:
        raise DataError(f"{root / FILE}: patient_regex {s.patient_regex!r} does not match the case {case!r}")
    who = match and (match[1] if regex.groups else match[0])
    if s.patient_regex and who == "":
        wanted = "wanted one that takes a letter or digit at least, as + does where * may take none"
        empty = f"finds an empty name in the case {case!r}, so each case would be a patient"
        raise DataError(f"{root / FILE}: patient_regex {s.patient_regex!r} {empty}; {wanted}")
    return who or case  # an optional group that takes no part leaves the case a patient of its own
