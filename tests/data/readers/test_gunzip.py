"""Both readers of .gz files: the same bytes, and the same refusals."""

import gzip

import pytest

from sslseg.data.readers import nifti_header
from sslseg.data.streams import stream

CONTENT = stream(0, "gz").integers(0, 40, 300_000).astype("u1").tobytes()


@pytest.fixture(params=["gzip", "isal"])
def reader(request, monkeypatch):
    if request.param == "gzip":
        monkeypatch.setattr(nifti_header, "igzip", None)
    return nifti_header.opened


@pytest.fixture
def packed(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(CONTENT))
    return path


def test_whole_and_in_pieces(reader, packed):
    with reader(packed) as file:
        assert file.read(1000) + file.read(len(CONTENT)) == CONTENT
        assert file.read() == b""


@pytest.mark.parametrize("damage", ["cut", "cut early", "checksum", "stream", "not gzip"])
def test_damage_is_one_of_the_errors(reader, packed, damage):
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
    with pytest.raises(nifti_header.DAMAGED), reader(packed) as file:
        file.read()


def test_no_such_file(reader, tmp_path):
    with pytest.raises(nifti_header.DAMAGED):
        reader(tmp_path / "none.gz")
