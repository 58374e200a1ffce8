"""SwAV's views and prototypes."""

import pytest
import torch

from sslseg.testing import methods


def test_large_and_small_views_have_their_sizes_and_areas():
    given = methods.batch("swav", image_size=48, small_views=3)
    assert [v.shape[-1] for v in given.views] == [48, 48, 32, 32, 32]
    wanted = methods.plugins.load("methods", "swav").Method.wanted(methods.settings("swav"))
    assert wanted.views[1].scale == (0.05, 0.14)
    assert methods.settings("swav").crop_scale == (0.14, 1.0)


def test_prototypes_have_unit_length_when_they_are_used():
    swav = methods.create("swav")
    assert swav.modules["prototypes"].weight.detach().norm(dim=1).max().item() != pytest.approx(1.0, abs=1e-3)
    methods.loss(swav, methods.batch("swav"))
    torch.testing.assert_close(swav.modules["prototypes"].weight.norm(dim=1), torch.ones(8))


def test_it_runs_without_small_views():
    assert methods.loss(methods.create("swav", small_views=0), methods.batch("swav", small_views=0))[0] > 0
