"""The encoder that a training hands on: its folder, its card, what it has seen, and its place in the registry."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from sslseg.config.params import Finetune, Pretrain
from sslseg.data.slices.intensity import GREY
from sslseg.models import body, segmenter
from sslseg.models import encoder as encoders
from sslseg.models.encoder import State
from sslseg.stages.intake import leaks, likeness
from sslseg.stages.intake.upstream import Start
from sslseg.stages.outcome import cards
from sslseg.tracking import lineage
from sslseg.tracking.lineage import Hop
from sslseg.tracking.registry import resolve


def known(start: Start[Pretrain] | Start[Finetune], hops: Sequence[Hop]) -> dict[str, Any]:
    """What the registry is told of every model of a run."""
    text, alias = lineage.text(hops), lineage.text(hops, folders=True)
    return {"dataset": start.p.dataset, "lineage": text, "alias": alias}


def log(
    start: Start[Pretrain] | Start[Finetune], state: State, hops: Sequence[Hop], rows: np.ndarray, name: str, *,
    decoder: nn.Module | None = None, grey: bool = False, signs: dict[str, float] | None = None, **how: Any,
) -> None:  # fmt: skip
    """Log an encoder as a timm folder, with its card and the list of what it has seen.

    Args:
        rows: of the store, that this run has shown it.
        name: of the registered model, before its architecture.
        decoder: handed on beside it.
        grey: it reads the lightness of the data's colours.
        signs: see `cards.encoder`.
        how: of `resolve.log_model`.
    """
    source, data, run = start.source, start.data, start.run
    extra = ({"decoder": list(getattr(start.p, "decoder", ()))} if decoder else {}) | {
        "run_id": run.id,
        **likeness.facts(data.store),
        "spacing": data.store.spacing,
        "upstream_sha256": source.sha256,
        "classes": list(data.store.classes),
        "body_sha256": body.sha256(state, source.architecture),
    }
    cpu = {key: tensor.detach().cpu().contiguous() for key, tensor in state.items()}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "encoder"
        encoders.save(
            cpu, folder, architecture=source.architecture, channels=1 if grey else data.store.channels,
            normalisation=(GREY if grey else data.intensity).to_json(), extra=extra,
        )  # fmt: skip
        if decoder:
            segmenter.write_decoder(folder, decoder)
        leaks.write(folder, run, source.resolved, data, rows)
        resolve.log_encoder(
            run, folder, name=f"{name}-{source.architecture}", card=cards.encoder(start, hops, signs),
            **known(start, hops), **how,
        )  # fmt: skip
