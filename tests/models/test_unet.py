"""The U-Net holds its upstream bit by bit, gives it back whole, and starts the rest afresh."""

import json
import math

import pytest
import torch

from sslseg.config import flags, params
from sslseg.config.names import EncoderError, ParamError
from sslseg.data.slices.intensity import Intensity
from sslseg.models import encoder, folders, segmenter, unet

SMALL = (16, 12, 8, 8, 4)
LAW = Intensity("dataset")
# plain names; head tensors dropped; flattened names, no stage at half size; flattened; a full-size stage
ARCHITECTURES = ("test_resnet", "tf_efficientnet_lite0", "test_convnext", "test_byobnet", "darknet17")


def around(architecture, channels=1, seed=0, upstream=0):
    state = encoder.build(architecture, channels, upstream).state_dict()
    config = encoder.config_of(architecture, channels)
    return state, *unet.build(state, config, classes=4, decoder_channels=SMALL, seed=seed)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_trunk_is_the_upstream_and_comes_back_whole(architecture):
    state, net, carried = around(architecture)
    back = unet.encoder_state(net, carried)
    assert list(back) == list(state)
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert len(net.encoder.model.state_dict()) + len(carried) == len(state)
    donor, batch = encoder.from_state(back, encoder.config_of(architecture, 1)), torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        maps = donor.eval().forward_intermediates(batch, intermediates_only=True)
        assert torch.equal(net.eval().encoder(batch)[-1], maps[-1])
        assert net(batch).shape == (2, 4, 64, 64)


def test_what_is_carried_is_the_head_alone():
    assert around("test_resnet")[2] == {}
    carried = around("tf_efficientnet_lite0")[2]
    assert {name.partition(".")[0] for name in carried} == {"conv_head", "bn2"}
    assert len(carried) == 6


def test_encoder_state_refuses_a_head_that_is_not_there():
    _, net, carried = around("test_efficientnet")
    with pytest.raises(EncoderError, match="missing +6"):
        unet.encoder_state(net, {})
    assert len(carried) == 6


def test_paper_network_has_the_papers_size():
    with torch.device("meta"):  # 3.4: encoder 23 million, decoder 9 million
        net = unet.empty(
            "resnet50", 1, 4, flags.resolve(params.Finetune(preset="paper-text", encoder="scratch")).decoder
        )
    count = [sum(p.numel() for p in part.parameters()) for part in (net.encoder, net.decoder)]
    assert count == [23_501_760, 9_012_928]


def test_decoder_is_the_papers_two_convolutions():  # and nearest upsampling: see test_decoder.py
    net = around("test_resnet")[1]
    kinds = [sum(isinstance(m, torch.nn.Conv2d) for m in block.modules()) for block in net.decoder.blocks]
    assert kinds == [2] * 5


def test_decoder_depends_on_the_seed_alone():
    def rest(net):
        parts = net.decoder.state_dict() | {
            f"head.{k}": v for k, v in net.segmentation_head.state_dict().items()
        }
        return torch.cat([t.flatten().double() for t in parts.values()])

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = rest(around("test_resnet", seed=5, upstream=0)[1])
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, rest(around("test_resnet", seed=5, upstream=9)[1]))
    assert not torch.equal(first, rest(around("test_resnet", seed=6)[1]))


def test_decoder_and_head_are_kaiming_uniform():
    net = unet.scratch("test_resnet", 1, 4, (256, 128, 64, 32, 16), seed=0)[0]
    convs = [m for part in (net.decoder, net.segmentation_head) for m in part.modules()
             if isinstance(m, torch.nn.Conv2d)]  # fmt: skip
    assert len(convs) == 11
    for conv in convs:
        bound = math.sqrt(6 / conv.weight[0].numel())
        assert 0.9 * bound < conv.weight.abs().max() <= bound
        assert conv.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)
        assert conv.bias is None or not conv.bias.any()


def test_scratch_starts_from_the_encoder_of_its_seed():
    net, carried = unet.scratch("test_efficientnet", 2, 3, SMALL, seed=4)
    back, fresh = unet.encoder_state(net, carried), encoder.build("test_efficientnet", 2, 4).state_dict()
    assert all(torch.equal(back[name], fresh[name]) for name in fresh)


def test_what_does_not_fit_is_refused():
    with pytest.raises(EncoderError, match="test_vit cannot be the encoder of a U-Net"):
        unet.scratch("test_vit", 1, 4, SMALL, seed=0)
    with pytest.raises(ParamError, match="wanted 5 channel counts, got 3"):
        unet.scratch("test_resnet", 1, 4, (8, 8, 8), seed=0)
    state, config = encoder.build("test_resnet", 1, 0).state_dict(), encoder.config_of("test_resnet", 1)
    del state["layer4.0.conv1.weight"]  # what smp and timm load without a word
    with pytest.raises(EncoderError, match="missing +1 +layer4.0.conv1.weight"):
        unet.build(state, config, classes=4, decoder_channels=SMALL, seed=0)


def test_segmenter_folder_round_trip(tmp_path):
    net = around("test_efficientnet")[1].eval()
    digest = segmenter.save(
        net, tmp_path, architecture="test_efficientnet", channels=1,
        classes=("background", "RV", "MYO", "LV"),
        decoder_channels=SMALL, normalisation=Intensity("dataset", 0.3, 0.2), spacing=1.5, extra={"domain": "phantom"},
    )  # fmt: skip
    again, config = segmenter.load(tmp_path)
    batch = torch.randn(1, 1, 64, 96)
    with torch.no_grad():
        assert torch.equal(net(batch), again(batch))
    assert not again.training
    assert digest == folders.sha256(tmp_path)
    assert config["classes"] == ["background", "RV", "MYO", "LV"]
    assert config["law"]["kind"] == "dataset"
    assert config["spacing"] == 1.5
    assert config["sslseg"]["domain"] == "phantom"


def test_an_encoder_folder_is_no_segmenter_and_a_wrong_description_no_save(tmp_path):
    model = encoder.build("test_resnet", 1, 0)
    encoder.save(model, tmp_path, architecture="test_resnet", channels=1)
    with pytest.raises(EncoderError, match="not a segmenter"):
        segmenter.load(tmp_path)
    with pytest.raises(EncoderError, match="segmentation_head"):
        segmenter.save(around("test_resnet")[1], tmp_path / "s", architecture="test_resnet", channels=1,
                       classes=("background",), decoder_channels=SMALL, normalisation=LAW, spacing=0.0)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"classes": []}, "wanted 'classes', 1 to 254 names"),
        ({"classes": 4}, "wanted 'classes', 1 to 254 names"),
        ({"decoder_channels": [8, 8, 8, 8, 10**9]}, "wanted 'decoder_channels', numbers from 1 to 4,096"),
        ({"decoder_channels": "88888"}, "wanted 'decoder_channels'"),
        ({"spacing": float("nan")}, "wanted 'spacing' in mm"),
        ({"law": None}, "wanted an object under 'law'"),
        ({"model_args": {"in_chans": 3}}, "wanted all"),
        ({"architecture": "convnext_xxlarge"}, "wanted all"),  # 3.4 GB, if it were built first
    ],
)
def test_a_segmenter_s_description_is_held_against_its_weights(tmp_path, changed: dict, message: str):
    segmenter.save(around("test_resnet")[1], tmp_path, architecture="test_resnet", channels=1, classes=tuple("abcd"),
                   decoder_channels=SMALL, normalisation=LAW, spacing=0.0)  # fmt: skip
    config = json.loads((tmp_path / "config.json").read_text()) | changed
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(EncoderError, match=message):
        segmenter.load(tmp_path)
