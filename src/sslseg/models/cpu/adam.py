"""Adam for weights in channels-last layout, which torch's CPU kernel would copy there and back at each step."""

from typing import Any

import torch


class ChannelsLastAdam(torch.optim.Adam):
    """torch's Adam, shown channels-last weights as they lie in memory, where they are contiguous.

    Its fused kernel for CPUs copies others there and back, two thirds more time, and takes a gradient that lies
    otherwise than its weight for another one (torch 2.14.1). `_init_group` is torch's own: without it, only slower.
    """

    def _init_group(
        self,
        group: dict[str, Any],
        weights: list[torch.Tensor],
        gradients: list[torch.Tensor],
        *moments: list,
    ) -> Any:
        found = super()._init_group(group, weights, gradients, *moments)
        for i, weight in enumerate(weights):
            last = weight.is_contiguous(memory_format=torch.channels_last)
            layout = torch.channels_last if last else torch.contiguous_format
            gradients[i] = gradients[i].contiguous(memory_format=layout)
            for held in (weights, gradients, *moments) if last else ():
                if i < len(held) and held[i].ndim == 4:  # steps are scalars; not all moments are kept
                    held[i] = held[i].permute(0, 2, 3, 1)
        return found
