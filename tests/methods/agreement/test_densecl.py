"""DenseCL: each place is matched with the place most alike, by the features before the projector."""

import copy

import pytest
import torch

from sslseg.testing import methods


def test_the_loss_is_the_papers_place_by_place():
    densecl, given = methods.create("densecl", dense=0.7, temperature=0.3), methods.batch("densecl")
    n, t = {k: copy.deepcopy(v) for k, v in densecl.modules.items()}, 0.3
    value, _ = densecl.loss(given)

    def unit(z):
        return z / z.norm(dim=-1, keepdim=True)

    def cost(query, key, queue):
        logits = torch.cat([(query @ key)[None], queue @ query]).double() / t
        return -torch.log_softmax(logits, 0)[0]

    with torch.no_grad():
        here, there = (
            n["online"].forward_features(given.views[0]),
            n["target"].forward_features(given.views[1]),
        )
        queries, keys = (unit(n[p](n[e].forward_head(m))) for p, e, m in
                         (("projector", "online", here), ("target_projector", "target", there)))  # fmt: skip
        whole = sum(cost(q, k, n["queue"].keys) for q, k in zip(queries, keys, strict=True)) / 8
        places = unit(n["target_dense"](there.flatten(2).mT.flatten(0, 1))).unflatten(0, (8, -1))
        entered = unit(torch.stack([of_slice.mean(0) for of_slice in places]))
        torch.testing.assert_close(densecl.modules["dense_queue"].keys[:8], entered)
        dense, count = 0.0, 0
        for b in range(8):
            mine, theirs = here[b].flatten(1).T, there[b].flatten(1).T
            for place in mine:
                match = max(range(len(theirs)), key=lambda j: float(unit(place) @ unit(theirs[j])))
                query, key = unit(n["dense"](place[None]))[0], unit(n["target_dense"](theirs[match][None]))[0]
                dense, count = dense + cost(query, key, n["dense_queue"].keys), count + 1
    assert count > 8  # several places a slice
    assert value.item() == pytest.approx(float(0.3 * whole + 0.7 * dense / count), rel=1e-4)
