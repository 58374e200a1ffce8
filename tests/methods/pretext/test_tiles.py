"""Puzzles of tiles: pieces come from where they are said to, and the losses are plain cross entropies."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from sslseg.config import flags, plugins
from sslseg.config.names import ParamError
from sslseg.methods.pretext import _tiles
from sslseg.testing import methods
from sslseg.training import vitals


def numbered(side: int) -> torch.Tensor:
    """A view whose pixel says where it is, far from linear in it."""
    return (torch.arange(side * side, dtype=torch.float32).view(1, 1, side, side) ** 1.5).repeat(3, 1, 1, 1)


@pytest.mark.parametrize(("low", "high"), [(0, 0), (2, 2), (0, 4)])
def test_tiles_are_pieces_of_their_cells_standardised(low: int, high: int):
    view = torch.cat([numbered(36), -0.5 * numbered(36).flip(3)], 1)  # cells of 12, tiles of 8
    tiles, square = _tiles.cut(view, 8, low, high), 0
    assert tiles.shape == (3, 9, 2, 8, 8)
    for b in range(3):
        for place in range(9):
            row, column = divmod(place, 3)
            pieces = {
                (y, x): view[b, :, 12 * row + y : 12 * row + y + 8, 12 * column + x : 12 * column + x + 8]
                for y in range(low, high + 1) for x in range(low, high + 1)
            }  # fmt: skip
            wanted = {at: (p - p.mean()) / p.std(correction=0) for at, p in pieces.items()}
            gaps = {at: float((tiles[b, place] - w).abs().max()) for at, w in wanted.items()}
            y, x = min(gaps, key=gaps.__getitem__)
            assert gaps[y, x] < 1e-3
            square += y == x
    assert (square < 27) == (low < high)  # down and across are drawn each by itself


def test_a_constant_tile_stays_finite():
    assert not _tiles.cut(torch.ones(1, 1, 36, 36), 8, 0, 0).any()


def test_permutations_are_orders_far_from_each_other_and_always_the_same():
    found = _tiles.permutations(24)
    assert np.array_equal(np.sort(found, 1), np.tile(np.arange(9), (24, 1)))
    apart = [(one != other).sum() for i, one in enumerate(found) for other in found[:i]]
    assert min(apart) >= 7  # two random orders differ in 8 on average, in 3 at worst
    assert np.array_equal(found, _tiles.permutations.__wrapped__(24))


def test_a_jigsaw_is_undone_by_the_permutation_it_names():
    jigsaw, view = methods.create("jigsaw"), methods.batch("jigsaw").views[0]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        shuffled, which = jigsaw.puzzle(view)
        torch.manual_seed(1)
        tiles = _tiles.cut(view, jigsaw.tile, 0, view.shape[-1] // 3 - jigsaw.tile)
    for b, number in enumerate(which.tolist()):
        order = _tiles.permutations(jigsaw.count)[number]
        assert torch.equal(shuffled[b], tiles[b, order])
    assert len(set(which.tolist())) > 1


def test_a_pair_is_the_middle_and_the_tile_in_the_direction_it_names():
    position, view = methods.create("position"), methods.batch("position").views[0]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        pairs, which = position.pairs(view)
        torch.manual_seed(1)
        tiles = _tiles.cut(view, position.tile, position.low, position.high)
    around = [place for place in range(9) if place != 4]
    for b, number in enumerate(which.tolist()):
        assert torch.equal(pairs[b, 0], tiles[b, 4])
        assert torch.equal(pairs[b, 1], tiles[b, around[number]])


@pytest.mark.parametrize(("name", "made"), [("jigsaw", "puzzle"), ("position", "pairs")])
def test_the_loss_is_the_mean_of_minus_log_of_the_right_answer_s_share(name: str, made: str):
    method, given = methods.create(name), methods.batch(name)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        value, metrics = method.loss(given)
        torch.manual_seed(2)
        tiles, which = getattr(method, made)(given.views[0])
    features = method.modules["online"](tiles.flatten(0, 1))
    told = method.modules["head"](features.view(len(tiles), -1)).double()
    assert float(metrics["representation_std"]) == pytest.approx(float(vitals.representation_std(features)))
    share = told.exp()[range(len(which)), which] / told.exp().sum(1)
    assert value.item() == pytest.approx(-share.log().mean().item(), rel=1e-5)


def test_tiles_that_would_overlap_are_refused():
    with pytest.raises(
        ParamError, match=r"offset: must be at most half of gap \(4\), or tiles overlap; not 5"
    ):
        methods.create("position", offset=5)


def test_preset_paper_has_the_constants_of_the_authors_code():
    """deepcontext/train.py, JigsawPuzzleSolver/solver_cfn_jps.prototxt, and 225 of 256 pixels (Noroozi 3.2)."""
    position, jigsaw = (plugins.load("methods", name) for name in ("position", "jigsaw"))
    p, q = (flags.resolve(module.Params(preset="paper")) for module in (position, jigsaw))
    assert (p.tile, p.gap, p.offset, p.optimizer, p.momentum, p.weight_decay) == (96, 48, 7, "sgd", 0.0, 0.0)
    assert position.Method.wanted(p).views[0].size == 3 * (96 + 48)
    head = methods.create("position", hidden_size=5).modules["head"]
    assert [m.out_features for m in head if isinstance(m, torch.nn.Linear)] == [5, 5, 8]
    assert (q.tile, q.permutations, q.optimizer, q.lr, q.momentum, q.weight_decay) == (
        64, 1000, "sgd", 0.01, 0.9, 0.0005,
    )  # fmt: skip
    (view,) = jigsaw.Method.wanted(q).views
    assert (view.size, view.scale, view.flip) == (225, pytest.approx((225**2 / 256**2,) * 2), False)
    assert jigsaw.Method.wanted(dataclasses.replace(q, tile=16)).views[0].size == 3 * 19  # of 18.75
    (view,) = position.Method.wanted(p).views
    assert (view.scale, view.flip) == ((0.41, 1.0), False)
