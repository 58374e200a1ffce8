"""Tables beside images: blanks, case and accents make no second patient, and nothing is said twice."""

from __future__ import annotations

import json
import re
import unicodedata
from pathlib import Path

import pytest

from sslseg.config.names import DataError
from sslseg.data import splits
from sslseg.data.folders import patients, settings, tables
from sslseg.data.source import Description
from sslseg.datasets import images
from tests.fixtures import foreign_trees
from tests.fixtures.layout_files import IMAGE, write

CASES = ("a", "b", "c", "d")


def people(root: Path, text: str, cases: tuple[str, ...] = CASES) -> dict[str, tuple[str, str, int]]:
    (root / "t.csv").write_text(text, encoding="utf-8")
    return patients.people(root, dict.fromkeys(cases, ""), settings.Settings(csv="t.csv"))


@pytest.mark.parametrize(
    "text",
    [
        "case,patient,group\na,P1,x\nb,P1,x\nc,P2,y\nd,P2,y\n",
        "case,patient,group\na,P1 ,x\nb, P1,x \nc,P2\u00a0,y\nd,p2,Y\n",
        "\ufeffCase , Patient,GROUP\nA,P1,x\nB,p1,X\n c,P2,y\nd ,P2,y\n\n",
        "patient;group;case\nP1;x;a\nP1;x;b\nP2;y;c\n P2;y;d\n",
        'case\tpatient\tgroup\tnote\na\tP1\tx\t"1, 2"\nb\tP1\tx\t\nc\tP2\ty\t\nd\tP2\ty\t\n',
    ],
)
def test_what_a_spreadsheet_leaves_makes_no_second_patient(tmp_path, text):
    found = people(tmp_path, text)
    assert [found[c] for c in CASES] == [("P1", "x", 1), ("P1", "x", 2), ("P2", "y", 1), ("P2", "y", 2)]


def test_two_forms_of_an_accent_are_one_name(tmp_path):
    composed, apart = (unicodedata.normalize(form, "é1") for form in ("NFC", "NFD"))
    found = people(tmp_path, f"case,patient\n{apart},{apart}\nb,{composed}\n", (composed, "b"))
    assert found[composed][0] == found["b"][0]


FAULTS = {
    "case,patient\na,P1\na ,P2\n": "row 3: wanted one row a case, got a twice",
    "case,patient\na,P1\nA,P1\n": "row 3: wanted one row a case, got A twice",
    "case,patient\na,P1,x\n": "row 2: wanted 2 cells, as the first line, got 3",
    "case,patient\na\n": "row 2: wanted 2 cells",
    "case,patient\n,P1\n": "row 2: wanted a case, got an empty cell",
    "case,patient,Patient\na,P1,P2\n": "wanted one column patient, got several",
    "case,person\na,P1\n": "wanted columns case, patient, got 'case, person'",
    "case,patient\na, \n": "wanted a row with a patient for case a",
    "": "got an empty file",
}


@pytest.mark.parametrize("text", FAULTS)
def test_a_wrong_table_is_named(tmp_path, text):
    with pytest.raises(DataError, match=FAULTS[text]) as caught:
        people(tmp_path, text, ("a",))
    assert "t.csv" in str(caught.value)


def test_a_table_in_another_encoding(tmp_path):
    (tmp_path / "t.csv").write_bytes("case,patient\na,Jérôme\n".encode("latin-1"))
    with pytest.raises(DataError, match="t.csv: wanted a CSV table in UTF-8"):
        tables.read(tmp_path / "t.csv", ("case",), "case")


def test_cases_that_differ_in_case_alone_cannot_be_looked_up(tmp_path):
    with pytest.raises(DataError, match="differ in more than their case, got A and a"):
        people(tmp_path, "case,patient\na,P1\n", ("A", "a"))


def test_blanks_never_carry_a_test_patient_into_train(tmp_path):
    """Two images of each of eight patients, one of the two rows with a blank behind the patient."""
    root = foreign_trees.images(tmp_path, cases=16)
    rows = [f"p{n // 2}_{n},p{n // 2}{' ' * (n % 2)}" for n in range(17)]
    (root / "who.csv").write_text("\n".join(["case,patient", *rows]))
    (root / "sslseg.json").write_text(json.dumps({"csv": "who.csv"}))
    found = images.find(root)
    assert len({s.patient for s in found}) == 9
    sides = splits.divide_sources(found, Description(("background",)), "images", "stratified")
    held = {name: {found[i].image.name.split("_")[0] for i in rows} for name, rows in sides.items()}
    assert not held["train"] & (held["val"] | held["test"])


@pytest.mark.parametrize("name", ["../t.csv", "/etc/passwd", "sub/../../t.csv", "link.csv"])
def test_a_table_lies_in_the_data_folder(tmp_path, name):
    root = tmp_path / "data"
    root.mkdir()
    (tmp_path / "t.csv").write_text("secret\n")
    (root / "link.csv").symlink_to(tmp_path / "t.csv")
    (root / "sslseg.json").write_text(json.dumps({"csv": name}))
    with pytest.raises(DataError, match="csv: wanted the name of a table in this folder") as caught:
        settings.settings(root)
    assert "secret" not in str(caught.value)


def test_an_expression_of_the_user_cannot_hang(tmp_path):
    (tmp_path / "sslseg.json").write_text(json.dumps({"patient_regex": "^((a+)+)+$|(a|a)*b$"}))
    s = settings.settings(tmp_path)
    with pytest.raises(DataError, match="does not match the case"):
        patients.people(tmp_path, {"a" * 200 + "!": ""}, s)
    (tmp_path / "sslseg.json").write_text(json.dumps({"patient_regex": r"(a)\1"}))
    with pytest.raises(DataError, match="without look-around and back references"):
        settings.settings(tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [("p1\u00a0", "p1"), ("\u200bp1", "p1"), ("p\u20131", "p-1"), ("P\uff11", "p1"), ("anna  k", "Anna K")],
)
def test_what_cannot_be_seen_makes_no_second_patient(one, other):
    assert tables.fold(one) == tables.fold(other)


@pytest.mark.parametrize("pair", [("007", "7"), ("7.0", "7"), ("00", "0")])
def test_numbers_that_a_spreadsheet_has_written_are_asked_after(tmp_path, pair):
    with pytest.raises(DataError, match="t.csv: patient: are .* the same"):
        tables.check_numbers(tmp_path / "t.csv", "patient", pair)
    tables.check_numbers(tmp_path / "t.csv", "patient", ["7", "7 ", "70", "p07", "p7", "7.5"])


def test_cases_may_be_files_and_nan_is_no_patient(tmp_path):
    for n in range(2):
        write(tmp_path / f"s{n}.png", IMAGE, n)
    (tmp_path / "sslseg.json").write_text('{"csv": "t.csv"}')
    (tmp_path / "t.csv").write_text("case,patient\ns0.png,a\ns1.PNG,a\n")
    assert {s.patient for s in images.find(tmp_path)} == {"a"}
    for row in ("s1,nan", "s1,N/A", "s1,"):
        (tmp_path / "t.csv").write_text(f"case,patient\ns0,a\n{row}\n")
        with pytest.raises(DataError, match="wanted a row with a patient for case s1, got none"):
            images.find(tmp_path)
    (tmp_path / "t.csv").write_text("case,patient\ns0,a\ns0.png,b\ns1,c\n")
    with pytest.raises(DataError, match="got s0.png twice, with its ending and without"):
        images.find(tmp_path)


def test_what_spreadsheets_write_around_a_cell(tmp_path):
    found = people(tmp_path, 'sep=;\r\ncase;patient\r\na;"=""007"""\r\nb;\'007\r\nc;007\r\nd;8\r\n')
    assert [found[case][0] for case in CASES] == ["007", "007", "007", "8"]
    with pytest.raises(DataError, match=r"a spreadsheet has rounded 1.23457E\+11"):
        people(tmp_path, "case,patient\na,1.23457E+11\nb,1\nc,2\nd,3\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"ignore": 3, "ignore": 4}', "the key 'ignore' is there twice"),
        ('{"classes": {"a": 255, "a": 7}}', "the key 'a' is there twice"),
        ('{"classes": ["background", "lesion", "lesion"]}', "a name of its own for each class"),
        ('{"classes": {"a/b": 1, "a?b": 2}}', "a name of its own for each class"),
        ('{"axis": 1.0}', "axis: wanted 0, 1 or 2, got 1.0"),
    ],
)
def test_what_a_description_says_twice_or_leaves_open(tmp_path, text, said):
    (tmp_path / "sslseg.json").write_text(text)
    with pytest.raises(DataError, match=re.escape(said)):
        settings.settings(tmp_path)
