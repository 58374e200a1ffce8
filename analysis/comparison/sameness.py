"""What runs that are compared must have in common, and what those at settings that a search has found may vary."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set

import pandas as pd

from sslseg.config import flags, names, params
from sslseg.config.names import CFG, SslsegError
from sslseg.config.params import FOLD
from sslseg.config.texts import some
from sslseg.plans import pipelines, searchspace

# knobs in which compared runs may differ: what is compared, and names of what is compared by value
FREE = {"encoder", "encoder_epoch", "encoder_role", "architecture", "budget", "seed", "preset", "data_root",
        "probe", "on_bad_file", "tuned"}  # fmt: skip
_KNOBS = flags.knobs(params.Finetune)
# what the variants of a pipeline set: arms of other variants may differ in it, those of the same may not
OF_VARIANTS = {name for knobs in pipelines.VARIANTS.values() for name in knobs} | {
    name for name, (_, knob, _) in _KNOBS.items() if knob.by == "augment"
}
SPLIT = f"{CFG}split"
MARK = f"{CFG}tuned"  # of a run whose settings a search has found: study:trials
# what a search may vary: at tuned settings pipelines may differ in it, runs of one pipeline may not
SEARCHED = set(flags.knobs(params.Finetune)) - searchspace.SETTLED
MOST_HOPS = 8  # stages before a fine-tuning that a mark is looked for in
SPECIALIST_TOLERANCE = 0.05  # of the steps of the last self-supervised stage


def refuse(mixed: Sequence[str], allow_mixed: bool) -> None:
    """Raises SslsegError when runs differ in what matters, unless that was allowed."""
    if mixed and not allow_mixed:
        raise SslsegError(
            "these runs cannot be compared: " + "; ".join(mixed) + ". Choose by `sweep=<run ID>` or "
            "`experiment=<name>`, or draw them together with allow_mixed=true, which the figures then say"
        )


def marks(tuned: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """The searches behind the settings of each fine-tuning and of the stages its encoder comes from; '' = none."""
    own = runs[MARK].map(_mark) if MARK in runs else [""] * len(runs)
    rows = {i: (up, mark) for i, up, mark in zip(runs["run_id"], runs["upstream_run_id"], own, strict=True)}
    found = []
    for run_id in tuned["run_id"]:
        texts: dict[str, None] = {}
        for _ in range(MOST_HOPS):
            run_id, mark = rows.get(run_id, ("", ""))
            texts |= {mark: None} if mark else {}
        found.append("+".join(texts))
    return found


def _mark(value: object) -> str:
    """Runs older than the knob have none."""
    return value if isinstance(value, str) else ""


def latest(found: pd.DataFrame) -> pd.DataFrame:
    """Of several searches of a pipeline the runs of the last one, by its newest run."""
    return found[found["mark"] == found.groupby("arm")["mark"].transform("last")]


def trials_of(mark: str) -> str:
    """Trials of the searches of a mark: `20`; of several, `20+10`."""
    return "+".join(part.rpartition(":")[2] for part in mark.split("+"))


def differences(tuned: pd.DataFrame, runs: pd.DataFrame, free: Set[str] = FREE) -> list[str]:
    """What the compared runs do not have in common but for `free` knobs, one sentence each."""
    columns = {"data_digest": "data"} | {
        CFG + name: name for name, (_, knob, _) in _KNOBS.items() if not knob.runtime and name not in free
    }
    compared = _as_of_today(tuned)
    compared = compared.assign(**{SPLIT: compared[SPLIT].map(division)}) if SPLIT in compared else compared
    all_variants = compared["pipeline"].map(lambda text: "+".join(pipelines.split(text).variants))
    handed = compared["pipeline"].map(
        lambda text: pipelines.DECODER if pipelines.DECODER in text.split("+") else ""
    )
    groups = dict.fromkeys(OF_VARIANTS, all_variants) | {"decoder_from": handed}
    found = []
    for column, name in columns.items():
        if column in compared:
            parts = compared.groupby(groups[name]) if name in groups else [("", compared)]
            found += [_difference(part[column], name, variants) for variants, part in parts]
    subsets = tuned.groupby(["budget", "seed", "fold"])["subset_sha256"].nunique()
    if (several := subsets[subsets > 1]).size:
        budget, seed, _ = several.index[0]
        found.append(
            f"pipelines saw different subsets in {several.size} cells, the first is n={budget} seed={seed}"
        )
    return [*filter(None, found), *_specialists(tuned, runs)]


def _difference(values: pd.Series, name: str, variants: str) -> str:
    """In a sentence; '' where there is none."""
    if len(set(values.map(flags.to_text))) == 1:
        return ""
    return f"{f'those with {variants}' if variants else 'they'} differ in {name}: {_counts(values)}"


def _as_of_today(runs: pd.DataFrame) -> pd.DataFrame:
    """Runs that are older than a knob, beside newer ones, are as its default says."""
    filled = {}
    for name, (field, knob, _) in _KNOBS.items():
        usual = (knob.presets or {}).get("none", field.default)
        if (column := CFG + name) in runs and usual is not None:
            filled[column] = [usual if v is None or v != v else v for v in runs[column]]
    return runs.assign(**filled)


def searched_differences(found: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """What keeps runs at found settings from being compared: pipelines may differ in what was searched."""
    told = differences(found, runs, FREE | SEARCHED)
    for arm, own in found.groupby("arm"):
        told += [f"{arm} at tuned settings: {sentence}" for sentence in differences(own, runs, FREE)]
    trials = found.drop_duplicates("arm").set_index("arm")["mark"].map(trials_of)
    if trials.nunique() > 1:
        shown = ", ".join(f"{arm} with {n}" for arm, n in trials.sort_index().items())
        told.append(f"pipelines were tuned with unequal numbers of trials: {shown}")
    return told


def _counts(values: pd.Series) -> str:
    counts = values.map(flags.to_text).value_counts().sort_index()
    shown = [f"{text[:12] or '(none)'} in {n} runs" for text, n in counts.items()]
    return some(shown)


def _specialists(tuned: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """Self-supervised stages on the target data must have equal steps, within 5 %."""
    by_id = runs.set_index("run_id")
    used = by_id.index.intersection(tuned["upstream_run_id"].unique())
    stages = by_id.loc[used]
    stages = stages[(stages["stage"] == names.PRETRAIN) & (stages["dataset"] == tuned["dataset"].iloc[0])]
    if f"{CFG}steps" not in stages or stages.empty:
        return []
    steps = pd.to_numeric(stages[f"{CFG}steps"])
    if steps.max() <= steps.min() * (1 + SPECIALIST_TOLERANCE):
        return []
    shown = ", ".join(f"{n:g} (run {run_id})" for run_id, n in steps.sort_values().items())
    return [f"their self-supervised stages on the target data differ in steps: {shown}"]


# ---------------------------------------------------------------- folds of a cross-validation
def folds_of(runs: pd.DataFrame) -> list[str]:
    """The fold of each run, as it was asked for (fold:2/5); '' of every other division."""
    splits = runs[SPLIT] if SPLIT in runs else [""] * len(runs)
    return [text if isinstance(text, str) and re.fullmatch(FOLD, text) else "" for text in splits]


def division(split: object) -> object:
    """What runs of one division have in common: all folds of a cross-validation are one."""
    found = re.fullmatch(FOLD, split) if isinstance(split, str) else None
    return f"folds of {found[2]}" if found else split


def siblings(fold: str) -> tuple[str, ...]:
    """All folds of the cross-validation that one is of; of no fold, itself."""
    found = re.fullmatch(FOLD, fold)
    return tuple(f"fold:{k}/{found[2]}" for k in range(1, int(found[2]) + 1)) if found else (fold,)
