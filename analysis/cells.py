"""Which runs are compared: one per pipeline, budget and seed, all under the same law, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from analysis import style
from analysis.style import Arm
from sslseg import flags, names, params, pipelines
from sslseg.names import CFG, SslsegError

# knobs in which compared runs may differ: what is compared, and names of what is compared by value
FREE = {"encoder", "encoder_epoch", "encoder_role", "architecture", "budget", "seed", "preset", "data_root",
        "probe", "on_bad_file"}  # fmt: skip
DONORS = {hop.data for row in pipelines.ROWS.values() for hop in row.hops if hop.stage == names.FINETUNE}
TAKERS = (names.IMPORT, names.PRETRAIN, names.FINETUNE)  # stages that make an encoder out of an upstream one
SPECIALIST_TOLERANCE = 0.05  # of the steps of the last self-supervised stage
WHY = 200  # characters of a failed cell's reason; the whole of it is a tag of its run
KEY = ["arm", "budget", "seed"]


@dataclass(frozen=True)
class Missing:
    """A cell of the grid without a FINISHED run."""

    cell: str  # as a sweep names it: byol-target/n=30/seed=1
    why: str = ""

    def __str__(self) -> str:
        return f"{self.cell}: {self.why}" if self.why else self.cell


@dataclass(frozen=True)
class Study:
    """The runs that figures and decisions are made from."""

    runs: pd.DataFrame  # compared fine-tunings: columns of history.runs and `arm`; budget, seed are int
    by_epoch: pd.DataFrame  # those from encoders kept by epoch, for Fig. 6
    others: pd.DataFrame  # every other FINISHED run, indexed by run_id: where the encoders come from
    dataset: str
    unit: str  # what a budget counts: slice | patient
    arms: tuple[Arm, ...]
    missing: tuple[Missing, ...]
    mixed: tuple[str, ...]  # what differs between the runs, in sentences; () = nothing
    superseded: int  # older runs of a cell that has a newer one
    query: Mapping[str, Any] = field(default_factory=dict)
    uri: str | None = None  # of the store that artifacts are in
    evaluations: pd.DataFrame = field(default_factory=pd.DataFrame)  # of `runs`, on test; see `evaluations`

    @property
    def budgets(self) -> tuple[int, ...]:
        return tuple(sorted(set(self.runs["budget"])))

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(sorted(set(self.runs["seed"])))

    def of(self, arm: Arm, budget: int | None = None) -> pd.DataFrame:
        """Runs of one arm, by seed; at one budget if given."""
        rows = self.runs[self.runs["arm"] == arm.label]
        return rows if budget is None else rows[rows["budget"] == budget]

    def patients(self, budget: int) -> float:
        """Median number of patients that the slices of a budget come from; NaN when not logged."""
        return float(pd.to_numeric(self.runs.loc[self.runs["budget"] == budget, "patients"]).median())


def study(
    runs: pd.DataFrame,
    dataset: str = "",
    *,
    allow_mixed: bool = False,
    failed: Sequence[Mapping[str, Any]] = (),
    query: Mapping[str, Any] | None = None,
    uri: str | None = None,
    scored: pd.DataFrame | None = None,
) -> Study:
    """Choose the runs that are compared.

    Args:
        runs: `history.runs`, with the runs that encoders come from.
        scored: where evaluations of these runs are looked for; None = in `runs`.
        dataset: downstream dataset; '' = the only one there is.
        failed: rows of a sweep's table without a run.

    Raises:
        SslsegError: nothing to compare, several datasets, or runs that cannot be compared.
    """
    tuned = _downstream(runs, dataset)
    name = tuned["dataset"].iloc[0]
    tuned = tuned.assign(arm=tuned["label"]).astype({"budget": int, "seed": int})
    main = tuned[_last_encoder(tuned)]
    mixed = tuple(differences(main, runs))
    if mixed and not allow_mixed:
        raise SslsegError(
            "these runs cannot be compared: " + "; ".join(mixed) + ". Choose by `sweep=<run ID>` or "
            "`experiment=<name>`, or draw them together with allow_mixed=true, which the figures then say"
        )
    newest = main.drop_duplicates(KEY, keep="last")
    arms = style.arms(zip(newest["pipeline"], newest["label"], strict=True))
    return Study(
        runs=newest.sort_values(KEY).reset_index(drop=True),
        by_epoch=tuned[tuned["encoder_epoch"].notna()]
        .drop_duplicates([*KEY, "encoder_epoch"], keep="last")
        .sort_values([*KEY, "encoder_epoch"])
        .reset_index(drop=True),
        others=runs[~runs["run_id"].isin(tuned["run_id"])].set_index("run_id", drop=False),
        dataset=name,
        unit=newest["unit"].iloc[0],
        arms=arms,
        missing=_missing(newest, arms, failed),
        mixed=mixed,
        superseded=len(main) - len(newest),
        query=dict(query or {}),
        uri=uri,
        evaluations=evaluations(newest, runs if scored is None else scored),
    )


def evaluations(tuned: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The newest evaluation on test of each fine-tuning by itself: no ensemble, no masks of another tool.

    Returns:
        rows of `runs` (stage evaluate), with `arm`, `pipeline`, `budget` and `seed` of what they score.
    """
    found = runs[(runs["stage"] == names.EVALUATE) & runs["upstream_run_id"].isin(tuned["run_id"])]
    if found.empty:
        return found
    alone = found[f"{CFG}model"].map(lambda models: models is not None and len(models) == 1)
    found = found[alone & (found[f"{CFG}part"] == "test")].drop_duplicates("upstream_run_id", keep="last")
    known = tuned.set_index("run_id").loc[found["upstream_run_id"]]
    columns = ("arm", "pipeline", "budget", "seed")
    return found.assign(**{c: known[c].to_numpy() for c in columns}).reset_index(drop=True)


def _downstream(runs: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Fine-tunings on the downstream dataset that no other run took its encoder from."""
    takers = runs.loc[runs["stage"].isin(TAKERS), "upstream_run_id"]
    tuned = runs[(runs["stage"] == names.FINETUNE) & ~runs["run_id"].isin(set(takers))]
    there = sorted(set(tuned["dataset"]))
    if not dataset and len(there) > 1:  # donors whose pipeline has not been run yet
        there = sorted(set(there) - DONORS) or there
    if dataset and dataset not in there:
        raise SslsegError(
            f"dataset: no FINISHED fine-tuning on {dataset!r}; there is {', '.join(there) or 'none'}"
        )
    if not there:
        raise SslsegError("there is nothing to compare: no FINISHED fine-tuning in what was read")
    if len(there) > 1 and not dataset:
        raise SslsegError(f"dataset: there are fine-tunings on {', '.join(there)}; say which one")
    return tuned[tuned["dataset"] == (dataset or there[0])]


def _last_encoder(tuned: pd.DataFrame) -> pd.Series:
    """Of encoders kept by epoch, the figures but Fig. 6 compare the last one alone."""
    epochs = pd.to_numeric(tuned["encoder_epoch"]).fillna(float("inf"))
    return epochs == epochs.groupby(tuned["arm"]).transform("max")


def differences(tuned: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """What the compared runs do not have in common, one sentence each."""
    knobs = flags.knobs(params.Finetune)
    columns = {"data_digest": "data"} | {
        CFG + name: name for name, (_, knob, _) in knobs.items() if not knob.runtime and name not in FREE
    }
    found = [
        f"they differ in {name}: {_counts(tuned[column])}"
        for column, name in columns.items()
        if column in tuned and len(set(tuned[column].map(flags.to_text))) > 1
    ]
    subsets = tuned.groupby(["budget", "seed"])["subset_sha256"].nunique()
    if (several := subsets[subsets > 1]).size:
        budget, seed = several.index[0]
        found.append(
            f"pipelines saw different subsets in {several.size} cells, the first is n={budget} seed={seed}"
        )
    return found + _specialists(tuned, runs)


def _counts(values: pd.Series) -> str:
    counts = values.map(flags.to_text).value_counts().sort_index()
    shown = [f"{text[:12] or '(none)'} in {n} runs" for text, n in counts.items()]
    return ", ".join(shown[:4]) + (" …" if len(shown) > 4 else "")


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


def _missing(
    tuned: pd.DataFrame, arms: Sequence[Arm], failed: Sequence[Mapping[str, Any]]
) -> tuple[Missing, ...]:
    """Cells of pipelines × budgets × seeds without a run, and cells that a sweep says have failed."""
    budgets, seeds = sorted(set(tuned["budget"])), sorted(set(tuned["seed"]))
    there = set(tuned[KEY].itertuples(index=False, name=None))
    rows = [arm.pipeline for arm in arms]
    gone = {
        f"{arm.pipeline if rows.count(arm.pipeline) == 1 else arm.label}/n={budget}/seed={seed}": ""
        for arm in arms
        for budget in budgets
        for seed in seeds
        if (arm.label, budget, seed) not in there
    }
    for row in failed:
        cell = str(row["cell"]).replace("/n=all/", f"/n={budgets[-1]}/")
        gone[cell] = str(row.get("error") or "").partition("\n")[0][:WHY]
    return tuple(Missing(cell, why) for cell, why in sorted(gone.items()))
