"""Classification tells the folders that images lie in."""

import pytest
import torch

from sslseg.testing import methods


def test_the_loss_is_the_mean_of_minus_log_of_the_folder_s_share():
    method, given = methods.create("classification"), methods.batch("classification")
    value, metrics = method.loss(given)
    told = method.modules["head"](method.modules["online"](given.views[0])).double()
    folders = torch.from_numpy(methods.slices(1).index["group"].str[1:].astype(int).to_numpy()[given.rows])
    share = told.exp()[range(8), folders] / told.exp().sum(1)
    assert value.item() == pytest.approx(-share.log().mean().item(), rel=1e-5)
    assert metrics["accuracy"].item() == (told.argmax(1) == folders).double().mean().item()
