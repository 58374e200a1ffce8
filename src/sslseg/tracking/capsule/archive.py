"""The tar file of `pack`: names and digests inside, and reading one from a stranger.

Members are plain files with relative names below `files/`, and one `store.json` with the database rows and
the sha256 of every file. Anything else is refused before any of it reaches the store. What is unpacked is bounded by the
size of the archive, and what is taken into memory by the memory that there is.
"""

import contextlib
import gzip
import io
import json
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, cast

import psutil

from sslseg.config.files import aside, sha256
from sslseg.config.names import SslsegError

FORMAT = 1
ROWS = "store.json"
FILES = "files"
ROWS_LIMIT = 2 << 30  # bytes of store.json: some ten million metric values
NAME_LIMIT = 1000
CHUNK = 1 << 20
RATIO = 250  # `write` packs at gzip's lowest level, which makes 229 zeros to one byte, and of nothing more
SLACK = 16 << 20  # bytes that any archive may unpack to
IN_MEMORY = 8  # bytes of memory that a byte of store.json needs, as Python's objects
READ_LIMIT = 8 << 20  # bytes in a row; tarfile reads a member's extended header, however long
DAMAGE = (
    OSError, EOFError, tarfile.TarError, zlib.error, ValueError, KeyError, TypeError, AttributeError, RecursionError,
    OverflowError,
)  # fmt: skip


def write(path: Path, content: Mapping[str, Any], files: Mapping[str, Path]) -> int:
    """Write `content` and `files` (name in the archive -> file), whole or not at all; returns its bytes."""
    digests = {name: sha256(file) for name, file in sorted(files.items())}
    text = json.dumps({"format": FORMAT, "files": digests, **content}).encode()
    with aside(path) as part, tarfile.open(part, "w:gz", compresslevel=1, format=tarfile.PAX_FORMAT) as tar:
        _add(tar, ROWS, len(text), io.BytesIO(text))
        for name, file in sorted(files.items()):
            with file.open("rb") as stream:
                _add(tar, f"{FILES}/{name}", file.stat().st_size, stream)
    return path.stat().st_size


def _add(tar: tarfile.TarFile, name: str, size: int, stream: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    tar.addfile(member, stream)


def check_there(path: Path) -> None:
    """Raises SslsegError: there is no such file."""
    if not path.exists():
        raise SslsegError(f"{path.absolute()}: wanted an archive of `sslseg pack`, there is none")


def read(path: Path, folder: Path) -> dict[str, Any]:
    """Unpack the files of an archive below `folder`; returns the content of its `store.json`.

    Raises:
        SslsegError: not such an archive, cut short, or a member is a link, a device, absolute, leads out of
            the folder, is there twice, is not listed, or has another digest.
    """
    check_there(path)
    try:
        with _opened(path) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            members = iter(tar)
            content = _head(tar, next(members, None))
            wanted = dict(content["files"])
            for member in members:
                name = _checked(member, wanted)
                _extract(tar, member, folder / name, wanted.pop(name))
    except DAMAGE as error:
        raise SslsegError(f"{path}: not an archive of `sslseg pack`, or damaged ({error})") from None
    if wanted:
        raise SslsegError(f"{path}: {len(wanted)} files are missing, the first is {min(wanted)}")
    return content


class _Bounded:
    """A stream that unpacks no more than `most` bytes, and gives no more than READ_LIMIT between two seeks.

    tarfile seeks before each member, and before each piece of its content.
    """

    def __init__(self, stream: BinaryIO, most: int):
        self._stream, self._most, self._row = stream, most, 0
        self.tell, self.close = stream.tell, stream.close

    def _check(self, position: int) -> None:
        if position > self._most:
            raise SslsegError(
                f"archive: it unpacks to more than {self._most:,} bytes, {RATIO} times its size: no archive of this project does"
            )

    def seek(self, offset: int, whence: int = 0) -> int:
        if not whence:
            self._check(offset)
        self._row = 0
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        self._row += size
        if size < 0 or self._row > READ_LIMIT:
            raise SslsegError(f"archive: a header of more than {READ_LIMIT:,} bytes")
        data = self._stream.read(size)
        self._check(self._stream.tell())
        return data


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The tar inside of a gzip file, or a plain one; denser containers are not written here."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        most = RATIO * path.stat().st_size + SLACK
        with gzip.GzipFile(fileobj=file) if packed else contextlib.nullcontext(file) as stream:
            yield cast(BinaryIO, _Bounded(cast(BinaryIO, stream), most))


def _head(tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> dict[str, Any]:
    if member is None or member.name != ROWS or not member.isreg():
        raise SslsegError(f"archive: wanted {ROWS} first, found {member.name if member else 'nothing'}")
    if member.size > ROWS_LIMIT:
        raise SslsegError(f"archive: {ROWS} has {member.size:,} bytes, at most {ROWS_LIMIT:,}")
    if IN_MEMORY * member.size > (free := psutil.virtual_memory().available):
        raise SslsegError(
            f"archive: {ROWS} has {member.size:,} bytes and wants {IN_MEMORY} times that in memory, {free:,} are free"
        )
    with _content(tar, member) as source:
        content = json.loads(b"".join(iter(lambda: source.read(CHUNK), b"")))
    if content["format"] != FORMAT:
        raise SslsegError(f"archive: format {content['format']}, wanted {FORMAT}")
    return content


def _checked(member: tarfile.TarInfo, wanted: Mapping[str, str]) -> str:
    """Its name below the folder; raises where it is not a plain file at a plain place."""
    check_name(member.name)
    top, *inside = PurePosixPath(member.name).parts
    name = "/".join(inside)
    if not member.isreg() or member.issparse():
        raise SslsegError(
            f"archive: {member.name!r} is not a plain file (links, devices and files with holes are refused)"
        )
    if top != FILES or name not in wanted:  # a second one of a name is no longer wanted
        raise SslsegError(f"archive: {member.name!r} is not listed in {ROWS}, or is there twice")
    return name


def check_name(name: str) -> None:
    """Refuse a name that is not relative, plain and inside.

    Raises:
        SslsegError: absolute, with `..`, a drive, a backslash, or a control character.
    """
    path = PurePosixPath(name)
    strange = any(c in '\\:"<>|?*' or ord(c) < 32 for c in name)
    if not name or path.is_absolute() or ".." in path.parts or strange or len(name) > NAME_LIMIT:
        raise SslsegError(
            f"archive: the name {name[:200]!r} is refused: wanted a relative path inside the archive"
        )


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """Of a member that is a plain file."""
    return cast(IO[bytes], tar.extractfile(member))


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path, wanted: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if member.size > (free := shutil.disk_usage(target.parent).free):
        raise SslsegError(f"archive: {member.name} has {member.size:,} bytes, {free:,} are free")
    with _content(tar, member) as source, target.open("xb") as sink:
        shutil.copyfileobj(source, sink, CHUNK)
    actual = sha256(target)
    if actual != wanted:
        raise SslsegError(f"archive: {member.name}: expected sha256 {wanted}, actual {actual}")
