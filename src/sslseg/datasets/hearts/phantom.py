"""The labelled source of pretraining: 60 simulated hearts on a 1.5 T scanner, 12 per group.

A real ACDC tree (data/phantom/tree.py), hence read by ACDC's reader. Shares no patient and no
voxel with `demo`, which is another population on another scanner.
"""

from pathlib import Path
from typing import Any

from sslseg.data.phantom import tree
from sslseg.datasets.hearts.acdc import CLASSES, COLOURS, DOMAIN, find, read, scan  # noqa: F401 of a dataset

LICENCE = "made by this project; CC0"
SPLIT = "stratified"
POPULATION: dict[str, Any] = {"patients": 60, "seed": 1, "scanner": "1.5T", "first": 501}


def default_root(cache: Path) -> Path:
    """Folder of the cohort under `cache`; written there (about 20 s) if absent."""
    return tree.write(tree.folder(cache, "phantom", **POPULATION), **POPULATION)
