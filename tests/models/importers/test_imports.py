"""Three kinds of source, each with its origin, its law and its stem."""

from __future__ import annotations

import pytest
import timm
import torch

from sslseg.config.names import EncoderError, ParamError
from sslseg.models.importers import imports


def test_a_file_needs_its_origin_in_words(tmp_path):
    target = timm.create_model("resnet18").state_dict()
    target["fc.weight"], target["fc.bias"] = torch.ones(1000, 512), torch.ones(1000)  # not as it was drawn
    torch.save(target, tmp_path / "a.pth")
    with pytest.raises(ParamError, match="origin"):
        imports.fetch(f"file:{tmp_path / 'a.pth'}")
    got = imports.fetch(f"file:{tmp_path / 'a.pth'}", origin="a colleague", trained_on="imagenet", channels=1)
    assert (got.method, got.dataset, got.domain, got.role) == (
        "supervised",
        "imagenet",
        "natural",
        "imported",
    )
    torch.testing.assert_close(got.state["conv1.weight"], target["conv1.weight"].sum(1, keepdim=True))
    assert got.provenance["adapted_from_channels"] == 3
    assert got.normalisation["mean"] == [0.485, 0.456, 0.406]
    assert "assumed" in got.normalisation["known_from"]
    assert imports.fetch(f"file:{tmp_path / 'a.pth'}", origin="x", trained_by="byol").method == "byol"


@pytest.mark.parametrize("source", ["", "resnet18", "http://x", "timm:", "bundled:resnet18", "hf-hub:a/b"])
def test_only_three_kinds_of_source(source):
    with pytest.raises(ParamError, match="source"):
        imports.fetch(source)


def test_timm_downloads_through_its_own_code(monkeypatch):
    torch.manual_seed(1)
    donor = timm.create_model("resnet18").state_dict()
    monkeypatch.setattr("timm.models._builder.has_hf_hub", lambda *a, **k: True)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *a, **k: dict(donor))
    got = imports.fetch("timm:resnet18.a1_in1k", channels=3)
    assert (got.architecture, got.method, got.dataset) == ("resnet18", "supervised", "imagenet")
    assert set(donor) - set(got.state) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(tensor, donor[name]) for name, tensor in got.state.items())
    assert imports.fetch("timm:resnet18.fb_swsl_ig1b_ft_in1k").method == "unknown"


def test_timm_without_network_says_what_to_do(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", offline)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_url", offline)
    with pytest.raises(EncoderError, match=r"hub cannot be reached.*file:"):
        imports.fetch("timm:resnet18.a1_in1k")
    for name in ("resnet19", "resnet18.no_such_tag", "hf-hub:timm/resnet18"):
        with pytest.raises(EncoderError, match="no weights of that name"):
            imports.fetch(f"timm:{name}")
    with pytest.raises(EncoderError, match=r"; did you mean timm:resnet50\?"):
        imports.fetch("timm:resnet5")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "absent"])
def test_a_name_that_no_file_can_have(name: str):
    with pytest.raises(EncoderError, match="wanted a checkpoint file, there is none"):
        imports.fetch(f"file:{name}", origin="a colleague")
