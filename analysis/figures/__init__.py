"""One file a figure: `data(study, curves) -> Content` is tested, `draw(content) -> Figure` is ink.

The file name begins with the figure's name; TITLE says what it shows, KEYS which curves it reads, and
`wanted(study) -> (why, command)` what is missing where its table is empty: it is left out then.
"""

import importlib
from pathlib import Path
from types import ModuleType


def load() -> dict[str, ModuleType]:
    """Name -> module of every figure in this folder, in order."""
    stems = sorted(p.stem for p in Path(__file__).parent.glob("fig*.py"))
    return {stem.partition("_")[0]: importlib.import_module(f"analysis.figures.{stem}") for stem in stems}
