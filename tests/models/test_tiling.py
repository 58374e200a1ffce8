"""Tiles against the whole slice, with networks whose reach is known."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sslseg.models import tiling

TILE = 128  # overlap 64, of which 16 pixels at a seam count for nothing


class Known(nn.Module):
    """Reads `reach` pixels around each; with `pool`, also the mean of its own cell of a 32 pixel grid."""

    def __init__(self, reach: int, pool: bool = False) -> None:
        super().__init__()
        self.conv, self.pool, self.largest = nn.Conv2d(2, 3, 2 * reach + 1, padding=reach), pool, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.largest = max(self.largest, *x.shape[2:])
        found = self.conv(x)
        coarse = functional.interpolate(functional.avg_pool2d(found, 32), scale_factor=32)
        return found + coarse if self.pool else found


def both(reach: int, height: int, width: int, pool: bool = False):
    """Logits of the whole slice, and of tiles; the longest side that the network saw."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(reach)
        net, x = Known(reach, pool), torch.randn(2, 2, height, width)
        tiled = tiling.apply(net, x, TILE)
        largest = net.largest
        return net(x), tiled, largest


@pytest.mark.parametrize(("height", "width"), [(320, 288), (352, 64), (96, 256)])
@pytest.mark.parametrize("reach", [0, 3, 16])
def test_tiles_are_the_whole_where_the_network_reads_no_farther_than_the_blind_edge(height, width, reach):
    whole, tiled, largest = both(reach, height, width)
    assert largest <= TILE
    torch.testing.assert_close(tiled, whole, rtol=1e-5, atol=1e-5)


def test_a_grid_of_32_pixels_is_not_moved_by_the_tiles():
    whole, tiled, _ = both(0, 320, 288, pool=True)
    torch.testing.assert_close(tiled, whole, rtol=1e-5, atol=1e-5)


def test_a_farther_reach_differs_near_seams_alone():
    whole, tiled, _ = both(24, 224, 192)
    differs = (whole - tiled).abs().amax(dim=(0, 1)) > 1e-4
    assert differs.any()
    assert torch.isfinite(tiled).all()


def test_tiles_have_whole_cells_of_32_pixels_and_are_blended_linearly():
    net = Known(0)
    with torch.no_grad():
        tiling.apply(net, torch.randn(1, 2, 160, 160), 100)
    assert net.largest == 128
    left, right = tiling._ramp(0, TILE, 192, TILE)[64:], tiling._ramp(64, TILE, 192, TILE)[:64]
    torch.testing.assert_close(left + right, torch.ones(64))
    assert not right[:16].any()
    steps = right[17:47].diff()
    torch.testing.assert_close(steps, torch.full_like(steps, 1 / 32))


def test_small_slices_and_no_limit_go_through_in_one_piece():
    for tile in (0, 64):
        net, x = Known(1), torch.randn(1, 2, 64, 64)
        with torch.no_grad():
            assert torch.equal(tiling.apply(net, x, tile), net(x))


@pytest.mark.parametrize("length", range(32, 1000, 32))
def test_tiles_cover_an_axis_and_overlap_by_half_or_more(length):
    found = tiling.starts(length, TILE)
    assert found[0] == 0
    assert found[-1] + TILE >= length
    assert all(0 < b - a <= TILE // 2 and b % 32 == 0 for a, b in zip(found, found[1:], strict=False))
