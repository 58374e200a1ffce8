"""An archive from a stranger reaches nothing outside its folder, and no more room than its size lets expect."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from sslseg.config.names import SslsegError
from sslseg.tracking.capsule import archive
from tests.fixtures.archives import archive_of


def _link(kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo("files/runs/link")
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("member", "sentence"),
    [
        ("/etc/x", "is refused: wanted a relative path"),
        ("files/../../x", "is refused: wanted a relative path"),
        ("files/runs/..", "is refused"),
        ("files\\..\\x", "is refused"),
        ("files/a\nb", "is refused"),
        ("files/" + "n" * 2000, "is refused"),
        (_link(tarfile.SYMTYPE, "/etc/passwd"), "is not a plain file"),
        (_link(tarfile.LNKTYPE, "store.json"), "is not a plain file"),
        (_link(tarfile.CHRTYPE, ""), "is not a plain file"),
        ("elsewhere/x", "is not listed"),
        ("files/runs/x", "expected sha256 0000"),
    ],
)
def test_a_hostile_archive_reaches_nothing(tmp_path: Path, member, sentence: str):
    target = tmp_path / "inside" / "deep"
    target.mkdir(parents=True)
    with pytest.raises(SslsegError, match=sentence):
        archive.read(archive_of(tmp_path / "a.tar.gz", (member, b"")), target)
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} <= {"a.tar.gz", "x"}
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "inside" / "x").exists()


def _bomb(path: Path, member: tarfile.TarInfo, data: bytes, mode: str = "w:gz") -> Path:
    """An archive whose second member is given as it is."""
    head = json.dumps({"format": 1, "files": {"x": "0" * 64}, "rows": {}}).encode()
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as tar:
        first = tarfile.TarInfo("store.json")
        first.size, member.size = len(head), len(data)
        tar.addfile(first, io.BytesIO(head))
        tar.addfile(member, io.BytesIO(data))
    return path


def _member(**headers: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo("files/x")
    info.pax_headers = headers
    return info


MUCH = bytes(60 << 20)


@pytest.mark.parametrize(
    ("member", "data", "mode", "sentence"),
    [
        (_member(), MUCH, "w:gz", "unpacks to more than"),
        (_member(), MUCH, "w:xz", "not an archive"),  # 9,000 to one
        (_member(comment="a" * (20 << 20)), b"", "w:gz", "a header of"),
        (
            _member(**{"GNU.sparse.map": "0,0", "GNU.sparse.size": str(1 << 40)}),
            b"",
            "w:gz",
            "files with holes",
        ),
    ],
)
def test_what_an_archive_unpacks_to_is_bounded_by_its_size(tmp_path: Path, member, data, mode, sentence):
    path = _bomb(tmp_path / "a.tar.gz", member, data, mode)
    assert path.stat().st_size < 100_000
    with pytest.raises(SslsegError, match=sentence):
        archive.read(path, tmp_path / "out")
    assert (
        sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file())
        < 100_000 + archive.RATIO * 100_000 + archive.SLACK
    )


def test_a_header_is_bounded_also_where_it_is_read_in_pieces():
    """As newer releases of Python read it: one seek, then piece after piece."""
    zeros = SimpleNamespace(tell=int, close=None, read=bytes, seek=lambda *_: 0)
    stream = archive._Bounded(zeros, archive.READ_LIMIT)
    for _ in range(3):
        stream.seek(0)
        for _ in range(8):
            assert len(stream.read(archive.READ_LIMIT // 8)) == archive.READ_LIMIT // 8
    with pytest.raises(SslsegError, match=r"a header of more than 8,388,608 bytes"):
        stream.read(1)


def test_the_rows_have_to_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    few = SimpleNamespace(available=10)
    monkeypatch.setattr(archive.psutil, "virtual_memory", lambda: few)
    with pytest.raises(SslsegError, match="wants 8 times that in memory, 10 are free"):
        archive.read(archive_of(tmp_path / "a.tar.gz"), tmp_path / "out")
