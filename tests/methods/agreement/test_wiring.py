"""What each method feeds into its loss: which views, which heads, and its own constants in place of the defaults."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import normalize

from sslseg.testing import methods
from sslseg.training import agreement, contract, optim, vitals

CONSTANTS: dict[str, dict[str, float]] = {
    "barlow": {"trade": 0.3},
    "vicreg": {"similar": 3.0, "vary": 5.0, "decorrelate": 7.0},
    "swav": {"temperature": 0.3, "epsilon": 0.2, "iterations": 2},
    "moco": {"temperature": 0.7},
    "densecl": {"temperature": 0.7, "dense": 0.0},
    "pcl": {"temperature": 0.7},
    "dino": {"temperature": 0.3, "teacher_temperature": 0.2},
}


def by_hand(name, nets, given, mates):
    """The loss, and the features of the first view, from the parts that other tests hold against the papers."""
    c, views = CONSTANTS[name], given.views
    if name in ("swav", "dino"):  # views of one size go through the encoder together
        features = torch.cat([nets["online"](torch.cat(part)) for part in (views[:2], views[2:])])
        own = features[: len(views[0])]
    else:
        own, other = (nets["online"](view) for view in views)
    if name == "barlow":
        return agreement.barlow(nets["projector"](own), nets["projector"](other), 0.3), own
    if name == "vicreg":
        return agreement.vicreg(nets["projector"](own), nets["projector"](other), 3.0, 5.0, 7.0), own
    if name == "pcl":
        z = torch.cat([nets["projector"](own), nets["projector"](other)])
        return agreement.positives(z, mates, 0.7), own
    if name == "swav":
        rows = nets["prototypes"].weight / nets["prototypes"].weight.norm(dim=1, keepdim=True)
        scores = (normalize(nets["projector"](features), dim=1) @ rows.T).split(len(views[0]))
        return agreement.swapped(list(scores), **c), own
    if name == "dino":
        w, wt = (normalize(nets[last].weight, dim=1) for last in ("last", "target_last"))
        told = (normalize(nets["head"](features), dim=1) @ w.T).split(len(views[0]))
        sharp = normalize(nets["target_head"](nets["target"](torch.cat(views[:2]))), dim=1) @ wt.T
        return agreement.distilled(
            list(told), list(sharp.split(len(views[0]))), torch.zeros(len(w)), (0.3, 0.2)
        ), own
    key = nets["target_projector"](nets["target"](views[1]))
    return agreement.info_nce(nets["projector"](own), key, nets["queue"].keys, 0.7), own


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_loss_is_of_its_own_views_heads_and_constants(name: str):
    method, given = methods.create(name, **CONSTANTS[name]), methods.batch(name)
    with torch.no_grad():
        for part, net in method.modules.items():
            if part.startswith("target"):  # which has moved away from its start
                for p in net.parameters():
                    p.mul_(0.9)
    nets = copy.deepcopy(method.modules)
    mates = method.mates(given) if name == "pcl" else None
    value, metrics = method.loss(given)
    wanted, features = by_hand(name, nets, given, mates)
    assert value.item() == pytest.approx(wanted.item(), rel=1e-4)
    assert float(metrics["representation_std"]) == pytest.approx(float(vitals.representation_std(features)))


@pytest.mark.parametrize("name", ["byol", "dino", "moco", "densecl"])
def test_a_target_follows_at_its_own_pace(name: str):
    method = methods.create(name, tau=0.7)
    before = [p.detach().clone() for p in method.modules["target"].parameters()]
    with torch.no_grad():
        for p in method.modules["online"].parameters():
            p.add_(1.0)
    tau = method.after_step(0.5)["tau"]
    assert tau == pytest.approx(optim.tau_at(0.5, 0.7) if name in ("byol", "dino") else 0.7)
    for old, now in zip(before, method.modules["target"].parameters(), strict=True):
        torch.testing.assert_close(now, old + 1 - tau, rtol=1e-4, atol=1e-5)


def test_what_is_handed_on_is_the_network_that_the_authors_hand_on():
    """The teacher of DINO; of MoCo and DenseCL the query encoder; of BYOL the target, as the paper this project follows."""
    roles = {name: contract.role(methods.create(name)) for name in ("byol", "dino", "moco", "densecl")}
    assert roles == {"byol": "target", "dino": "target", "moco": "online", "densecl": "online"}


N, R, G = nn.BatchNorm1d, nn.ReLU, nn.GELU
HEADS = {
    ("simclr", "projector", "projector_hidden=5, projection_size=4"): [5, N, R, 4],
    ("byol", "projector", "projector_hidden=5, projection_size=4, predictor_hidden=6"): [5, N, R, 4],
    ("byol", "predictor", "projector_hidden=5, projection_size=4, predictor_hidden=6"): [6, N, R, 4],
    ("moco", "projector", "projector_hidden=5, projection_size=4"): [5, R, 4],
    ("densecl", "projector", "projector_hidden=5, projection_size=4"): [5, R, 4],
    ("densecl", "dense", "projector_hidden=5, projection_size=4"): [5, R, 4],
    ("pcl", "projector", "projector_hidden=5, projection_size=4"): [5, R, 4],
    ("barlow", "projector", "projection_size=5"): [5, N, R, 5, N, R, 5],
    ("vicreg", "projector", "projection_size=5"): [5, N, R, 5, N, R, 5],
    ("swav", "projector", "projector_hidden=5, projection_size=4"): [5, N, R, 4],
    ("dino", "head", "hidden_size=5, bottleneck=4"): [5, G, 5, G, 4],
}


@pytest.mark.parametrize(("name", "part", "knobs"), HEADS)
def test_heads_are_the_papers(name: str, part: str, knobs: str):
    method = methods.create(name, **{k: int(v) for k, v in (one.split("=") for one in knobs.split(", "))})
    found = [m.out_features if isinstance(m, nn.Linear) else type(m) for m in method.modules[part]]
    assert found == HEADS[name, part, knobs]
