"""What every method and every dataset promises, as tests that a package of its own asks of its files.

    # test_contract.py, beside a package that brings the method `hello`
    import pytest
    from sslseg.testing.methods import *  # noqa: F403 the contract

    @pytest.fixture(params=["hello"])
    def name(request):
        return request.param

`sslseg.testing.datasets` is asked the same way, with a fixture `root` for a folder of small data.
"""

import pytest

pytest.register_assert_rewrite("sslseg.testing.methods", "sslseg.testing.datasets")
