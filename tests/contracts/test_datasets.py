"""Every dataset keeps the contract; a new file in src/sslseg/datasets/ is asked by itself.

A dataset is tried on its built-in data or, where it has none, on a tiny tree of EXAMPLES.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from sslseg.config import plugins
from sslseg.testing.datasets import *  # noqa: F403 the contract
from sslseg.testing.datasets import MOST
from tests.fixtures import foreign_trees, layout_trees, trees


def _pictures(root: Path) -> Path:
    for n in range(6):
        picture = np.random.default_rng(n).integers(0, 255, (40, 50, 3)).astype(np.uint8)
        (root / f"class{n % 2}").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / f"class{n % 2}" / f"{n}.png"), picture)
    return root


EXAMPLES: dict[str, Callable[[Path], Path]] = {
    "acdc": trees.acdc,
    "images": _pictures,
    "nnunet": foreign_trees.nnunet,
    "decathlon": foreign_trees.decathlon,
    "mnms": foreign_trees.mnms,
    "nrrd": foreign_trees.nrrd,
    "dicom": foreign_trees.chaos,
    "mnms2": lambda root: layout_trees.TREES["M&Ms-2"].write(root),
    "camus": lambda root: layout_trees.TREES["CAMUS"].write(root),
    "cmrxmotion": lambda root: layout_trees.TREES["CMRxMotion"].write(root),
}


@pytest.fixture(scope="module", params=plugins.names("datasets"))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def root(name: str, cache: Path) -> Path:
    module = plugins.load("datasets", name)
    if name in EXAMPLES:
        return EXAMPLES[name](cache / name)
    if not hasattr(module, "default_root"):
        pytest.fail(f"{name} has no built-in data: EXAMPLES of {__name__} wants a tiny tree of it")
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(module, "POPULATION"):  # simulated: no more patients than are read
            patch.setattr(module, "POPULATION", module.POPULATION | {"patients": MOST})
        return module.default_root(cache)
