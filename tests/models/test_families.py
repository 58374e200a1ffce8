"""Every family of timm, by its smallest network that can carry a U-Net: found by `python -m tests.models.test_families`."""

from __future__ import annotations

import pytest
import timm
import torch

from sslseg.config.names import EncoderError
from sslseg.models import encoder, sizes, unet

SMALL = (8, 8, 8, 8, 8)
CARRY = {
    "byoanet": "halonet_h1", "byobnet": "test_byobnet", "coat": "coat_tiny", "convnext": "test_convnext",
    "cpubone": "cpubone_nano", "cspnet": "cs3darknet_focus_s", "cspnext": "cspnext_tiny",
    "davit": "davit_tiny", "densenet": "densenet121", "dla": "dla46x_c", "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small", "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0", "efficientnet": "test_efficientnet",
    "efficientvit_mit": "efficientvit_b0", "fasternet": "fasternet_t0", "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf", "gcvit": "gcvit_xxtiny", "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b", "hgnet": "hgnetv2_b0", "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny", "hrnet": "hrnet_w18_small", "iformer": "iformer_t",
    "inception_next": "inception_next_atto", "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3", "inception_v4": "inception_v4", "lcnetv2": "lcnetv2_small",
    "lowformer": "lowformer_b0", "mambaout": "test_mambaout", "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12", "mobilenetv3": "lcnet_035", "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs", "mvitv2": "mvitv2_tiny", "nasnet": "nasnetalarge",
    "nextvit": "nextvit_small", "nfnet": "test_nfnet", "pnasnet": "pnasnet5large", "pvt_v2": "pvt_v2_b0",
    "rdnet": "rdnet_tiny", "regnet": "regnetx_002", "repghost": "repghostnet_050", "repvit": "repvit_m1",
    "res2net": "res2next50", "resnest": "resnest14d", "resnet": "test_resnet", "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100", "selecsls": "selecsls42", "senet": "legacy_seresnet18", "sknet": "skresnet18",
    "starnet": "starnet_s050", "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224", "swin_transformer_v2": "swinv2_tiny_window16_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224", "tiny_vit": "tiny_vit_5m_224", "tresnet": "tresnet_m",
    "twins": "twins_svt_small", "vgg": "vgg11", "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception", "xception_aligned": "xception41p",
}  # fmt: skip
# No map in each of the five halvings: sequences of patches, or a stem that divides by four at once and no stage after.
CANNOT = {
    "beit": "beit_base_patch16_224", "cait": "cait_xxs24_224", "convit": "convit_tiny",
    "convmixer": "convmixer_768_32", "crossvit": "crossvit_tiny_240", "csatv2": "csatv2",
    "deepseek_vit": "deepseek_vit_412m", "deit": "deit_tiny_patch16_224", "efficientvim": "efficientvim_m1",
    "efficientvit_msra": "efficientvit_m0", "eva": "vit_tiny_patch16_dinov3_qkvb",
    "gemma4_vit": "gemma4_vit_167m", "levit": "levit_128s", "mlp_mixer": "gmlp_ti16_224",
    "naflexvit": "naflexvit_base_patch16_parfac_gap", "nest": "nest_tiny", "pit": "pit_ti_224",
    "qwen3_vit": "qwen3_vit_88m", "sequencer": "sequencer2d_s", "shvit": "shvit_s1",
    "tnt": "tnt_s_legacy_patch16_224", "visformer": "visformer_tiny", "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224", "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16_224", "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224", "xcit": "xcit_nano_12_p8_224",
}  # fmt: skip
SQUEEZED = ("efficientnet_b0", "mobilenetv3_small_050", "regnety_002", "seresnet18", "tf_efficientnet_lite0")


def side(architecture: str) -> int:
    """The smallest side of an image that it reads, multiples of 32."""
    cfg = timm.get_pretrained_cfg(architecture)
    if cfg.fixed_input_size or architecture == "halonet_h1":  # its blocks of 8 pixels divide every map
        return cfg.input_size[1]
    return 96 if architecture.startswith(("inception_v", "inception_r")) else 64


def test_no_family_is_forgotten() -> None:
    assert not CARRY.keys() & CANNOT.keys()
    assert CARRY.keys() | CANNOT.keys() == set(timm.list_modules())
    assert all(timm.models.is_model_in_modules(name, [family]) for family, name in (CARRY | CANNOT).items())


@pytest.mark.filterwarnings("ignore")  # of timm's own
@pytest.mark.parametrize("architecture", [*CARRY.values(), *SQUEEZED])
def test_two_steps(architecture: str) -> None:
    """On a CPU, channels last, as the loop does it; what is left without a gradient is behind the maps that are used."""
    net, _ = unet.scratch(architecture, 1, 2, SMALL, 0)
    net.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    size = side(architecture)
    images = torch.randn(1 if size > 100 else 2, 1, size, size, generator=generator)
    for _ in range(2):
        optimizer.zero_grad()
        loss = net(images).square().mean()
        loss.backward()
        optimizer.step()
    assert torch.isfinite(loss)
    trained = [p.grad is not None and bool(p.grad.any()) for p in net.encoder.parameters()]
    assert sum(trained) > 0.75 * len(trained)


@pytest.mark.filterwarnings("ignore")  # of timm's own
@pytest.mark.parametrize("architecture", CANNOT.values())
def test_what_cannot_carry_one_is_a_sentence(architecture: str) -> None:
    with pytest.raises(
        EncoderError, match=f"{architecture} cannot be the encoder of a U-Net: .*wanted a CNN"
    ):
        unet.skeleton(architecture, 1, 2, SMALL)


@pytest.mark.parametrize(
    "architecture", ["swin_tiny_patch4_window7_224", "vit_tiny_patch16_224", "test_coatnet"]
)
def test_another_size_than_its_own_is_a_sentence(architecture: str) -> None:
    net = encoder.build(architecture, 1, 0)
    own = timm.get_pretrained_cfg(architecture).input_size[1]
    sizes.check(net, architecture, 1, [(own, own)])
    with pytest.raises(
        EncoderError,
        match=rf"{architecture} cannot read an image of 64 x 64 pixels: it reads images of {own} x {own} alone",
    ):
        sizes.check(net, architecture, 1, [(own, own), (64, 64)])


def test_a_network_of_one_size_arrives_in_its_unet() -> None:
    """Its features are compared at the size that it reads."""
    architecture = "test_coatnet"
    config = {"architecture": architecture, "model_args": {"in_chans": 1}}
    state = encoder.build(architecture, 1, 0).state_dict()
    net, carried = unet.build(state, config, classes=2, decoder_channels=SMALL, seed=0)
    unet.check_canary(state, config, net, carried)
    with torch.no_grad():
        next(net.encoder.parameters()).mul_(1.01)
    with pytest.raises(EncoderError, match="features of a fixed batch differ"):
        unet.check_canary(state, config, net, carried)


def find() -> None:
    """Print both tables; builds 1,371 networks without storage, three minutes."""
    for family in timm.list_modules():
        small = []
        for name in timm.list_models(module=family):
            with torch.device("meta"):
                net = timm.create_model(name, num_classes=0)
            small.append((sum(p.numel() for p in net.parameters()), name))
        for _, name in sorted(small)[:6]:
            try:
                unet.skeleton(name, 1, 2, SMALL)
            except EncoderError:
                continue
            print(f'CARRY  "{family}": "{name}",')
            break
        else:
            print(f'CANNOT "{family}": "{min(small)[1]}",')


if __name__ == "__main__":
    find()
