"""Functions compiled by numba, kept on disk between processes: only what this user's own processes wrote is loaded.

numba keeps machine code as pickles and loads whatever lies in their place. Here they lie in a folder that no other user
can enter, each with its sha256 beside it; a file that is damaged, or of which nothing is known, is removed before
numba looks, and the function is compiled anew.
"""

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba

from sslseg.config import files

HOW: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
SUMS = "sums.json"  # file -> sha256
ENDINGS = (".nbi", ".nbc")  # of numba's files; others are being written
_seen: set[Path] = set()  # folders whose files have been looked at
_kept: dict[str, int] = {}  # function -> how many forms of it were compiled and are in SUMS


def compiled(function: Callable[..., Any]) -> Any:
    """Compiled at the first call on a machine, and from then on found on disk, if there is a place to write."""
    if (folder := place()) is None:
        return numba.njit(**HOW)(function)
    try:
        with _told(folder):
            made = numba.njit(cache=True, **HOW)(function)
    except RuntimeError:  # numba can keep nothing of this function
        return numba.njit(**HOW)(function)
    if (inside := Path(made.stats.cache_path)) not in _seen:
        _seen.add(inside)
        drop_damaged(inside)
    return made


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """numba keeps here what is decorated in this block."""
    config: Any = numba.config  # its names are made as it is read
    before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        config.CACHE_DIR = before


def place() -> Path | None:
    """This user's folder: under NUMBA_CACHE_DIR, in the home's cache, or in the system's folder for temporary files."""
    told = getattr(numba.config, "CACHE_DIR", "")
    bases = [told, os.environ.get("XDG_CACHE_HOME"), "~/.cache", tempfile.gettempdir()]
    owner = os.getuid() if hasattr(os, "getuid") else "user"
    for base in filter(None, bases):
        with contextlib.suppress(OSError, RuntimeError):  # cannot be written; there is no home
            folder = Path(base).expanduser() / f"sslseg-compiled-{owner}"
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if owned(folder) and os.access(folder, os.W_OK):
                return folder
    return None


def owned(folder: Path) -> bool:
    """Whether it is a folder of this user's that no other can enter."""
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return False
    return os.name == "nt" or (found.st_uid == os.getuid() and not found.st_mode & 0o077)


def drop_damaged(folder: Path) -> None:
    """Remove every file of numba's that is not as `keep` saw it."""
    told: object = None
    with contextlib.suppress(OSError, ValueError):  # there is none, or it is damaged itself
        told = files.read_json(folder / SUMS)
    known = told if isinstance(told, dict) else {}
    for file in _files(folder):
        with contextlib.suppress(OSError):  # another process was faster
            if files.sha256(file) != known.get(file.name):
                file.unlink()


def keep(function: Any) -> None:
    """After a call: note the digests of what was compiled for it, if anything was."""
    made, name = sum(function.stats.cache_misses.values()), function.py_func.__qualname__
    if made == _kept.get(name, 0) or not function.stats.cache_path:
        return
    _kept[name] = made
    folder = Path(function.stats.cache_path)
    with contextlib.suppress(OSError), files.aside(folder / SUMS) as part:
        sums = {file.name: files.sha256(file) for file in _files(folder)}
        part.write_text(json.dumps(sums), encoding="utf-8")


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.glob("*") if file.suffix in ENDINGS]
