"""Views in two sizes: two large ones, and small ones that are cheap (SwAV, Caron et al. 2020, 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sslseg.config.wanted import Crops, Wanted

if TYPE_CHECKING:
    from torch import Tensor, nn

LARGE = 2  # views of the first size


def wanted(p: Any) -> Wanted:
    """Two large views and some small ones of each slice."""
    return Wanted((Crops(LARGE), Crops(p.small_views, size=p.small_size, scale=tuple(p.small_scale))))


def features(encoder: nn.Module, views: Sequence[Tensor]) -> Tensor:
    """[V*B,F], view by view; those of one size go through the network together."""
    import torch

    groups = (views[:LARGE], views[LARGE:])
    return torch.cat([encoder(torch.cat(tuple(group))) for group in groups if group])
