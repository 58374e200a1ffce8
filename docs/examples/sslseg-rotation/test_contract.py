import pytest

from sslseg.testing.methods import *  # noqa: F403 the contract


@pytest.fixture
def name():
    return "rotation"
