"""What was sent is what arrived, or the transfer is refused."""

import pytest
import torch

from sslseg.config.names import EncoderError
from sslseg.models import audit, canary, encoder, unet
from sslseg.models.audit import audit as compare


@pytest.fixture(scope="module")
def state():
    return encoder.build("test_resnet", 1, 0).state_dict()


def test_a_copy_is_complete(state):
    found = compare(state, dict(state))
    assert found.complete
    assert set(found.matched) == set(state)
    found.raise_for_problems("a copy")


def test_every_kind_of_difference_is_listed(state):
    other = dict(state) | {
        "conv1.0.weight": torch.zeros(3, 3),
        "fc.weight": torch.zeros(2),
        "odd": torch.zeros(1),
    }
    del other["bn1.weight"]
    found = compare(state, other)
    assert found.missing == ("bn1.weight",)
    assert found.unexpected == ("fc.weight", "odd")
    assert [(name, got) for name, _, got in found.mismatched] == [("conv1.0.weight", (3, 3))]
    assert len(found.matched) == len(state) - 2
    with pytest.raises(
        EncoderError, match=r"(?s)run 7: wanted all 90 tensors, 88 match.*bn1.weight.*odd.*carried"
    ):
        found.raise_for_problems("run 7")


def test_prefixes_are_hinted_at_in_both_directions(state):
    longer = {f"module.backbone.{name}": tensor for name, tensor in state.items()}
    with pytest.raises(
        EncoderError, match="90 of 90 missing tensors differ by the prefix 'module.backbone.'; strip it"
    ):
        compare(state, longer).raise_for_problems("a file")
    with pytest.raises(EncoderError, match="differ by the prefix 'module.backbone.'; add it"):
        compare(longer, state).raise_for_problems("a file")
    assert compare(state, {}).hint == ""
    (first, *others) = state
    two = {f"a.{first}": state[first]} | {f"b.{name}": state[name] for name in others}
    assert "89 of 90 missing tensors differ by the prefix 'b.'" in compare(state, two).hint
    assert not compare(state, state | {"odd": torch.zeros(1)}).complete


def test_check_equal_sees_one_changed_bit_and_another_type(state):
    audit.check_equal(state, {name: t.clone() for name, t in state.items()}, "a copy")
    changed = {name: t.clone() for name, t in state.items()}
    changed["bn1.bias"][0] += 1e-7
    with pytest.raises(EncoderError, match="1 of 90 tensors changed on the way: bn1.bias"):
        audit.check_equal(state, changed, "a copy")
    with pytest.raises(EncoderError, match="bn1.bias"):
        audit.check_equal(state, dict(state) | {"bn1.bias": state["bn1.bias"].double()}, "a copy")


def test_canary_is_repeatable_and_leaves_the_network_alone(state):
    model = encoder.build("test_resnet", 1, 0).train()
    model.layer1.eval()
    modes = [module.training for module in model.modules()]
    first = canary.canary(model, 1)
    assert torch.equal(first, canary.canary(model, 1))
    assert modes == [module.training for module in model.modules()]
    audit.check_equal(state, model.state_dict(), "after the canary")


def test_canary_tells_networks_of_equal_shape_apart():
    donor, other = encoder.build("test_resnet", 1, 0), encoder.build("test_resnet", 1, 1)
    canary.same_features(donor, encoder.build("test_resnet", 1, 0), 1, context="equal")
    with pytest.raises(EncoderError, match="run 7: features of a fixed batch differ"):
        canary.same_features(donor, other, 1, context="run 7")
    with pytest.raises(EncoderError, match="wanted features"):
        canary.same_features(donor, encoder.build("test_efficientnet", 1, 0), 1, context="run 7")
    donor.bn1.weight.data.fill_(torch.nan)
    with pytest.raises(EncoderError, match="NaN or infinite"):
        canary.canary(donor, 1)


@pytest.mark.parametrize("architecture", ["test_resnet", "test_efficientnet"])
def test_check_canary_proves_the_unet_holds_the_encoder(architecture):
    model = encoder.build(architecture, 1, 0)
    config = encoder.config_of(architecture, 1)
    net, carried = unet.build(model.state_dict(), config, classes=4, decoder_channels=(8,) * 5, seed=0)
    unet.check_canary(model.state_dict(), config, net, carried)
    with torch.no_grad():
        next(net.encoder.parameters()).mul_(1.5)
    with pytest.raises(EncoderError, match="differ"):
        unet.check_canary(model.state_dict(), config, net, carried)
