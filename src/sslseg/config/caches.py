"""Where prepared data and checkpoints of this machine lie."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def cache_folder(cache: str = "") -> Path:
    """`cache`, else SSLSEG_CACHE, else .sslseg in the working folder; absolute, not made here."""
    return Path(cache or os.environ.get("SSLSEG_CACHE") or ".sslseg").expanduser().resolve()


def checkpoint_folder(cache: Path, run_id: str) -> Path:
    """Where the run keeps its resumable checkpoints; not made here."""
    return Path(cache) / "checkpoints" / run_id


def drop_checkpoints(cache: str, run_id: str) -> None:
    """Remove the checkpoints of a run, after its end is in the store: until then they are all there is."""
    shutil.rmtree(checkpoint_folder(cache_folder(cache), run_id), ignore_errors=True)
