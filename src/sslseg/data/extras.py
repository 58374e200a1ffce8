"""Floor 1b: packages that only some formats want, and that are installed as extras."""

from __future__ import annotations

import importlib
from types import ModuleType

from sslseg.names import DataError


def package(name: str, otherwise: str) -> ModuleType:
    """The package, imported now. Raises DataError with the sentence `otherwise` when it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise DataError(otherwise) from None
