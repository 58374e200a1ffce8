"""Facts about the encoders of a study: what the page's cards show, and which network it was."""

from dataclasses import dataclass

import pandas as pd
from mlflow.exceptions import MlflowException

from analysis.comparison.arms import Arm
from analysis.comparison.cells import Study
from analysis.comparison.sameness import chain
from analysis.statistics.words import plural
from sslseg.config import names
from sslseg.config.names import CFG
from sslseg.plans import pipelines
from sslseg.tracking import store

VITALS = "vitals/target/"


@dataclass(frozen=True)
class Encoder:
    """One encoder that compared runs started from. Empty texts where the store does not say."""

    arm: str
    run_id: str
    model_id: str
    architecture: str
    epoch: str
    step: str
    sha256: str
    origin: str
    exposure: str  # "unknown", or "declared: imagenet"; '' = who was seen is on record
    collapsed: bool
    hops: tuple[tuple[str, str], ...]  # (how@data, run_id), root first
    signs: tuple[tuple[str, float], ...]  # vital signs of a self-supervised encoder
    hours: float | None  # of all stages together


def encoders(study: Study, uri: str | None) -> tuple[Encoder, ...]:
    """Every encoder, by pipeline and run; pipelines from random weights have none."""
    found = []
    for arm in study.arms:
        runs = study.of(arm)
        pairs = sorted(set(zip(runs["upstream_run_id"], runs["upstream_model_id"], strict=True)))
        there = [pair for pair in pairs if pair[0] not in ("", names.SCRATCH)]
        found += [_encoder(study, arm, run, model, uri) for run, model in there]
    return tuple(found)


def _encoder(study: Study, arm: Arm, run_id: str, model_id: str, uri: str | None) -> Encoder:
    hops = list(chain(run_id, study.others))[::-1]
    tags = _tags(model_id, uri)
    last = hops[-1] if hops else pd.Series(dtype=object)
    root = hops[0].get(f"{CFG}architecture") if hops else ""  # the network that it was told to be
    seconds = [float(s) for hop in hops if pd.notna(s := hop.get(names.SECONDS))]
    return Encoder(
        arm=arm.label,
        run_id=run_id,
        model_id=model_id,
        architecture=tags.get(names.MODEL_ARCHITECTURE) or (root if isinstance(root, str) else ""),
        epoch=tags.get(names.MODEL_EPOCH, ""),
        step=tags.get(names.MODEL_STEP, ""),
        sha256=tags.get(names.MODEL_SHA, ""),
        origin=tags.get(names.MODEL_ORIGIN, ""),
        exposure=str(last.get("exposure", "")),
        collapsed=bool(last.get("collapsed", False)),
        hops=tuple((hop_name(h), h["run_id"]) for h in hops),
        signs=tuple(
            (key.removeprefix(VITALS), float(value))
            for key, value in sorted(last.items())
            if key.startswith(VITALS) and key != f"{VITALS}collapsed" and pd.notna(value)
        ),
        hours=sum(seconds) / 3600 if seconds else None,
    )


def _tags(model_id: str, uri: str | None) -> dict[str, str]:
    if not model_id:
        return {}
    try:
        return dict(store.client(uri).get_logged_model(model_id).tags)
    except MlflowException:  # deleted since
        return {}


def architectures(study: Study, found: tuple[Encoder, ...]) -> dict[str, str]:
    """Pipeline's label -> network; of random weights, what the fine-tuning was told."""
    by_arm: dict[str, str] = {}
    for arm in study.arms:
        networks = sorted({e.architecture for e in found if e.arm == arm.label})
        if not networks:
            column = study.of(arm).get(f"{CFG}architecture", pd.Series(dtype=object))
            networks = sorted(set(column.dropna()))
        by_arm[arm.label] = ", ".join(filter(None, networks))
    return by_arm


def hop_name(run: pd.Series) -> str:
    """`byol@acdc`: how a run learned, and from what."""
    return pipelines.hop_text(run["method"] or pipelines.SUPERVISED, run["dataset"])


def exposure(runs: pd.DataFrame) -> list[str]:
    """One for encoders that have seen val or test patients, and one for those of whom nobody knows it."""
    said = {
        "TRANSDUCTIVE: the encoders of {} have seen val or test patients ({})": runs["transductive"],
        "EXPOSURE UNKNOWN: nobody knows whether the imported weights behind {} have seen val or test patients "
        "({})": runs["exposure"] == "unknown",
    }
    return [
        text.format(plural(int(mark.sum()), "run"), ", ".join(sorted(set(runs.loc[mark, "arm"]))))
        for text, mark in said.items()
        if mark.any()
    ]
