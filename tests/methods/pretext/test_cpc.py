"""CPC v2: patches lie where they are said to, no guess has seen what it guesses, and the loss is the paper's listing."""

from __future__ import annotations

import math

import pytest
import torch

from sslseg.config.names import ParamError
from sslseg.methods.pretext._rows import Rows
from sslseg.testing import methods
from sslseg.training import agreement, contract, optim

SIZES = (5, 4, 3)  # features, width, guesses


def rows(ahead=(1, 2)) -> Rows:
    return Rows(*SIZES, ahead, torch.Generator().manual_seed(0))


def test_patches_are_pieces_of_the_view_row_by_row():
    cpc = methods.create("cpc", patch_flip=0.0)  # patches of 16, 8 apart, 3 x 3
    view = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    found = cpc.patches(view)
    for place in range(9):
        y, x = (8 * n for n in divmod(place, 3))
        assert torch.equal(found[:, place], view[:, :, y : y + 16, x : x + 16])
    mirrored = methods.create("cpc", patch_flip=1.0).patches(view)
    assert torch.equal(mirrored, found.flip(4))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        some = (methods.create("cpc").patches(view) == found).flatten(2).all(2)
    assert 0 < some[0].sum() < 9  # patch by patch


def test_a_guess_has_seen_nothing_below_its_own_row():
    net, grid = rows(), torch.randn(1, 6, 4, 5, generator=torch.Generator().manual_seed(1))
    other = grid.clone()
    other[:, 3:] += 1
    with torch.no_grad():
        for one, two in zip(net(grid)[0], net(other)[0], strict=True):
            assert torch.equal(one[:, :3], two[:, :3])
            assert not torch.equal(one[:, 3], two[:, 3])


def test_contexts_guesses_and_targets_are_the_listing_of_the_paper():
    """Algorithm 1, place by place: five blocks of 1 x 1, 1 x 3, 2 x 1 and 1 x 1, each added to what it saw."""
    net, g = rows(), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0, 0.5, generator=g)
    x = grid = torch.randn(2, 4, 3, 5, generator=g)
    for block in net.context[:-1]:
        w = {name: (layer.weight, layer.bias) for name, layer in block.named_children()}
        y = (x @ w["narrow"][0][:, :, 0, 0].T + w["narrow"][1]).relu()
        y = torch.nn.functional.pad(y, (0, 0, 1, 1))
        y = sum(y[:, :, k : k + 3] @ w["across"][0][:, :, 0, k].T for k in range(3)) + w["across"][1]
        above = torch.cat([torch.zeros_like(y[:, :1]), y[:, :-1]], 1)
        y = above @ w["down"][0][:, :, 0, 0].T + y @ w["down"][0][:, :, 1, 0].T + w["down"][1]
        x = x + y.relu() @ w["wide"][0][:, :, 0, 0].T + w["wide"][1]
    assert len(net.context[:-1]) == 5
    guesses, targets = net(grid)
    for guess, layer in zip(guesses, net.guesses, strict=True):
        wanted = 0.1 * (x.relu() @ layer.weight[:, :, 0, 0].T + layer.bias)
        torch.testing.assert_close(guess, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(targets, grid @ net.target.weight[:, :, 0, 0].T + net.target.bias)


def test_the_loss_is_the_listing_of_the_paper():
    """Algorithm 2, place by place in double precision."""
    g = torch.Generator().manual_seed(0)
    ahead, shape = (1, 3), (2, 4, 3, 6)
    targets, guesses = torch.randn(shape, generator=g), [torch.randn(shape, generator=g) for _ in ahead]
    everything = targets.double().reshape(-1, 6)
    total = 0.0
    for rows_ahead, guess in zip(ahead, guesses, strict=True):
        parts = []
        for b in range(2):
            for y in range(4 - rows_ahead):
                for x in range(3):
                    scores = everything @ guess[b, y, x].double()
                    own = float(targets[b, y + rows_ahead, x].double() @ guess[b, y, x].double())
                    parts.append(math.log(sum(math.exp(float(s)) for s in scores)) - own)
        total += sum(parts) / len(parts)
    assert agreement.rows_below(guesses, targets, ahead).item() == pytest.approx(total, rel=1e-5)


def test_directions_are_the_grid_turned():
    """The method's loss by hand: from above, from below, from the right and from the left."""
    cpc, given = methods.create("cpc", directions=4), methods.batch("cpc")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        value, _ = cpc.loss(given)
        torch.manual_seed(1)
        patches = cpc.patches(given.views[0])
    grid = cpc.modules["online"](patches.flatten(0, 1)).view(8, 3, 3, -1)
    across = grid.transpose(1, 2)
    turned = (grid, grid.flip(1, 2), across.flip(1), across.flip(2))
    wanted = sum(
        agreement.rows_below(*cpc.modules[f"direction_{k}"](g), (1, 2)) for k, g in enumerate(turned)
    )
    assert value.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_rows_that_are_not_there_are_refused():
    with pytest.raises(ParamError, match=r"ahead: wanted numbers of rows below grid=3; got \(3,\)"):
        methods.create("cpc", ahead=(3,))


def test_adam_has_the_papers_first_beta():
    cpc = methods.create("cpc")
    (group, *_) = optim.of(methods.settings("cpc"), contract.trainable(cpc)).param_groups
    assert group["betas"] == (0.8, 0.999)
