"""What the benchmarks work on: phantom hearts, written to a temporary folder, of the size of ACDC's slices."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 240  # 240 x 240 pixels are as many as the 216 x 256 of most ACDC slices


def folder() -> Path:
    """A new folder that goes with the process."""
    path = Path(tempfile.mkdtemp(prefix="sslseg-bench-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@cache
def cohort(patients: int = 4, side: int = SIDE, slices: int = 8, cine: int = 0) -> Path:
    """An ACDC tree; `cine` patients have a 4D file beside their ED and ES."""
    from sslseg.data.phantom import tree

    return tree.write(folder() / "acdc", patients=patients, seed=0, size=side, slices=slices, cine=cine)


@cache
def store(patients: int = 4, side: int = SIDE, slices: int = 8) -> Any:
    """The slice store of `cohort`: 2 * patients * slices annotated slices of side x side pixels."""
    from sslseg.data.slices import prepare

    root = cohort(patients, side, slices)
    return prepare.prepare("acdc", root, folder(), spacing=0, progress=False)


def grey(slices: Any, row: int) -> np.ndarray:
    """A slice as 8-bit picture [H, W], its volume's [p1, p99] stretched to 0 to 255."""
    from sslseg.data.slices.intensity import Intensity

    low, high, scale, offset = (a[0, 0] for a in Intensity("encoder").affine(slices, [row]))
    return np.rint((np.clip(slices.codes(row)[0], low, high) * scale + offset) * 255).astype(np.uint8)
