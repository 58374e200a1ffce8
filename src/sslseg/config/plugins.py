"""The file name is the registry key.

`methods/byol.py` is the method `byol`, `datasets/acdc.py` the dataset `acdc`. Listing them
imports nothing, so that a parameter can be checked where torch cannot be imported.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from sslseg.config.names import DataError, ParamError

PACKAGE = Path(__file__).parents[1]


def names(folder: str) -> tuple[str, ...]:
    """Plug-ins of `folder` ("methods", "datasets"), sorted."""
    return tuple(sorted(p.stem for p in (PACKAGE / folder).glob("*.py") if not p.stem.startswith("_")))


def load(folder: str, name: str) -> ModuleType:
    """Import one plug-in.

    Raises:
        ParamError: there is no file of that name.
    """
    if name not in names(folder):
        raise ParamError(
            f"{folder.rstrip('s')}: must be one of {', '.join(names(folder))}; not {name!r} "
            f"(a new one is a new file in src/sslseg/{folder}/)"
        )
    return importlib.import_module(f"sslseg.{folder}.{name}")


def path(folder: str, name: str) -> Path:
    """The one file that makes a plug-in."""
    return PACKAGE / folder / f"{name}.py"


def package(name: str, otherwise: str) -> ModuleType:
    """The package, imported now. Raises DataError with the sentence `otherwise` when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(otherwise) from None
