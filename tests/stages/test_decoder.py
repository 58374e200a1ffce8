"""A decoder taken over with its encoder: the same tensors, in the identity, in the lineage's name, or a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sslseg import execute
from sslseg.config import flags, names
from sslseg.config.names import FINETUNE, PRETRAIN, EncoderError, ParamError
from sslseg.data import training_set
from sslseg.models import folders, segmenter
from sslseg.plans import cells
from sslseg.stages import finetune
from sslseg.stages.intake import upstream
from sslseg.stages.intake.upstream import Start
from sslseg.tracking.registry import resolve
from tests.fixtures.tiny_runs import Tiny, get

pytestmark = pytest.mark.usefixtures("store")


@pytest.fixture(scope="module")
def phantom(tiny: Tiny, store: str) -> str:
    """A fine-tuning on the phantom, whose U-Net is handed on."""
    return tiny.run(FINETUNE, dataset="phantom", data_root=tiny.other, steps=2)


def network(tiny: Tiny, **knobs):
    """The U-Net of a fine-tuning before its first step."""
    p = finetune.fill(tiny.params(FINETUNE, **knobs))
    return finetune._network(Start(p, None, upstream.fetch(p), training_set.load(p)))[0]


def test_the_tensors_arrive_and_head_and_encoder_are_as_without(tiny: Tiny, phantom: str):
    whole = segmenter.load(resolve.resolve(phantom, kind="segmenter").path)[0]
    taken, fresh = (network(tiny, encoder=phantom, decoder_from=way) for way in ("upstream", "fresh"))
    for part in ("encoder", "segmentation_head"):
        pairs = zip(
            getattr(taken, part).state_dict().values(),
            getattr(fresh, part).state_dict().values(),
            strict=True,
        )
        assert all(torch.equal(one, other) for one, other in pairs)
    mine, theirs, drawn = (net.decoder.state_dict() for net in (taken, whole, fresh))
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)
    assert not all(torch.equal(mine[key], drawn[key]) for key in theirs)


def test_it_is_in_the_identity_and_in_the_lineage_s_name(tiny: Tiny, phantom: str):
    run_id = tiny.run(FINETUNE, encoder=phantom, decoder_from="upstream", steps=1, eval_every=1)
    tags = get(run_id).data.tags
    assert tags[names.TAG_LINEAGE] == "phantom+decoder > supervised@acdc"
    assert tags[names.TAG_PIPELINE] == "phantom+decoder"
    assert get(run_id).data.params["cfg.decoder_from"] == "upstream"
    ways = [
        finetune.identify(tiny.params(FINETUNE, encoder=phantom, decoder_from=w))
        for w in ("upstream", "fresh")
    ]
    assert len(set(ways)) == 2


def test_a_method_that_trains_a_unet_hands_its_decoder_on(tiny: Tiny):
    own = {"projector_hidden", "projection_size", "predictor_hidden"}
    texts = {k: v for k, v in tiny.texts(PRETRAIN, decoder="8,8,8,8,8").items() if k not in own}
    p = flags.resolve(flags.from_mapping(cells.parameters_of(PRETRAIN, "denoising"), texts))
    run_id = execute.execute(PRETRAIN, p, method="denoising")
    found = resolve.resolve(run_id)
    assert found.tags[names.MODEL_DECODER]
    kept = folders.read_weights(found.path / names.DECODER_FILE)
    mine = network(tiny, encoder=run_id, decoder_from="upstream").decoder.state_dict()
    assert all(torch.equal(mine[key], kept[key]) for key in kept)
    with pytest.raises(EncoderError, match="the upstream's has 8,8,8,8,8 channels, decoder=4,4,4,4,4"):
        network(tiny, encoder=run_id, decoder_from="upstream", decoder=(4, 4, 4, 4, 4))
    file = Path(found.path) / names.DECODER_FILE
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    with pytest.raises(EncoderError, match="was changed after it was logged"):
        network(tiny, encoder=run_id, decoder_from="upstream")


def test_what_has_no_decoder_is_refused(tiny: Tiny):
    with pytest.raises(ParamError, match="encoder=scratch has no upstream to take a decoder from"):
        network(tiny, encoder="scratch", decoder_from="upstream")
    byol = tiny.run(PRETRAIN)
    with pytest.raises(EncoderError, match=f"run {byol}: it hands on an encoder alone, no decoder"):
        network(tiny, encoder=byol, decoder_from="upstream")
