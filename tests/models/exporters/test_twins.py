"""The same network in other libraries: it computes the same, measured again here."""

from __future__ import annotations

import pytest
import torch

from sslseg.models import encoder
from sslseg.models.exporters import twins

# one of each family; the others of a table differ in depth and width alone
CHECKED = (
    "resnet18",
    "resnext50_32x4d",
    "densenet121",
    "efficientnet_b1",
    "mobilenetv2_100",
    "tf_efficientnet_b0",
)
PAIRS = [(name, twin.library) for name in CHECKED for twin in twins.of(name) if twin.library != "monai"]


def spread(net: torch.nn.Module) -> torch.nn.Module:
    """Statistics and scales of their own, so that two swapped tensors are seen."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point() and tensor.ndim == 1:
                low = 0.5 if name.endswith(("weight", "running_var")) else -0.1
                tensor.copy_(low + torch.rand(tensor.shape, generator=draw) * (1 if low > 0 else 0.2))
    return net.eval()


def deepest(net: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    return net.forward_intermediates(images, intermediates_only=True)[-1]


def compare(architecture: str, library: str) -> None:
    (twin,) = (t for t in twins.of(architecture) if t.library == library)
    ours, theirs = spread(encoder.build(architecture, 2, 0)), twin.build(2)
    theirs.load_state_dict(twins.translated(ours.state_dict(), architecture, twin, theirs))
    images = torch.randn(2, 2, 96, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted, got = ours(images), theirs.eval()(images)
        if isinstance(got, list):  # smp: maps
            wanted, got = deepest(ours, images), got[-1]
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize(("architecture", "library"), PAIRS)
def test_it_computes_the_same(architecture: str, library: str):
    compare(architecture, library)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["resnet18", "resnet50", "tf_efficientnet_b0"])
def test_monai_computes_the_same(architecture: str):
    pytest.importorskip("monai", reason="monai, an extra, is not installed")
    compare(architecture, "monai")


def test_a_network_without_twin():
    assert twins.of("tf_efficientnet_lite0") == ()
    assert twins.names("resnet18") == {}  # torchvision's names are timm's
