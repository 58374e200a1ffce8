"""The page's three cards: the best pipeline, the slices it saves, how sure that is; and what would make it surer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf

import pandas as pd

from analysis.comparison import families, scope
from analysis.comparison.cells import Study
from analysis.comparison.decisions import Choice, Decisions
from analysis.comparison.headline import spoken
from analysis.comparison.sameness import whole
from analysis.statistics.laws.worth import Worth
from analysis.statistics.records import MIN_SEEDS, MIN_SIZES, Refusal, plural
from analysis.statistics.verdicts.judge import Verdict
from sslseg.config import flags, names, params
from sslseg.config.commands import command
from sslseg.config.names import CFG, TEST_IOU
from sslseg.config.texts import to_text
from sslseg.plans import pipelines

TOO_MANY = 17  # further seeds, to the look at 20: beyond it no command is proposed


@dataclass(frozen=True)
class Card:
    """A question, its answer in a few words, what belongs to it, and a command; '' = none."""

    question: str
    answer: str
    lines: tuple[str, ...]
    command: str = ""
    label: str = ""  # of the pipeline whose colour it has


def cards(study: Study, found: Decisions) -> tuple[Card, Card, Card]:
    """For the reader's budget: which, how many, how sure."""
    choice = found.advice.choice
    if isinstance(choice, Refusal):
        return _so_far(study, found, choice)
    return _best(study, found, choice), _saves(study, found, choice), _sure(study, found, choice)


def _place(study: Study, found: Decisions) -> str:
    return f"{found.budget:,} annotated {study.unit}s"


def _so_far(study: Study, found: Decisions, why: Refusal) -> tuple[Card, Card, Card]:
    """Cards of a study with too few seeds, or none of this size."""
    nearest = study.nearest(found.budget)
    means = _means(study, nearest)
    label = str(means.idxmax()) if len(means) else ""
    reached = (f"mean test IoU {means.max():.2f} at {nearest:,} {study.unit}s",) if label else ()
    reason = why.reason.removeprefix("insufficient evidence: ")
    more = again(study, range(MIN_SEEDS))
    answer, against = _ahead(study, label, nearest)
    counted = f"how many {study.unit}s that saves can be told from {MIN_SEEDS} seeds of each pipeline on"
    return (
        Card(f"Best so far with {_place(study, found)}", _capital(spoken(label)) if label else "Not known", reached, "", label),
        Card(f"{_capital(study.unit)}s it saves", answer, (*against, counted), "", label),
        Card("How sure is that?", "Too little was run", (_capital(reason), "This would settle more:"), more),
    )  # fmt: skip


def _means(study: Study, budget: int) -> pd.Series:
    """Mean test IoU by pipeline."""
    runs = study.runs[study.runs["budget"] == budget]
    return runs.groupby("arm")[TEST_IOU].mean().dropna() if TEST_IOU in runs else pd.Series(dtype=float)


def _ahead(study: Study, label: str, budget: int) -> tuple[str, list[str]]:
    """What is known before slices can be counted: its mean test IoU beside that of the first reference."""
    means = _means(study, budget)
    others = [other for other in families.references(study) if other != label and other in means]
    if label not in means or not others:
        return "Not known yet", []
    answer = f"IoU {means[label]:.2f} instead of {means[others[0]]:.2f} so far"
    return answer, [f"against {spoken(others[0])}, with as many {study.unit}s"]


def _best(study: Study, found: Decisions, choice: Choice) -> Card:
    on = f" on {plural(found.tested, 'test patient')}" if found.tested else ""
    lines = [f"mean test IoU {1 - choice.error:.2f}{on}"]
    if choice.runner_up and not choice.certain:
        lines.append(f"{spoken(choice.runner_up)} may be as good")
    best = _capital(spoken(choice.pipeline))
    return Card(f"Best with {_place(study, found)}", best, tuple(lines), "", choice.pipeline)


def _saves(study: Study, found: Decisions, choice: Choice) -> Card:
    """In slices of each reference, the first one large."""
    rows = [r for r in found.worth if (r.pipeline, r.budget) == (choice.pipeline, found.budget)]
    told = [(f"against {spoken(r.reference)}", _saved(r.worth)) for r in rows]
    question = f"{_capital(study.unit)}s it saves"
    if not told:
        why = (
            "there is nothing to put it against"
            if len(study.arms) < 2
            else "it is what the others are put against"
        )
        return Card(question, "–", (why,), "", choice.pipeline)
    (against, answer), *others = told
    lines = [against, *(f"{a}: {text.lower()}" for a, text in others)]
    reasons = [r.worth.reason for r in rows if isinstance(r.worth, Refusal)]
    more = ""
    if reasons and len(study.budgets) < MIN_SIZES:
        answer, lines = _ahead(study, choice.pipeline, study.nearest(found.budget))
        needed = f"how many {study.unit}s that saves can be told from {MIN_SIZES} sizes with {MIN_SEEDS} seeds each"
        lines.append(f"{needed}, and there are {len(study.budgets)}; this runs what lacks:")
        more = again(study, study.seeds, sizes=_with_more(study.budgets))
    elif reasons:
        lines.append(reasons[0].removeprefix("insufficient evidence: "))
    return Card(question, answer, tuple(lines), more, choice.pipeline)


def _with_more(budgets: tuple[int, ...]) -> tuple[int, ...]:
    """Sizes with as many put into the widest gaps as are wanted in all."""
    sizes = list(budgets)
    while 1 < len(sizes) < MIN_SIZES:
        low, high = max(pairwise(sizes), key=lambda ends: ends[1] / ends[0])
        sizes = sorted({*sizes, round((low * high) ** 0.5)})
        if len(sizes) == len(budgets):
            break
    return tuple(sizes)


def _saved(found: Worth | Refusal) -> str:
    """As `headline.saves`, in as few words as can be."""
    if isinstance(found, Refusal):
        return "Not known yet"
    low, high = found.more.low, found.more.high
    if low == inf:
        most = found.limit - found.budget
        return f"More than {most:,}" if most > 0 else "More than were run"
    if low >= 0 and high == inf:
        return f"At least {low:,.0f}" if low > 0 else "Some"
    if low >= 0:
        return f"About {found.more.value:,.0f}" + (f", {low:,.0f} to {high:,.0f}" if low < high else "")
    return "None" if high <= 0 else "Not settled"


def _sure(study: Study, found: Decisions, choice: Choice) -> Card:
    """By the verdicts on the best one at the reader's budget; the next command is for what they leave open."""
    seeds = sorted(set(study.of(choice.pipeline, study.nearest(found.budget))["seed"]))
    answer, better, won = _called(found, choice.pipeline)
    varied = [label for label in won if scope.count(study, label) > 1]
    about = [
        scope.about(study, choice.pipeline, *varied),
        f"on {'these' if found.tested else 'the'} test patients",
    ]
    what = ", ".join(filter(None, [f"95 % confidence, {plural(len(seeds), 'seed')}", *about]))
    question = "How sure is that?"
    if choice.certain or not choice.runner_up:
        answer = "Better than every other" if choice.runner_up else "Nothing to compare with"
        alone = _learned(choice.pipeline) and scope.count(study, choice.pipeline) < 2
        several = again(study, seeds, pretrain_seeds="0,1,2") if alone else ""
        surer = "Several pretrainings would say whether it is so for others than this encoder:" if several else (
            "Other patients would say whether it is so for them.")  # fmt: skip
        return Card(question, answer, (what, surer), several)
    lead = choice.lead
    more = lead.more if isinstance(lead, Verdict) else None
    words = more.text if more else "more seeds would decide"
    least = more.least if more and more.least else MIN_SEEDS
    decides = f"{_capital(words)}, against {spoken(choice.runner_up)}"
    if more and (more.least is None or more.least > TOO_MANY):
        return Card(question, answer, (*better, what, f"{decides}: on these data they are much alike."))
    pair, size = (choice.pipeline, choice.runner_up), (study.nearest(found.budget),)
    there = sorted(set(study.runs.loc[study.runs["arm"].isin(pair), "seed"]))
    total = (lead.seeds if isinstance(lead, Verdict) else len(seeds)) + least
    if more and more.what != "seed":
        numbers = ",".join(map(str, range(total)))
        told = again(study, range(max(total, len(there))), size, pair, pretrain_seeds=numbers)
    else:
        told = again(study, [*there, *range(there[-1] + 1, there[-1] + 1 + total)][:total], size, only=pair)
    return Card(question, answer, (*better, what, f"{decides}:"), told)


def _called(found: Decisions, label: str) -> tuple[str, list[str], list[str]]:
    """What it is better than, by the primary table, in words and by name; a long list stands below."""
    primary = next((table for table in found.verdicts if table.primary), None)
    rows = [v for v in primary.rows if isinstance(v, Verdict) and label in (v.a, v.b)] if primary else []
    won = [v.b if v.a == label else v.a for v in rows if v.call == ("better" if v.a == label else "worse")]
    if not won:
        return "Not decided", [], []
    words = _listed([spoken(label) for label in won])
    if len(won) > 2:
        return f"Surely better than {len(won)} of the {len(rows)} others", [f"than {words}"], won
    return f"Surely better than {words}", [], won


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _learned(label: str) -> bool:
    """Whether a sweep can pretrain it again."""
    hops = pipelines.split(label).hops
    return bool(hops) and hops[-1].how != pipelines.SUPERVISED


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# ---------------------------------------------------------------- the same sweep, with more of it
def again(
    study: Study, seeds: Iterable[int], sizes: Sequence[int] = (), only: Sequence[str] = (), **more: str
) -> str:
    """The sweep that these runs are of, as a command, with other seeds or sizes: what is there is not run again."""
    preset, unit = study.shared("preset"), study.shared("budget_unit").replace("slice", "")
    asked = (
        study.runs.groupby("budget")[f"{CFG}budget"].first() if f"{CFG}budget" in study.runs else pd.Series()
    )
    asked = asked.reindex(study.budgets).fillna(0)  # all of train is asked for as 0 or as nothing
    budgets = [asked.get(n, n) for n in sizes or study.budgets]
    wanted = [arm.pipeline for arm in study.arms if not only or arm.label in only]
    lists = {"pipelines": wanted, "budgets": budgets, "seeds": list(seeds)}
    joined = {name: ",".join(to_text(whole(v)) for v in values) for name, values in lists.items()}
    unusual = _other_than_preset(study, preset)
    return command(
        names.SWEEP, **study.place, budget_unit=unit, preset=preset, **joined, finetune=unusual, **more
    )


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
