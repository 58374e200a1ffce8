"""Where prepared data and checkpoints of this machine lie."""

import os
import shutil
from pathlib import Path

from sslseg.config.names import SWEEP


def cache_folder(cache: str = "") -> Path:
    """`cache`, else SSLSEG_CACHE, else .sslseg in the working folder; absolute, not made here."""
    return Path(cache or os.environ.get("SSLSEG_CACHE") or ".sslseg").expanduser().resolve()


def checkpoint_folder(cache: Path | str, run_id: str) -> Path:
    """Where the run keeps its resumable checkpoints; not made here."""
    return cache_folder(str(cache)) / "checkpoints" / run_id


def goes_on(stage: str, cache: Path | str, run_id: str) -> bool:
    """Whether an unfinished run has kept what the same command goes on from; a sweep has its cells."""
    folder = checkpoint_folder(cache, run_id)
    return stage == SWEEP or (folder.is_dir() and any(folder.iterdir()))


def drop_checkpoints(cache: str, run_id: str) -> None:
    """Remove the checkpoints of a run, after its end is in the store: until then they are all there is."""
    shutil.rmtree(checkpoint_folder(cache, run_id), ignore_errors=True)


MADE_HERE = ".made-by-sslseg"  # lies in folders that are never read as data
_NOTE = "Written by sslseg. A data folder is read without this folder, as long as this file is here.\n"


def claim(folder: Path, more: str = "") -> Path:
    """Make `folder` if it is not there, and mark it as ours unless somebody else's files lie in it.

    Args:
        more: further lines of the mark.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        (folder / MADE_HERE).write_text(_NOTE + more, encoding="utf-8")
    return folder


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, its mark left out."""
    files = (file for file in folder.rglob("*") if file.name != MADE_HERE)
    return sum(file.stat().st_size for file in files if file.is_file())
