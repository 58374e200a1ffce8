"""Floor 2: what a model keeps of the data it was trained on, and a stage's data compared with it."""

from __future__ import annotations

from typing import Any

from sslseg import names
from sslseg.data import outside
from sslseg.data.slices import Slices
from sslseg.runs import Run
from sslseg.stages.upstream import Upstream

READING = ("axis", "spacing", "colour")  # keys of sslseg.json that a prediction has to follow


def facts(store: Slices) -> dict[str, Any]:
    """What the folder of an encoder or segmenter says of its data, under "sslseg" in config.json."""
    return {
        "dataset": store.dataset,
        "domain": store.domain,
        "fingerprint": outside.portrait(store),
        "channel_names": list(store.channel_names),
        "colours": list(store.colours),
        "reading": {key: store.settings[key] for key in READING if store.settings.get(key)},
    }


def check(run: Run, source: Upstream, store: Slices) -> None:
    """Tag the run with how its data differ from those the encoder was last trained on, and say so.

    Nothing is tagged of random weights.
    """
    if source.config is None:
        return
    own = source.config.get("sslseg", {})
    known, domain = own.get("fingerprint") or {}, own.get("domain") or ""
    found = outside.apart(outside.portrait(store), known, store.domain, domain)
    run.tag(names.TAG_APART, "; ".join(found) or ("no" if known else "unknown"))
    if found:
        where = f"the data that the encoder of run {source.resolved.run_id} was last trained on"
        print(f"warning: {store.dataset} is far from {where}: {'; '.join(found)}")


def tell(run: Run, strange: int, volumes: int, known: bool) -> None:
    """Tag the run with how many of its volumes lie outside what its model was trained on, and say so.

    Args:
        known: whether that is known at all.
    """
    found = f"{strange} of {volumes} volumes lie outside the training data" if strange else "no"
    run.tag(names.TAG_APART, found if known else "unknown")
    if known:
        run.log({"evaluate/outside_training": strange})
    if strange:
        print(f"warning: {found} of the model in size, spacing or intensity")
