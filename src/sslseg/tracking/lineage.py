"""Where an encoder comes from, read from run IDs, hop by hop, back to random weights."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from sslseg.config import names, plugins
from sslseg.config.names import EncoderError
from sslseg.config.texts import whole
from sslseg.plans import pipelines
from sslseg.tracking import session, store

TUNED = (names.FINETUNE, names.TRIAL)
MOST_HOPS = 50  # a longer chain is a ring of tags written by hand


def word(declared: str) -> str:
    """What a person says that weights come from, without the signs that lineages and pipelines are written with."""
    return " ".join(re.split(r"[\s+>@:]+", declared)).strip()


@dataclass(frozen=True)
class Hop:
    """One stage that the weights went through."""

    run_id: str
    stage: str
    method: str
    dataset: str
    domain: str  # "natural", "cardiac-mri" …; '' = not recorded
    origin: str  # declared, of imported weights alone
    epoch: int | None  # of the model that was handed on; None = not kept at the end of an epoch
    sha: str  # sha256 of the weights that were handed on; '' = none yet
    model_id: str = ""
    decoder: bool = False  # handed on together with the encoder
    gone: bool = False  # its run was deleted for good: known is what its model, or the next run, says of it
    folder: str = ""  # of the data, by its name, where the dataset is but a format of any images
    summed: str = ""  # channels that its first layer was handed on summed from, to grey; '' = as it is

    @property
    def learned(self) -> tuple[str, str]:
        """How, and from what: as the words of a pipeline."""
        return word(self.method) or "unknown", word(self.dataset or self.origin) or "unknown"

    @property
    def name(self) -> str:
        """`byol@acdc`: how it learned, and from what."""
        return pipelines.hop_text(*self.learned, self.decoder)

    @property
    def note(self) -> str:
        """How its weights were changed when they were handed on; '' = not at all."""
        return f"handed on with its first layer summed from {self.summed} channels to 1" * bool(self.summed)


def walk(run_id: str, epoch: int | None = None, model_id: str = "", uri: str | None = None) -> list[Hop]:
    """Every stage from the root to `run_id`, which is the last.

    Args:
        epoch: of the model of `run_id` that is meant; it and its digest are read from `model_id`, if given.

    Raises:
        EncoderError: of a run on the way nothing is known any more; or the tags lead in a ring, or contradict one another.
    """
    hops: list[Hop] = []
    said: dict[str, tuple[str, str]] = {}  # run ID -> lineage by the tags of the run and of its model
    sha, after, decoder, summed = "", "the start", False, ""
    told: list[tuple[str, int | None]] = []  # hops up to this one, as the run after it has written them
    while run_id and run_id != names.SCRATCH:
        if len(hops) == MOST_HOPS:
            raise EncoderError(f"run {run_id}: more than {MOST_HOPS} upstream runs, the tags lead in a ring")
        model = _model_tags(model_id, uri)
        try:
            run = session.follow(run_id, uri)
        except store.UnknownRunError:
            if not (model or told):
                raise EncoderError(f"run {run_id}: unknown, but {after} names it as its upstream") from None
            hops += _gone(run_id, model_id, sha, told, model)
            told, after = pipelines.read(model.get(names.MODEL_LINEAGE, ""))[:-1], f"models:/{model_id}"
            run_id, model_id, sha = model.get(names.MODEL_UPSTREAM, ""), "", ""
            epoch = told[-1][1] if told else None
            continue
        tags = run.data.tags
        found = _hop(run, model, epoch, sha, model_id)
        told = pipelines.read(tags.get(names.TAG_LINEAGE, ""))[:-1]
        hops.append(replace(found, decoder=decoder, summed=summed))
        said[found.run_id] = tags.get(names.TAG_LINEAGE, ""), model.get(names.MODEL_LINEAGE, "")
        decoder, summed = tags.get(names.TAG_DECODER) == "upstream", tags.get(names.TAG_SUMMED, "")
        after, run_id, epoch = f"run {run.info.run_id}", tags.get(names.TAG_UPSTREAM_RUN, ""), None
        model_id, sha = tags.get(names.TAG_UPSTREAM_MODEL, ""), tags.get(names.TAG_UPSTREAM_SHA, "")
    for place, hop in enumerate(hops):
        _check_tags(hop.run_id, said.get(hop.run_id, ()), text(hops[place:][::-1]))
    return hops[::-1]


def agree(*lineages: str) -> bool:
    """Whether lineage tags name the same hops; those that say nothing agree with all.

    Epochs and a decoder that is handed on are of the way between two runs, and left out.
    """
    told = [pipelines.read(one) for one in lineages if one and "…" not in one]
    hops = ([hop.removesuffix(f"+{pipelines.DECODER}") for hop, _ in one] for one in told)
    return len({word(" ".join(one)) for one in hops}) < 2


def _check_tags(run_id: str, said: Sequence[str], found: str) -> None:
    """Every tag of a lineage was written from the same run IDs, so that those which differ were changed by hand."""
    for one in said:
        if not agree(one, found):
            raise EncoderError(
                f"run {run_id}: its lineage is written as {one!r}, and its tags and those of the runs before it make "
                f"{found!r}. One of them was changed by hand, and nobody can tell which: put it back"
            )


def _gone(
    run_id: str, model_id: str, sha: str, told: Sequence[tuple[str, int | None]], model: dict[str, str]
) -> list[Hop]:
    """A run that is no longer there: one hop by what its model says, else all hops that are told of, the last first."""
    if model:
        told = pipelines.read(model.get(names.MODEL_LINEAGE, ""))[-1:] or told[-1:]
    found = []
    for place, (text, epoch) in enumerate(reversed(told)):
        said = pipelines.split(text).hops[-1]
        data = model.get(names.MODEL_DATASET) or said.data
        found.append(
            Hop(
                run_id="" if place else run_id,
                stage=said.stage,
                method=model.get(names.MODEL_METHOD) or said.how,
                dataset=data,
                domain=model.get(names.MODEL_DOMAIN) or _known_domain(data),
                origin=model.get(names.MODEL_ORIGIN, ""),
                epoch=whole(model.get(names.MODEL_EPOCH), epoch),
                sha=("" if place else sha) or model.get(names.MODEL_SHA, ""),
                model_id="" if place else model_id,
                decoder=said.decoder,
                gone=True,
            )  # fmt: skip
        )
    return found


def _hop(run: MlflowRun, model: dict[str, str], epoch: int | None, sha: str, model_id: str) -> Hop:
    tags = run.data.tags
    stage = tags.get(names.TAG_STAGE, "")
    dataset = tags.get(names.TAG_DATASET) or model.get(names.MODEL_DATASET, "")
    usual = "supervised" if stage in TUNED else ""
    return Hop(
        run_id=run.info.run_id,
        stage=stage,
        method=tags.get(names.TAG_METHOD) or model.get(names.MODEL_METHOD) or usual,
        dataset=dataset,
        domain=_domain(tags, model.get(names.MODEL_DOMAIN) or tags.get(names.MODEL_DOMAIN, ""), dataset),
        origin=model.get(names.MODEL_ORIGIN) or tags.get(names.MODEL_ORIGIN, ""),
        epoch=whole(model.get(names.MODEL_EPOCH), epoch),
        sha=sha or model.get(names.MODEL_SHA, ""),
        model_id=model_id,
        folder=plugins.folder_of(dataset, run.data.params.get(f"{names.CFG}data_root", "")),
    )


def _domain(tags: dict[str, str], recorded: str, dataset: str) -> str:
    """What the data show. A folder that does not say it more closely is what its sweep was told: `natural=images`."""
    row = pipelines.split(tags.get(names.TAG_ROW, names.SCRATCH)).hops
    if recorded in ("", names.VAGUE) and row and row[-1].data == pipelines.NATURAL:
        return pipelines.NATURAL
    return recorded or _known_domain(dataset)


def _known_domain(dataset: str) -> str:
    """ImageNet is no dataset of this package, and the one that imported weights nearly always saw."""
    return pipelines.NATURAL if dataset.lower().startswith("imagenet") else ""


def _model_tags(model_id: str, uri: str | None) -> dict[str, str]:
    try:
        return dict(store.client(uri).get_logged_model(model_id).tags) if model_id else {}
    except MlflowException as error:  # deleted since: what the runs say still makes a lineage
        store.only_gone(error)
        return {}


def text(hops: Sequence[Hop], *, folders: bool = False) -> str:
    """`supervised > byol@acdc:25`, 25 being an epoch; `scratch` without hops.

    Args:
        folders: tell folders of one format apart: `byol@images-hearts`.
    """
    if folders:
        hops = [replace(hop, dataset=f"{hop.dataset}-{hop.folder}") if hop.folder else hop for hop in hops]
    words = [hop.name if hop.epoch is None else f"{hop.name}:{hop.epoch}" for hop in hops]
    return " > ".join(words) or names.SCRATCH


def label(hops: Sequence[Hop]) -> str:
    """`supervised+byol@acdc`: the pipeline by the names of its data; `scratch` without hops."""
    return "+".join(hop.name for hop in hops) or names.SCRATCH


def before(hops: Sequence[Hop], dataset: str) -> Sequence[Hop]:
    """The pretraining of a fine-tuning on `dataset`: without the fine-tuning itself, where it is the last."""
    own = bool(hops) and hops[-1].stage in TUNED and hops[-1].dataset == dataset
    return hops[:-1] if own else hops


def pipeline(hops: Sequence[Hop], dataset: str, variants: tuple[str, ...] = ()) -> str:
    """`supervised+byol@target`: the pipeline that a downstream run on `dataset` belongs to, the same on all data.

    Args:
        hops: `walk` of the downstream run (which is left out), or of its upstream.
        variants: how the downstream run is done; see `pipelines.variants_of`.
    """
    return str(pipelines.of(map(facts, before(hops, dataset)), dataset, variants))


def facts(hop: Hop) -> pipelines.Facts:
    """What of a hop makes it part of a pipeline."""
    return *hop.learned, hop.domain, hop.decoder


def of_model(reference: str, uri: str | None = None, **wanted: Any) -> list[Hop]:
    """Lineage of the model that a reference means, up to and with its own run; see `registry.resolve`.

    Raises:
        EncoderError: see `references.find`.
    """
    from sslseg.tracking.registry import references

    model, _ = references.find(reference, references.Wanted(**wanted), uri)
    hops = walk(model.source_run_id or "", model_id=model.model_id, uri=uri)
    return [*hops[:-1], replace(hops[-1], sha=model.tags.get(names.MODEL_SHA, ""))]
