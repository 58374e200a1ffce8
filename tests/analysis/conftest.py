"""What the tests of the claims share."""

import pytest

from analysis.claims import Context
from tests.fixtures.planted_claims import planted_context


@pytest.fixture(scope="module")
def context() -> Context:
    """Five seeds of five pipelines at four sizes, without a score."""
    return planted_context()
