"""Models of a store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sslseg.tracking import session
from sslseg.tracking.registry import resolve


@pytest.fixture(scope="module")
def log(model_folder: Callable[..., Path]) -> Callable[..., str]:
    """Log and register one model whose weights are `value`."""

    def one(run: session.Run, value: float, kind: str = "encoder", **facts) -> str:
        known = {"name": "encoder-resnet18", "role": "target", "method": "byol", "dataset": "photos"}
        known |= {"lineage": f"byol@photos:{facts.get('epoch')}", "card": "# A card"} | facts
        folder = model_folder(value, domain="natural", origin="a test")
        return getattr(resolve, f"log_{kind}")(run, folder, **known)

    return one
