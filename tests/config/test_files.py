"""Folders that are wanted, input beside output, JSON of a stranger, and files that are whole or not there."""

from contextlib import suppress
from pathlib import Path

import pytest

from sslseg.config import files
from sslseg.config.names import SENTENCE, DataError, ParamError


def test_a_folder_that_is_not_there_is_told_with_the_nearest_one_and_what_it_holds(tmp_path: Path):
    for name in ("b", "a", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    assert files.folder(tmp_path / "a", "masks") == tmp_path / "a"
    for wanted, said in (
        ("file", f"{tmp_path}/file: wanted masks, it is a file"),
        ("c/d", f"{tmp_path}/c/d: wanted masks, it is not there; {tmp_path} is, with the folders a, b"),
        ("a/c", f"{tmp_path}/a/c: wanted masks, it is not there; {tmp_path}/a is, with no folder in it"),
    ):
        with pytest.raises(DataError) as error:
            files.folder(tmp_path / wanted, "masks")
        assert str(error.value) == said


def test_an_output_never_touches_the_input(tmp_path: Path):
    source, image = tmp_path / "in", tmp_path / "in/a.png"
    source.mkdir()
    image.touch()
    assert files.apart(source, tmp_path / "out") == (source, tmp_path / "out")
    assert files.apart(image, source / "out") == (image, source / "out")
    for given, output, said in (
        (tmp_path / "gone", tmp_path / "out", "gone does not exist"),
        (source, source, "must not be the input's folder nor lie in it"),
        (source, source / "deep/er", "must not be the input's folder nor lie in it"),
        (image, source, "must not be the input's folder nor lie in it"),
        (tmp_path / "in", image, "must not be"),
        (source, Path(__file__), "wanted a folder"),
    ):
        with pytest.raises(ParamError, match=said):
            files.apart(given, output)


def test_json_of_a_stranger_is_read_up_to_a_size_and_a_depth(tmp_path: Path):
    file = tmp_path / "a.json"
    file.write_text("[1,2]")
    assert files.read_json(file, most=5) == [1, 2]
    with pytest.raises(ValueError, match="5 bytes, at most 4"):
        files.read_json(file, most=4)
    file.write_text("[" * 200_000)
    with pytest.raises(ValueError, match="too many brackets"):
        files.read_json(file)


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_takes_its_place_whole_or_not_at_all(durable: bool, tmp_path: Path):
    path = tmp_path / "new" / "a.txt"
    for text in ("one", "two"):  # the folder is there the second time
        with files.aside(path, durable=durable) as part:
            part.write_text(text)
        assert path.read_text() == text
    with suppress(ZeroDivisionError), files.aside(path, durable=durable) as part:
        part.write_text("half")
        raise ZeroDivisionError
    assert [(p.name, p.read_text()) for p in path.parent.iterdir()] == [("a.txt", "two")]


def test_an_error_of_data_is_cut_in_its_middle_where_it_quotes_a_long_file():
    assert str(DataError("x" * SENTENCE)) == "x" * SENTENCE
    half = SENTENCE // 2
    assert str(DataError("a" * 1000 + "b" * 1000)) == "a" * half + " … (500 characters) … " + "b" * half
