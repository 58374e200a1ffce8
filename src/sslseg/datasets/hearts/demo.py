"""The target of the demo: 40 simulated hearts on a 3 T scanner, a stand-in for your own data.

Other patients, contrast, noise and field of view than `phantom`, so that an encoder is
transferred between distributions, and no patient or voxel is in both.
"""

from pathlib import Path
from typing import Any

from sslseg.data.phantom import tree
from sslseg.datasets.hearts.phantom import CLASSES, COLOURS, DOMAIN, LICENCE, SPLIT, find, read, scan  # noqa: F401

POPULATION: dict[str, Any] = {"patients": 40, "seed": 7, "scanner": "3T", "first": 701}


def default_root(cache: Path) -> Path:
    """Folder of the cohort under `cache`; written there (about 15 s) if absent."""
    return tree.write(tree.folder(cache, "demo", **POPULATION), **POPULATION)
