"""CSV tables that people keep beside their images: one reader for all of them.

What a spreadsheet leaves in a cell (blanks at its ends, another case, another form of an accent or a dash) makes no
second patient: cells are stripped, and names are compared as `fold` has them. Of numbers it drops zeros in front, and
writes 7.0 for 7; two ids of one table that differ in nothing else are refused.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sslseg.config.names import DataError, quoted
from sslseg.data.files import same, text

SEPARATORS = ",;\t"
NUMBER = re.compile(r"([0-9]+)(?:\.0+)?")
FORMULA = re.compile('="(.*)"')
ROUNDED = re.compile(r"[0-9][.,][0-9]+[eE]\+[0-9]+")
NOTHING = {"nan", "n/a", "#n/a", "null"}  # what programs write of an empty cell
DIGITS = re.compile("[0-9]{1,6}")


def fold(name: str) -> str:
    """A name as names are compared: widths of letters, dashes, blanks and what cannot be seen make no other name."""
    kinds = ((letter, unicodedata.category(letter)) for letter in unicodedata.normalize("NFKC", same(name)))
    seen = "".join("-" if kind == "Pd" else letter for letter, kind in kinds if kind != "Cf")
    return " ".join(seen.split()).casefold()


Rows = dict[str, dict[str, str]]  # folded value of the column of keys -> column -> cell


def read(path: Path, columns: Sequence[str], key: str, optional: Sequence[str] = ()) -> Rows:
    """Folded value of the column `key` -> its row: column -> stripped cell.

    Args:
        columns, optional: names that have to be, and that may be in the first line, in any case.

    Raises:
        DataError: no such table, a column is missing or there twice, a row is of another length than the
            first line, or two rows have the same key.
    """
    head, *lines = _lines(path)
    titles = [fold(cell) for cell in head]
    if any(fold(name) not in titles for name in columns):
        got = ", ".join(cell.strip() for cell in head)
        raise DataError(f"{path}: wanted columns {', '.join(columns)}, got {quoted(got)}")
    places = {n: titles.index(fold(n)) for n in (*columns, *optional) if fold(n) in titles}
    if twice := [name for name in places if titles.count(fold(name)) > 1]:
        raise DataError(f"{path}: wanted one column {twice[0]}, got several")
    found: Rows = {}
    for number, line in enumerate(lines, 2):
        if not any(cell.strip() for cell in line):
            continue
        if len(line) != len(head):
            wanted = f"{len(head)} cells, as the first line"
            raise DataError(f"{path}: row {number}: wanted {wanted}, got {len(line)}")
        row = {name: _cell(line[place]) for name, place in places.items()}
        if not row[key]:
            raise DataError(f"{path}: row {number}: wanted a {key}, got an empty cell")
        if found.setdefault(fold(row[key]), row) is not row:
            raise DataError(f"{path}: row {number}: wanted one row a case, got {row[key]} twice")
    return found


def _cell(text: str) -> str:
    """A cell without what makes a text of it in a spreadsheet (="007", '007); "" of what programs write of nothing."""
    text = text.strip()
    text = match[1] if (match := FORMULA.fullmatch(text)) else text.removeprefix("'")
    return "" if fold(text) in NOTHING else text.strip()


def check_numbers(path: Path, column: str, cells: Iterable[str]) -> None:
    """Raises DataError where two numbers of a column are one but for zeros, as 007, 7 and 7.0, or were rounded."""
    known: dict[int, str] = {}
    for cell in cells:
        if ROUNDED.fullmatch(cell):
            rounded = f"a spreadsheet has rounded {cell}"
            raise DataError(f"{path}: {column}: {rounded}; wanted whole ids, columns as text")
        match = NUMBER.fullmatch(fold(cell))
        if match and fold(other := known.setdefault(int(match[1]), cell)) != fold(cell):
            same = f"are {other} and {cell} the same? A spreadsheet writes numbers so"
            raise DataError(f"{path}: {column}: {same}; write them alike")


def frame(path: Path, name: str, row: Mapping[str, str], column: str, first: int, count: int) -> int:
    """The frame of a row's cell, among `count` from `first` on; spreadsheets make 7.0 of 7.

    Raises:
        DataError: the cell holds something else.
    """
    text = row[column].removesuffix(".0")
    if not DIGITS.fullmatch(text) or not first <= int(text) < first + count:
        wanted = f"a frame of {first} to {first + count - 1}"
        raise DataError(f"{path}: {name}: {column}: wanted {wanted}, got {row[column]!r}")
    return int(text)


def _lines(path: Path) -> list[list[str]]:
    lines = io.StringIO(text(path, "a CSV table"), newline="")
    start, first = 0, lines.readline()
    if said := re.fullmatch("sep=(.)\\s*", first):  # a spreadsheet's own word on the separator
        start, first = lines.tell(), said[1]
    lines.seek(start)
    try:
        found = list(csv.reader(lines, delimiter=max(SEPARATORS, key=first.count)))
    except csv.Error as error:
        raise DataError(f"{path}: wanted a CSV table ({error})") from None
    if not found:
        raise DataError(f"{path}: wanted a CSV table, got an empty file")
    return found
