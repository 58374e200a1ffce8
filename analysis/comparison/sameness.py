"""What runs that are compared must have in common, and what those at settings that a search has found may vary."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import zip_longest

import pandas as pd

from analysis.statistics.words import plural
from sslseg.config import flags, names, params
from sslseg.config.names import CFG, SslsegError
from sslseg.config.params import FOLD
from sslseg.config.texts import some
from sslseg.plans import pipelines, searchspace
from sslseg.tracking.history import sweeps

# knobs in which compared runs may differ: what is compared, and names of what is compared by value
FREE = {"encoder", "encoder_epoch", "encoder_role", "architecture", "budget", "seed", "preset", "data_root",
        "probe", "on_bad_file", "tuned"}  # fmt: skip
KEY = ["arm", "budget", "seed", "fold"]  # of a cell, of whose runs the newest is compared
_KNOBS = flags.knobs(params.Finetune)
# in which the pretrainings of one pipeline may differ: what is kept, where they run, and the slices of a fold
REPEATED = FREE | {"save_epochs", "save_steps", "slices", "patients", "epochs"} | {
    name for name, (_, knob, _) in (_KNOBS | flags.knobs(params.Pretrain)).items() if knob.runtime
}  # fmt: skip
# what the variants of a pipeline set: arms of other variants may differ in it, those of the same may not
OF_VARIANTS = {name for knobs in pipelines.VARIANTS.values() for name in knobs} | {
    name for name, (_, knob, _) in _KNOBS.items() if knob.by == "augment"
}
SPLIT = f"{CFG}split"
MARK = f"{CFG}tuned"  # of a run whose settings a search has found: study:trials
# what a search may vary: at tuned settings pipelines may differ in it, runs of one pipeline may not
SEARCHED = set(flags.knobs(params.Finetune)) - searchspace.SETTLED
MOST_HOPS = 8  # stages before a fine-tuning that a mark is looked for in
LONGEST = 50  # stages that an encoder may have gone through
HIDDEN = "…"  # begins what was left out of a study that was packed for others
SPECIALIST_TOLERANCE = 0.05  # of the steps of the last self-supervised stage


def refuse(mixed: Sequence[str], allow_mixed: bool, runs: pd.DataFrame, every: pd.DataFrame) -> None:
    """Raises SslsegError when `runs` differ in what matters, unless that was allowed; it names their sweeps in `every`."""
    if mixed and not allow_mixed:
        grids = set(every.loc[every["stage"].isin(sweeps.STAGES), "run_id"])
        counts = Counter(parent for parent in runs["parent"] if parent in grids)
        known = f": {some([f'{sweep} has {n} of them' for sweep, n in counts.items()])}" if counts else ""
        raise SslsegError(
            f"these runs cannot be compared: {'; '.join(mixed)}. Choose by `sweep=<run ID>`{known}, by "
            "`experiment=<name>` or by `data_root=<folder>`, or draw them together with "
            "allow_mixed=true, which the figures then say"
        )


def whole(value: object) -> object:
    """A whole number that pandas holds as a float."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def marks(tuned: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """The searches behind the settings of each fine-tuning and of the stages its encoder comes from; '' = none."""
    ways = zip(runs["run_id"], runs["upstream_run_id"], _texts(runs, MARK), strict=True)
    rows = {run_id: (upstream, mark) for run_id, upstream, mark in ways}
    found = []
    for run_id in tuned["run_id"]:
        texts: dict[str, None] = {}
        for _ in range(MOST_HOPS):
            run_id, mark = rows.get(run_id, ("", ""))
            texts |= {mark: None} if mark else {}
        found.append("+".join(texts))
    return found


def _texts(runs: pd.DataFrame, column: str) -> list[str]:
    """Of a knob; '' of runs that are older than it."""
    return [value if isinstance(value, str) else "" for value in runs.get(column, [None] * len(runs))]


def trials_of(mark: str) -> str:
    """Trials of the searches of a mark: `20`; of several, `20+10`."""
    return "+".join(part.rpartition(":")[2] for part in mark.split("+"))


def differences(tuned: pd.DataFrame, runs: pd.DataFrame, free: Set[str] = FREE) -> list[str]:
    """What the compared runs do not have in common but for `free` knobs, one sentence each."""
    columns = {
        CFG + name: name for name, (_, knob, _) in _KNOBS.items() if not knob.runtime and name not in free
    }
    compared = _as_of_today(tuned)
    all_variants = compared["pipeline"].map(lambda text: "+".join(pipelines.split(text).variants))
    handed = compared["pipeline"].map(lambda text: pipelines.DECODER * (pipelines.DECODER in text.split("+")))
    groups = dict.fromkeys(OF_VARIANTS, all_variants) | {"decoder_from": handed}
    found = [_difference(tuned["data_digest"], "data", shown=_folders(tuned))]
    for column, name in columns.items():
        if column in compared:
            parts = compared.groupby(groups[name]) if name in groups else [("", compared)]
            found += [
                _difference(part[column], name, f"those with {variants}" if variants else "they")
                for variants, part in parts
            ]
    subsets = tuned.groupby(["budget", "seed", "fold"])["subset_sha256"].nunique()
    if (several := subsets[subsets > 1]).size:
        budget, seed, _ = several.index[0]
        found.append(
            f"pipelines saw different subsets in {plural(several.size, 'cell')}, the first is n={budget} seed={seed}"
        )
    newest = tuned.drop_duplicates(KEY, keep="last")
    by_id = runs.set_index("run_id", drop=False)
    found += [sentence for arm, own in newest.groupby("arm") for sentence in _repetitions(arm, own, by_id)]
    return [*filter(None, found), *_specialists(tuned, by_id)]


def _difference(
    values: Iterable[object], name: str, whose: str = "they", shown: Mapping[str, str] | None = None
) -> str:
    """In a sentence; '' where there is none. `shown`: what a value is called, where it is not clear by itself."""
    counts = Counter(map(flags.to_text, values))
    if len(counts) < 2:
        return ""
    texts = [
        f"{(shown or {}).get(text, text) or '(none)'} in {plural(n, 'run')}"
        for text, n in sorted(counts.items())
    ]
    return f"{whose} differ in {name}: {some(texts)}"


def _folders(runs: pd.DataFrame) -> dict[str, str]:
    """Digest of data -> its first digits, and the folder that they were read from."""
    read = zip(runs["data_digest"], _texts(runs, f"{CFG}data_root"), strict=True)
    return {digest: f"{digest[:12]} ({root})" if root else digest[:12] for digest, root in read}


def chain(run_id: str, runs: pd.DataFrame) -> Iterator[pd.Series]:
    """Runs that an encoder went through, the last first; ends where a run is not in `runs`, indexed by run_id."""
    for _ in range(LONGEST):
        if run_id in ("", names.SCRATCH) or run_id not in runs.index:
            return
        row = runs.loc[run_id]
        yield row
        run_id = row["upstream_run_id"]


def _repetitions(arm: str, own: pd.DataFrame, by_id: pd.DataFrame) -> list[str]:
    """What the runs of one pipeline do not have in common in their network and in how it was pretrained.

    They count as repetitions of one thing, and so do its pretrainings, which seed and fold alone may tell apart.
    """
    found = [_differing(own, f"{CFG}architecture", "architecture", f"runs of {arm}")]
    starts = own.drop_duplicates("upstream_run_id")
    chains = [[row, *chain(row["upstream_run_id"], by_id)] for _, row in starts.iterrows()]
    for hops in zip_longest(*chains):
        there = pd.DataFrame([hop for hop in hops if hop is not None]).drop_duplicates("run_id")
        imported = there[there["upstream_run_id"].map(by_id["stage"]) == names.IMPORT]
        sources = imported["upstream_run_id"].map(by_id.get(f"{CFG}source", pd.Series(dtype=str)))
        files = zip(imported["upstream_sha256"], sources, strict=True)
        shown = {sha: f"{source} ({sha[:12]})" for sha, source in files}
        what = "the weights that were imported"
        found.append(_differing(imported, "upstream_sha256", what, f"runs of {arm}", shown))
        trained = _as_of_today(there[there["stage"] == names.PRETRAIN], flags.knobs(params.Pretrain))
        whose = f"the pretrainings of {arm}"
        found.append(_differing(trained, "data_digest", "data", whose, _folders(trained)))
        found += [
            _differing(trained, column, column.removeprefix(CFG), whose)
            for column in trained
            if column.startswith(CFG) and column.removeprefix(CFG) not in REPEATED
        ]
    return [sentence for sentence in found if sentence]


def _differing(
    rows: pd.DataFrame, column: str, name: str, whose: str, shown: Mapping[str, str] | None = None
) -> str:
    """`_difference` between those that tell: older runs, and those of a public archive, may not."""
    values = rows[column].dropna() if column in rows else ()
    told = [value for value in values if not str(value).startswith(HIDDEN)]
    return _difference(told, name, whose, shown)


def _as_of_today(runs: pd.DataFrame, knobs: Mapping = _KNOBS) -> pd.DataFrame:
    """Runs that are older than a knob, beside newer ones, are as its default says; folds are as their division."""
    filled = {}
    for name, (field, knob, hint) in knobs.items():
        usual = (knob.presets or {}).get("none", field.default)
        if (column := CFG + name) in runs:
            values = (usual if v is None or v != v else v for v in runs[column])
            filled[column] = [whole(v) if hint is int else division(v) for v in values]
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


def _specialists(tuned: pd.DataFrame, by_id: pd.DataFrame) -> list[str]:
    """Self-supervised stages on the target data must have equal steps, within 5 %."""
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
    return [text if re.fullmatch(FOLD, text) else "" for text in _texts(runs, SPLIT)]


def division(split: object) -> object:
    """What runs of one division have in common: all folds of a cross-validation are one."""
    found = re.fullmatch(FOLD, split) if isinstance(split, str) else None
    return f"folds of {found[2]}" if found else split


def siblings(fold: str) -> tuple[str, ...]:
    """All folds of the cross-validation that one is of; of no fold, itself."""
    found = re.fullmatch(FOLD, fold)
    return tuple(f"fold:{k}/{found[2]}" for k in range(1, int(found[2]) + 1)) if found else (fold,)
