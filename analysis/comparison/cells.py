"""Which runs are compared: one per pipeline, budget and seed, all with the same settings, or a refusal."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import pandas as pd

from analysis.comparison import arms as comparison_arms
from analysis.comparison import sameness
from analysis.comparison.arms import Arm
from analysis.comparison.missing import Missing, missing
from analysis.comparison.sameness import HIDDEN, KEY, whole
from sslseg.config import names, plugins
from sslseg.config.names import CFG, SslsegError
from sslseg.config.texts import some, to_text
from sslseg.plans import pipelines

DONORS = {pipelines.PHANTOM}  # data that no fine-tuning is compared on while there are others
TAKERS = (names.IMPORT, names.PRETRAIN, names.FINETUNE)  # stages that make an encoder out of an upstream one
MADE = "-e sweep makes fine-tunings, MLFLOW_TRACKING_URI names another store"


@dataclass(frozen=True)
class Study:
    """The runs that figures and decisions are made from."""

    runs: pd.DataFrame  # compared fine-tunings: columns of history.runs and `arm`; budget, seed are int
    dataset: str
    unit: str  # what a budget counts: slice | patient
    arms: tuple[Arm, ...]
    by_epoch: pd.DataFrame = field(default_factory=pd.DataFrame)  # from encoders kept by epoch, for Fig. 6
    # every other FINISHED run, indexed by run_id: where the encoders come from
    others: pd.DataFrame = field(default_factory=pd.DataFrame)
    missing: tuple[Missing, ...] = ()
    mixed: tuple[str, ...] = ()  # what differs between the runs, in sentences; () = nothing
    superseded: int = 0  # older runs of a cell that has a newer one
    query: Mapping[str, object] = field(default_factory=dict)
    uri: str | None = None  # of the store that artifacts are in
    evaluations: pd.DataFrame = field(default_factory=pd.DataFrame)  # of `runs`, on test; see `evaluations`
    probes: pd.DataFrame = field(default_factory=pd.DataFrame)  # of the encoders of `runs`; see `probes`
    marks: Mapping[str, str] = field(default_factory=dict)  # arm -> the search whose settings its runs have
    tuned: Study | None = None  # the same cells at found settings, where there are such runs

    @property
    def budgets(self) -> tuple[int, ...]:
        """Budgets that any run has, ascending."""
        return tuple(sorted(set(self.runs["budget"])))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that any run has, ascending."""
        return tuple(sorted(set(self.runs["seed"])))

    def of(self, arm: Arm | str, budget: int | None = None) -> pd.DataFrame:
        """Runs of one arm, or of that of a label, by seed; at one budget if given."""
        rows = self._of.get(arm if isinstance(arm, str) else arm.label, self.runs[:0])
        return rows if budget is None else rows[rows["budget"] == budget]

    @cached_property
    def _of(self) -> dict[object, pd.DataFrame]:
        """Label -> its runs."""
        return dict(list(self.runs.groupby("arm")))

    @cached_property
    def encoders(self) -> dict[str, dict[int, str]]:
        """Label -> seed -> sha256 of the weights that its runs start from; nothing of random weights.

        Imports of one file on two machines are one encoder. Of a cross-validation, whose folds have an encoder each,
        the first fold is looked at.
        """
        runs = self.runs[self.runs["fold"] == self.runs.groupby("arm")["fold"].transform("min")]
        runs = runs[~runs["upstream_sha256"].isin(["", names.SCRATCH])]
        found: dict[str, dict[int, str]] = {arm.label: {} for arm in self.arms}
        for label, seed, sha in zip(runs["arm"], runs["seed"], runs["upstream_sha256"], strict=True):
            found[label][int(seed)] = sha
        return found

    @property
    def scored(self) -> pd.DataFrame:
        """Runs that have a test score."""
        return self.runs[self.runs[names.TEST_IOU].notna()] if names.TEST_IOU in self.runs else self.runs[:0]

    def shared(self, knob: str) -> str:
        """What all runs have for a knob, as text; '' where they differ or do not tell."""
        column = f"{CFG}{knob}"
        values = {to_text(whole(v)) for v in self.runs[column].dropna()} if column in self.runs else set()
        return values.pop() if len(values) == 1 else ""

    def nearest(self, budget: int) -> int:
        """The budget that was run which is nearest to another one, in the logarithm."""
        return min(self.budgets, key=lambda n: abs(math.log(n / budget)))

    @property
    def place(self) -> dict[str, str]:
        """Dataset and its folder, for commands; the folder of a study that was packed for others is DATA_ROOT."""
        folder = self.shared("data_root")
        return {"dataset": self.dataset, "data_root": "DATA_ROOT" if folder.startswith(HIDDEN) else folder}

    @property
    def called(self) -> str:
        """What the data are called, see `plugins.called`."""
        return plugins.called(self.dataset, self.shared("data_root"))

    def patients(self, budget: int) -> float:
        """Median number of patients that the slices of a budget come from; NaN when not logged."""
        return float(pd.to_numeric(self.runs.loc[self.runs["budget"] == budget, "patients"]).median())


def study(
    runs: pd.DataFrame,
    dataset: str = "",
    *,
    data_root: str = "",
    allow_mixed: bool = False,
    failed: Sequence[Mapping[str, object]] = (),
    query: Mapping[str, object] | None = None,
    uri: str | None = None,
    scored: pd.DataFrame | None = None,
) -> Study:
    """Choose the runs that are compared.

    Args:
        runs: `history.runs`, with the runs that encoders come from.
        scored: where evaluations of these runs are looked for; None = in `runs`.
        dataset: downstream dataset; '' = the only one there is.
        data_root: the folder that its data were read from; '' = any.
        failed: rows of a sweep's table without a run.

    Raises:
        SslsegError: nothing to compare, several datasets, or runs that cannot be compared.
    """
    every, scored = _downstream(runs, dataset, data_root), runs if scored is None else scored
    every = every.assign(arm=every["label"], mark=sameness.marks(every, runs), fold=sameness.folds_of(every))
    every = every.astype({"budget": int, "seed": int})
    usual, found = every[every["mark"] == ""], every[every["mark"] != ""]
    # of several searches of a pipeline the runs of the last one, by its newest run
    found = found[found["mark"] == found.groupby("arm")["mark"].transform("last")]
    tuned = usual if len(usual) else found  # found settings alone are compared as they are
    main, beside = tuned[_last_encoder(tuned)], found[_last_encoder(found)]
    mixed = sameness.differences(main, runs) if len(usual) else sameness.searched_differences(main, runs)
    sameness.refuse(mixed, allow_mixed, main, runs)
    compared = _newest(main, mixed)
    if len(usual) and len(beside):
        searched = sameness.differences(pd.concat([main, beside]), runs, sameness.FREE | sameness.SEARCHED)
        mixed = [*dict.fromkeys([*searched, *sameness.searched_differences(beside, runs)])]
        sameness.refuse(mixed, allow_mixed, beside, runs)
        compared = replace(compared, tuned=_newest(beside, mixed))
    kept = tuned[tuned["encoder_epoch"].notna()].drop_duplicates([*KEY, "encoder_epoch"], keep="last")
    return replace(
        compared,
        by_epoch=kept.sort_values([*KEY, "encoder_epoch"]).reset_index(drop=True),
        others=runs[~runs["run_id"].isin(every["run_id"])].set_index("run_id", drop=False),
        missing=missing(compared.runs, [arm.label for arm in compared.arms], failed, compared.dataset),
        query=dict(query or {}),
        uri=uri,
        evaluations=evaluations(compared.runs, scored),
        probes=probes(compared.runs, scored),
    )


def _newest(tuned: pd.DataFrame, mixed: Sequence[str]) -> Study:
    """The newest run of each cell; an infinite score is no number, as NaN is none."""
    newest = tuned.drop_duplicates(KEY, keep="last").sort_values(KEY).reset_index(drop=True)
    scores = {c: newest[c].replace([math.inf, -math.inf], math.nan) for c in newest if c.startswith("test/")}
    return Study(
        newest.assign(**scores),
        dataset=newest["dataset"].iloc[0],
        unit=newest["unit"].iloc[0],
        arms=comparison_arms.arms(zip(newest["pipeline"], newest["label"], strict=True)),
        by_epoch=newest[:0],
        mixed=tuple(mixed),
        superseded=len(tuned) - len(newest),
        marks={arm: mark for arm, mark in zip(newest["arm"], newest["mark"], strict=True) if mark},
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


def probes(tuned: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """The newest probe, on the same data, of each encoder that fine-tunings started from: rows of `runs`."""
    same = (runs["stage"] == names.PROBE) & runs["data_digest"].isin(tuned["data_digest"])
    found = runs[same & runs["upstream_sha256"].isin(tuned["upstream_sha256"])]
    return found.drop_duplicates("upstream_sha256", keep="last").reset_index(drop=True)


def _downstream(runs: pd.DataFrame, dataset: str, data_root: str) -> pd.DataFrame:
    """Fine-tunings on the downstream dataset that no other run took its encoder from."""
    takers = runs.loc[runs["stage"].isin(TAKERS), "upstream_run_id"]
    tuned = runs[(runs["stage"] == names.FINETUNE) & ~runs["run_id"].isin(set(takers))]
    there = sorted(set(tuned["dataset"]))
    if not dataset and len(there) > 1:  # donors whose pipeline has not been run yet
        there = sorted(set(there) - DONORS) or there
    if dataset and dataset not in there:
        raise SslsegError(
            f"dataset: no FINISHED fine-tuning on {dataset!r}; there is {', '.join(there) or f'none; {MADE}'}"
        )
    if not there:
        raise SslsegError(f"there is nothing to compare: no FINISHED fine-tuning in what was read; {MADE}")
    if len(there) > 1 and not dataset:
        raise SslsegError(f"dataset: there are fine-tunings on {', '.join(there)}; say which one")
    tuned = tuned[tuned["dataset"] == (dataset or there[0])]
    roots = tuned.get(f"{CFG}data_root", pd.Series("", tuned.index)).fillna("")
    found = tuned[[lies_in(root, data_root) for root in roots]]
    if found.empty:
        raise SslsegError(
            f"data_root: no FINISHED fine-tuning on {data_root!r}; there is {some(sorted(set(roots)))}"
        )
    return found


def lies_in(root: str, data_root: str) -> bool:
    """Whether data that were read from `root` are those of a folder; '' = of any."""
    return not data_root or os.path.abspath(root) == os.path.abspath(data_root)


def _last_encoder(tuned: pd.DataFrame) -> pd.Series:
    """Of encoders kept by epoch, the figures but Fig. 6 compare the last one alone."""
    epochs = pd.to_numeric(tuned["encoder_epoch"]).fillna(float("inf"))
    return epochs == epochs.groupby(tuned["arm"]).transform("max")
