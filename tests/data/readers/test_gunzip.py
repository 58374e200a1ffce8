"""Packed files: the same bytes, and what is damaged is refused while it is read."""

import gzip

import pytest

from sslseg.config.names import DataError
from sslseg.data.readers import nifti_header
from sslseg.data.streams import stream

CONTENT = stream(0, "gz").integers(0, 40, 300_000).astype("u1").tobytes()


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(CONTENT))
    return path


def test_whole_and_in_pieces(packed):
    with nifti_header.unpacked(packed) as file:
        assert file.read(1000) + file.read(len(CONTENT)) == CONTENT
        assert file.read() == b""


@pytest.mark.parametrize("damage", ["cut", "cut early", "checksum", "stream", "not gzip"])
def test_damage_is_an_error_that_names_the_file(packed, damage):
    data = bytearray(packed.read_bytes())
    if damage == "cut":
        data = data[:-9]
    elif damage == "cut early":
        data = data[:20]
    elif damage == "checksum":
        data[-6] ^= 1
    elif damage == "stream":
        data[len(data) // 2 : len(data) // 2 + 400] = b"\xff" * 400
    else:
        data = bytearray(b"\x1f\x8b" + bytes(50))
    packed.write_bytes(data)
    with (
        pytest.raises(DataError, match=r"a\.gz: damaged or truncated"),
        nifti_header.unpacked(packed) as file,
    ):
        file.read()


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.gz"), nifti_header.unpacked(tmp_path / "none.gz"):
        pass
