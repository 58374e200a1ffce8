"""Files of any kind: their digest, and writing one whole or not at all."""

import functools
import glob
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslseg.config.names import DataError, ParamError
from sslseg.config.texts import some

DIGITS = 12  # that tell parts of one name apart


def sha256(path: Path | str) -> str:
    """Of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path | str) -> str:
    """Of a file's content; read once a process as long as file, size and time of change stay."""
    return _known(str(path), *stamp(path))


def sha256_of(value: Any) -> str:
    """Of plain values: of their JSON, keys sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def stamp(path: Path | str) -> tuple[int, int, int]:
    """What changes when somebody writes a file, or puts another in its place."""
    stat = os.stat(path)
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


@functools.lru_cache(maxsize=256)
def _known(path: str, *stamped: int) -> str:
    return sha256(path)


def folder(path: Path | str, what: str) -> Path:
    """A folder that is there, `~` expanded; `what` it was wanted as.

    Raises:
        DataError: it is a file, or not there: with the nearest folder that is, and what that holds.
    """
    root = Path(path).expanduser()
    if root.is_dir():
        return root
    if root.exists():
        raise DataError(f"{root.absolute()}: wanted {what}, it is a file")
    above = next(p for p in root.absolute().parents if p.is_dir())
    held = sorted(p.name for p in above.iterdir() if p.is_dir() and not p.name.startswith("."))
    there = f"the folders {some(held, 5)}" if held else "no folder in it"
    raise DataError(f"{root.absolute()}: wanted {what}, it is not there; {above} is, with {there}")


def apart(source: Path | str, output: Path | str) -> tuple[Path, Path]:
    """Input and output of a command, absolute.

    Raises:
        ParamError: there is no input, or the output would touch it.
    """
    source, output = Path(source).expanduser().resolve(), Path(output).expanduser().resolve()
    if not source.exists():
        raise ParamError(f"input: {source} does not exist")
    home = source if source.is_dir() else source.parent
    if output == home or (source.is_dir() and home in output.parents):
        raise ParamError(f"output: must not be the input's folder nor lie in it ({home}); got {output}")
    if output.is_file():
        raise ParamError(f"output: wanted a folder, {output} is a file")
    return source, output


def read_json(path: Path, most: int = 64 << 20) -> Any:
    """What a file of JSON holds, which may have come from a stranger.

    Raises:
        ValueError: more bytes than `most`, no JSON, or brackets in brackets without end.
        OSError: it cannot be read.
    """
    if (size := path.stat().st_size) > most:
        raise ValueError(f"{size:,} bytes, at most {most:,}")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("too many brackets in brackets") from None


@contextmanager
def aside(path: Path, *, durable: bool = False, alone: bool = False) -> Iterator[Path]:
    """A free name beside `path` for a file or folder, which takes the place of `path` when the block ends well.

    Its ending is that of `path`; `tempfile` would lock other users out of it. What a failed block wrote is removed.

    Args:
        durable: a file is forced to disk before the rename and the rename after it, so that a loss of power leaves
            `path` old or new, never half.
        alone: the caller holds a lock, so that what is there of such parts is of processes that were killed: it goes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for name in (path.name, f"{path.name}-journal") if alone else ():
        for left in path.parent.glob(f".part-{'?' * DIGITS}-{glob.escape(name)}"):
            _remove(left)
    part = path.with_name(f".part-{uuid.uuid4().hex[:DIGITS]}-{path.name}")
    try:
        yield part
        if durable:
            _force(part, os.O_RDWR)
        part.replace(path)
    finally:
        _remove(part)
    if durable and os.name == "posix":  # the rename itself is an entry of the folder
        _force(path.parent, os.O_RDONLY)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _force(path: Path, mode: int) -> None:
    number = os.open(path, mode)
    try:
        os.fsync(number)
    finally:
        os.close(number)
