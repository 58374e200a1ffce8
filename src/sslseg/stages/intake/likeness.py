"""What a model keeps of the data it was trained on, and a stage's data compared with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sslseg.config import names
from sslseg.data import outside
from sslseg.data.slices.slice_store import Slices
from sslseg.plans.pipelines import NATURAL
from sslseg.tracking.runs import Run
from sslseg.tracking.store import client

if TYPE_CHECKING:  # it builds networks; a sweep's driver, who needs none, waits two seconds less
    from sslseg.stages.intake.upstream import Upstream

READING = ("axis", "spacing", "colour")  # keys of sslseg.json that a prediction has to follow


def facts(store: Slices) -> dict[str, object]:
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

    Nothing is tagged of random weights. A part of a sweep says nothing: the sweep does, see `Once`.
    """
    if source.resolved is None:
        return
    own = source.config.get("sslseg", {})
    known, domain = own.get("fingerprint") or {}, own.get("domain") or ""
    found = outside.apart(outside.portrait(store), known, store.domain, domain)
    run.tag(names.TAG_APART, "; ".join(found) or ("no" if known else "unknown"))
    if _telling(found) and not run.parent:
        print(_sentence(store.dataset, source.resolved.run_id, "; ".join(found)))


def _telling(found: Sequence[str]) -> bool:
    """Whether somebody could act on it: that weights of photographs are far from any scan is known, and on the card."""
    return bool(found) and not any(reason.endswith(f"not {NATURAL}") for reason in found)


def _sentence(dataset: str, encoder: str, how: str) -> str:
    return f"warning: {dataset} is far from the data that the encoder of run {encoder} was last trained on: {how}"


class Once:
    """Says what `check` tagged the parts of a sweep with: once for each encoder, however many cells it has."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._said: set[str] = set()

    def tell(self, run_id: str) -> None:
        """Print the sentence of a part that has ended, unless it has been said."""
        tags = client(self._uri).get_run(run_id).data.tags
        how = tags.get(names.TAG_APART, "unknown")
        said = _sentence(tags.get(names.TAG_DATASET, ""), tags.get(names.TAG_UPSTREAM_RUN, ""), how)
        if how not in ("no", "unknown") and _telling(how.split("; ")) and said not in self._said:
            self._said.add(said)
            print(said)


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
