"""Views in two sizes: two large ones, and small ones that are cheap (SwAV, Caron et al. 2020, 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sslseg.config.flags import knob
from sslseg.config.params import per_preset
from sslseg.config.wanted import Crops, Wanted

if TYPE_CHECKING:
    from torch import Tensor, nn

LARGE = 2  # views of the first size


def count_knob(source: str, paper: int = 6) -> Any:
    """The line `small_views` of a method's parameters."""
    presets = per_preset(paper, 4, 2)
    return knob(help="small views of each slice", low=0, presets=presets, source=f"{source}; cpu, demo: [H]")


def size_knob(source: str) -> Any:
    """The line `small_size`."""
    presets = per_preset(96, 32)
    return knob(
        help="side of a small view, pixels", low=16, presets=presets, source=f"{source}; cpu, demo: [H]"
    )


def small_knob(source: str) -> Any:
    """The line `small_scale`."""
    return knob((0.05, 0.14), "area of a small view, share of the slice", low=0.001, high=1.0, source=source)


def large_knob(source: str) -> Any:
    """The line `crop_scale`."""
    return knob((0.14, 1.0), "area of a large view, share of the slice", low=0.001, high=1.0, source=source)


def wanted(p: Any) -> Wanted:
    """Two large views and some small ones of each slice."""
    return Wanted((Crops(LARGE), Crops(p.small_views, size=p.small_size, scale=tuple(p.small_scale))))


def features(encoder: nn.Module, views: Sequence[Tensor]) -> Tensor:
    """[V*B,F], view by view; those of one size go through the network together."""
    import torch

    groups = (views[:LARGE], views[LARGE:])
    return torch.cat([encoder(torch.cat(tuple(group))) for group in groups if group])
