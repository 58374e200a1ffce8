"""What would settle more, and the sweep that runs it."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pandas as pd

from analysis.comparison import families
from analysis.comparison.cells import Study
from analysis.comparison.decisions import Choice
from analysis.comparison.headline import capital, rivalry, spoken
from analysis.comparison.sameness import whole
from analysis.statistics.design import FACTOR, SMALLEST
from analysis.statistics.records import MIN_SEEDS, MIN_SIZES
from analysis.statistics.verdicts.records import Verdict
from analysis.statistics.words import plural
from sslseg.config import flags, names, params
from sslseg.config.commands import command
from sslseg.config.names import CFG, TEST_IOU
from sslseg.config.texts import to_text

PRETRAINING = "byol@target"  # what random weights alone are put against: every dataset has its data
TOO_MANY = 17  # further seeds, to the look at 20: beyond it no command is proposed


def decides(study: Study, choice: Choice, budget: int) -> tuple[str, str]:
    """What would settle whether the best pipeline is better than the next one, and the command for it."""
    lead, pair, rival = choice.lead, (choice.pipeline, choice.runner_up), spoken(choice.runner_up)
    runs = study.runs[study.runs["arm"].isin(pair)]
    if not isinstance(lead, Verdict):
        count = max(MIN_SEEDS, runs["seed"].nunique())
        told = f"{MIN_SEEDS} seeds of both with {plural(budget, study.unit)} would say more, against {rival}:"
        return told, again(study, seeds(runs, count), (budget,), pair)
    if lead.call == "equivalent":
        return capital(rivalry(choice.runner_up, lead)), ""
    here = runs[runs["budget"] == budget]
    if lacks := lead.unproven:
        told = f"The difference to {rival} lies within {lead.margin:g} IoU, but they are not called equivalent: {lacks.why}"
        if lead.unit != "seed" or not lacks.runs:
            return told, ""
        sizes = [n for n in study.budgets if set(runs.loc[runs["budget"] == n, "arm"]) == set(pair)]
        return f"{told}:", again(study, seeds(runs, -(-lacks.runs // len(sizes))), sizes, pair)
    more = lead.more.text if lead.more else "more seeds would decide"
    least = lead.more.least if lead.more else MIN_SEEDS
    told = f"{capital(more)}, against {rival}"
    if least is None or least > TOO_MANY:
        return f"{told}: the runs scatter more than they differ.", ""
    total = lead.seeds + least
    if lead.unit != "seed":
        numbers, count = ",".join(map(str, range(total))), max(total, here["seed"].nunique())
        return f"{told}:", again(study, range(count), (budget,), pair, pretrain_seeds=numbers)
    return f"{told}:", again(study, seeds(here, total), (budget,), pair)


def seeds(runs: pd.DataFrame, count: int) -> list[int]:
    """So many seeds, those that are there first; none of finished runs without a score, which no sweep runs again."""
    gone = set(runs["seed"] if TEST_IOU not in runs else runs.loc[runs[TEST_IOU].isna(), "seed"])
    there = set(runs["seed"])
    return [*sorted(there - gone), *range(max(there) + 1, max(there) + 1 + count)][:count]


def with_more(study: Study) -> tuple[int, ...]:
    """Sizes with as many put into the widest gaps as are wanted in all; () if none fits between them.

    Beside a single size come a smaller or larger one and, as 0, all of train: how many those are the runs do not say.
    """
    sizes, everything = list(study.budgets), tuple[int, ...]()
    if len(sizes) == 1:
        (size,) = sizes
        everything = () if _asked(study)[size] == 0 else (0,)
        few = size <= 2 * SMALLEST and everything
        sizes = sorted({size, round(FACTOR * size) if few else min(SMALLEST, size)})
    while 1 < len(sizes) < MIN_SIZES - len(everything):
        low, high = max(pairwise(sizes), key=lambda ends: ends[1] / ends[0])
        between = round((low * high) ** 0.5)
        if between in sizes:
            break
        sizes = sorted([*sizes, between])
    return (*sizes, *everything) if set(sizes) > set(study.budgets) else ()


def again(
    study: Study, numbers: Iterable[int], sizes: Sequence[int] = (), only: Sequence[str] = (), **more: str
) -> str:
    """The sweep that these runs are of, as a command, with other seeds or sizes: what is there is not run again.

    Unless it is for some pipelines `only`, it has what they lack to be put against.
    """
    preset, unit = study.shared("preset"), study.shared("budget_unit").replace("slice", "")
    asked = _asked(study)
    budgets = [asked.get(n, n) for n in sizes or study.budgets]
    wanted = [arm.pipeline for arm in study.arms if not only or arm.label in only]
    if wanted == [names.SCRATCH]:
        wanted += [PRETRAINING]
    elif not only and (len(wanted) < 2 or not families.references(study)):
        wanted = [names.SCRATCH, *wanted]
    lists = {"pipelines": wanted, "budgets": budgets, "seeds": list(numbers)}
    joined = {name: ",".join(to_text(whole(v)) for v in values) for name, values in lists.items()}
    unusual = _other_than_preset(study, preset)
    return command(
        names.SWEEP, **study.place, budget_unit=unit, preset=preset, **joined, finetune=unusual, **more
    )


def _asked(study: Study) -> pd.Series:
    """Size -> what its runs asked for; all of train is asked for as 0 or as nothing."""
    runs, knob = study.runs, f"{CFG}budget"
    asked = runs.groupby("budget")[knob].first() if knob in runs else pd.Series()
    return pd.to_numeric(asked.reindex(study.budgets)).fillna(0)


def _other_than_preset(study: Study, preset: str) -> str:
    """Knobs that all runs share and their preset has otherwise: `steps=400,lr=0.01`."""
    table = flags.knobs(params.Finetune)
    governed = {n: k.presets[preset] for n, (_, k, _) in table.items() if k.presets and preset in k.presets}
    said = {name: study.shared(name) for name in governed}
    return ",".join(
        f"{name}={said[name]}"
        for name, usual in governed.items()
        if said[name] not in ("", to_text(whole(usual))) and "," not in said[name]
    )
