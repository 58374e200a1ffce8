"""A tree of files."""

from __future__ import annotations

import pytest

from tests.fixtures import trees


@pytest.fixture
def tree(tmp_path):
    return trees.acdc(tmp_path / "acdc")
