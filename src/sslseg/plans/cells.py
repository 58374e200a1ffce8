"""The grid of a sweep as a list of cells, upstream first. Pure: runs and opens nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from sslseg.config import flags, names, params, plugins
from sslseg.config.names import ParamError
from sslseg.plans import pipelines
from sslseg.plans.pipelines import Pipeline

BYOL = "byol"  # whose ImageNet weights a sweep may be given
SOURCE = "byol_imagenet= names those of byol; other weights come by -e import_encoder and -e finetune"
AUTO, SPLIT = "auto", "/split="


@dataclass(frozen=True)
class Cell:
    """One stage to run: its parameters as texts, and the cell that its encoder comes from."""

    name: str
    stage: str
    texts: dict[str, str] = field(hash=False)
    method: str = ""
    upstream: str = ""  # name of the upstream cell; '' = none
    pipeline: str = ""  # that a fine-tuning belongs to; '' for shared upstream stages
    row: str = ""  # the pipeline up to here as it was asked for: byol@natural, where this is byol@images

    def params(
        self, upstream_run_id: str | None = None, cache: str = "", threads: int = 0, device: str = "auto"
    ) -> Any:
        """The stage's resolved parameters, with the upstream's run ID filled in.

        Raises:
            ParamError: a text is not a valid value.
        """
        texts = dict(self.texts)
        if upstream_run_id:
            texts["encoder"] = upstream_run_id
        texts |= {"cache": cache, "threads": str(threads), "device": device}
        return flags.resolve(flags.from_mapping(parameters_of(self.stage, self.method), texts))


def parameters_of(stage: str, method: str | None = None) -> type:
    """The parameter class of a stage; a method's own for a pretraining.

    Raises:
        ParamError: no such stage or method.
    """
    if stage == names.PRETRAIN and method:
        return plugins.load("methods", method).Params
    if stage not in params.STAGES:
        raise ParamError(f"stage: must be one of {', '.join(params.STAGES)}; not {stage!r}")
    return params.STAGES[stage]


def overrides(text: str, name: str) -> dict[str, str]:
    """'steps=10;save_epochs=0,1' or 'steps=10,batch_size=4' -> {name: text}.

    Raises:
        ParamError: a part is not name=value, or a name is given twice.
    """
    found: dict[str, str] = {}
    for part in filter(None, (t.strip() for t in text.replace(";", "\n").replace(",", "\n").splitlines())):
        key, equals, value = part.partition("=")
        if equals:
            if (last := key.strip()) in found:
                raise ParamError(f"{name}: {last} is given twice, in {text!r}")
            found[last] = value.strip()
        elif found:  # a further item of the tuple before
            found[last] += "," + part
        else:
            raise ParamError(f"{name}: wanted name=value pairs, got {text!r}")
    return found


# knobs of a stage that a sweep, a tuning or a trial sets by itself -> its own knobs that may say them
_SAME = "dataset data_root split budget budget_unit seed encoder_epoch cache threads device"
OWN: dict[str, tuple[str, ...]] = {key: (f"{key}s", key) for key in _SAME.split()}
OWN |= {"encoder": ("pipelines", "encoder"), "decoder_from": ("pipelines",)}


def further(p: params.Sweep | params.Tune | params.Tryout, stage: str) -> dict[str, str]:
    """The knobs that `finetune=` or `pretrain=` gives every such stage.

    Raises:
        ParamError: not name=value, or a knob that is set for each stage by itself.
    """
    given = overrides(getattr(p, stage), stage)
    for key in filter(OWN.get, given):
        ways = (f"{stage}_{key}s", *OWN[key])
        told = next((f", by {way}=" for way in ways if hasattr(p, way)), "")
        raise ParamError(f"{stage}: {key} is set for each {stage} by itself{told}; leave it out of {stage}=")
    return given


def before_trial(p: params.Tryout, dataset: str) -> params.Sweep:
    """The grid of which a trial runs all that comes before the fine-tunings of its further pipelines."""
    return params.Sweep(
        dataset=dataset, data_root=p.data_root, pipelines=p.pipelines, budgets=(0,), seeds=(0,), preset=p.preset,
        pretrain_preset=p.pretrain_preset, imagenet=p.imagenet, finetune=p.finetune, pretrain=p.pretrain,
    )  # fmt: skip


def cells(p: params.Sweep) -> list[Cell]:
    """Every cell of a (filled) sweep, each after its upstream, none twice.

    Raises:
        ParamError: see `named`, or a knob that its stage does not have.
    """
    found: dict[str, Cell] = {}
    for part in _parts(p):
        for text in part.pipelines:
            asked, pipeline, upstream = pipelines.parse(text), named(part, text), ""
            for i, hop in enumerate(pipeline.hops):
                name = str(Pipeline((*pipeline.hops[:i], replace(hop, decoder=False))))
                cell = _upstream_cell(part, pipeline.hops[: i + 1], name, upstream)
                found.setdefault(cell.name, replace(cell, row=str(Pipeline(asked.hops[: i + 1]))))
                upstream = cell.name
            for cell in _finetunes(part, pipeline, upstream):
                found[cell.name] = replace(cell, row=str(asked))
    return list(found.values())


def _parts(p: params.Sweep) -> Iterator[params.Sweep]:
    """The sweep in parts of one division of the patients and one pretraining seed each.

    With k pretraining seeds a fine-tuning of seed i starts from the one at place i mod k: by the seed's own
    number, not by its place in a list, so that a seed that is added later changes no other cell.
    """
    pretrainings = p.pretrain_seeds or (0,)
    for split in p.split:
        for place, pretraining in enumerate(pretrainings):
            if seeds := tuple(seed for seed in p.seeds if seed % len(pretrainings) == place):
                yield replace(p, seeds=seeds, pretrain_seeds=(pretraining,), split=(split,))


def _marks(p: params.Sweep, upstream: str, on_target: bool) -> str:
    """What of a part belongs to the name of a cell that is trained; '' in a sweep of one seed and the usual split."""
    (seed,), (split,) = p.pretrain_seeds, p.split
    seen = on_target or SPLIT in upstream
    return (f"/pretraining={seed}" if seed else "") + (f"{SPLIT}{split}" if seen and split != AUTO else "")


def named(p: params.Sweep, text: str) -> Pipeline:
    """The pipeline that a sentence means in this sweep, by the names of the data.

    Raises:
        ParamError: it means none, or wants ImageNet weights of a method that no source is given for; or natural
            images and target data are of one name.
    """
    imported = [BYOL] if p.byol_imagenet else []
    asked = pipelines.parse(text)
    found = asked.named(p.dataset, p.natural, imported)
    mixed = any(hop.data == pipelines.NATURAL for hop in asked.hops) and p.natural == p.dataset
    if mixed and any(hop.data == p.natural for hop in found.hops):
        raise ParamError(
            f"pipelines: {text}: natural and dataset are both {p.natural}, and runs on one could not be told from runs "
            "on the other; name another natural="
        )
    for hop in found.hops:
        if hop.stage == names.IMPORT and hop.how not in (pipelines.SUPERVISED, *imported):
            raise ParamError(f"pipelines: {text}: ImageNet weights of {hop.how} are not known; {SOURCE}")
    return found


def _upstream_cell(p: params.Sweep, hops: tuple[pipelines.Hop, ...], name: str, upstream: str) -> Cell:
    """The cell of the last of `hops`."""
    hop = hops[-1]
    if hop.stage == names.IMPORT and hop.how == pipelines.SUPERVISED:
        return Cell(name, names.IMPORT, {"source": p.imagenet})
    if hop.stage == names.IMPORT:
        told = {
            "trained_on": "imagenet",
            "trained_by": "byol",
            "origin": "declared by the sweep: BYOL ImageNet",
        }
        return Cell(name, names.IMPORT, {"source": p.byol_imagenet} | told)
    name += _marks(p, upstream, hop.data == p.dataset)
    texts = _source(p, hop.data) | {"seed": str(p.pretrain_seeds[0])}
    if not upstream:
        texts["encoder"] = names.SCRATCH
    if hop.stage == names.FINETUNE:
        texts |= _decoder(hops[:-1]) | {"preset": p.preset} | further(p, names.FINETUNE)
        return Cell(name, names.FINETUNE, texts, "", upstream)
    texts |= {"preset": p.pretrain_preset} | further(p, names.PRETRAIN)
    if p.encoder_epochs:
        texts["save_epochs"] = flags.to_text(p.encoder_epochs)
    return Cell(name, names.PRETRAIN, texts, hop.how, upstream)


def _source(p: params.Sweep, data: str) -> dict[str, str]:
    if data == p.dataset:
        return {"dataset": data, "data_root": p.data_root, "split": p.split[0]}
    return {"dataset": data, "data_root": p.natural_root if data == p.natural else ""}


def _decoder(before: tuple[pipelines.Hop, ...]) -> dict[str, str]:
    """What a fine-tuning is told when it takes over the decoder of the hop before."""
    return {"decoder_from": "upstream"} if before and before[-1].decoder else {}


def _finetunes(p: params.Sweep, pipeline: Pipeline, upstream: str) -> Iterator[Cell]:
    epochs = p.encoder_epochs if upstream and pipeline.hops[-1].stage == names.PRETRAIN else ()
    for budget in p.budgets:
        for seed in p.seeds:
            for epoch in epochs or (None,):
                texts = _source(p, p.dataset) | {
                    "preset": p.preset,
                    "budget": str(budget) if budget else "",
                    "budget_unit": p.budget_unit,
                    "seed": str(seed),
                    "encoder_epoch": flags.to_text(epoch),
                }
                texts |= _decoder(pipeline.hops)
                if not upstream:
                    texts["encoder"] = names.SCRATCH
                label = f"{pipeline}/n={budget or 'all'}/seed={seed}"
                if epoch is not None:
                    label += f"/epoch={epoch}"
                if p.split[0] != AUTO:
                    label += f"{SPLIT}{p.split[0]}"
                texts |= further(p, names.FINETUNE) | pipeline.knobs
                yield Cell(label, names.FINETUNE, texts, "", upstream, str(pipeline))
