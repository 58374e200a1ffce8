"""The page's three cards: the best pipeline, the slices it saves, how sure that is; and what would make it surer."""

from dataclasses import dataclass
from math import inf

from analysis.comparison import families, scope
from analysis.comparison.cells import Study
from analysis.comparison.decisions import Choice, Decisions
from analysis.comparison.headline import capital, means, rivalry, score, spoken
from analysis.page import further
from analysis.statistics.laws.worth import Worth
from analysis.statistics.records import MIN_SEEDS, MIN_SIZES, Refusal
from analysis.statistics.verdicts.records import Verdict
from analysis.statistics.words import plural
from sslseg.plans import pipelines


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


def _place(study: Study, budget: int) -> str:
    return plural(budget, f"annotated {study.unit}")


def _so_far(study: Study, found: Decisions, why: Refusal) -> tuple[Card, Card, Card]:
    """Cards of a study with too few seeds, or none of this size."""
    nearest = study.nearest(found.budget)
    there = means(study, nearest)
    label = str(there.idxmax()) if len(there) else ""
    reached = (f"mean test IoU {score(there.max())} at {plural(nearest, study.unit)}",) if label else ()
    sizes = sorted({*study.budgets, found.budget})
    more = further.again(study, further.seeds(study.runs, MIN_SEEDS), sizes)
    answer, against = _ahead(study, label, nearest)
    needed = f"how many {study.unit}s that saves can be told from {MIN_SEEDS} seeds of each pipeline on"
    sure, *settles = "Too little was run", capital(why.short), "This would settle more:"
    if study.scored.empty:
        sure, *settles = "No run has a test score", "Finished runs are not run again; these seeds are new:"
    return (
        Card(f"Best so far with {_place(study, nearest)}", capital(spoken(label)) if label else "Not known", reached, "", label),
        Card(f"{capital(study.unit)}s it saves", answer, (*against, needed), "", label),
        Card("How sure is that?", sure, tuple(settles), more),
    )  # fmt: skip


def _ahead(study: Study, label: str, budget: int) -> tuple[str, list[str]]:
    """What is known before slices can be counted: its mean test IoU beside that of the first reference."""
    there = means(study, budget)
    others = [other for other in families.references(study) if other != label and other in there]
    if label not in there or not others:
        return "Not known yet", []
    answer = f"IoU {score(there[label])} instead of {score(there[others[0]])} so far"
    return answer, [f"against {spoken(others[0])}, with as many {study.unit}s"]


def _best(study: Study, found: Decisions, choice: Choice) -> Card:
    on = f" on {plural(found.tested, 'test patient')}" if found.tested else ""
    lines = [f"mean test IoU {score(1 - choice.error)}{on}"]
    if choice.runner_up and not choice.certain:
        lines.append(rivalry(choice.runner_up, choice.lead))
    best = capital(spoken(choice.pipeline))
    return Card(f"Best with {_place(study, found.budget)}", best, tuple(lines), "", choice.pipeline)


def _saves(study: Study, found: Decisions, choice: Choice) -> Card:
    """In slices of each reference, the first one large."""
    rows = [r for r in found.worth if (r.pipeline, r.budget) == (choice.pipeline, found.budget)]
    told = [(f"against {spoken(r.reference)}", _saved(r.worth)) for r in rows]
    question = f"{capital(study.unit)}s it saves"
    if not told:
        why, command = "it is what the others are put against", ""
        if len(study.arms) < 2:
            why = "there is nothing to put it against"
        elif found.budget not in study.budgets:
            why = f"that is counted at the sizes that were run, and {found.budget:,} is none of them"
        elif not families.references(study):
            why = f"{study.unit}s are counted against random weights or supervised ImageNet weights; this runs the former:"
            command = further.again(study, study.seeds)
        return Card(question, "–", (why,), command, choice.pipeline)
    (against, answer), *others = told
    lines = [against, *(f"{a}: {text.lower()}" for a, text in others)]
    reasons = [r.worth.short for r in rows if isinstance(r.worth, Refusal)]
    more = ""
    if reasons and len(study.budgets) < MIN_SIZES:
        answer, lines = _ahead(study, choice.pipeline, study.nearest(found.budget))
        needed = f"how many {study.unit}s that saves can be told from {MIN_SIZES} sizes with {MIN_SEEDS} seeds each"
        more = further.again(study, study.seeds, sizes) if (sizes := further.with_more(study)) else ""
        lines.append(
            f"{needed}, and this study has {len(study.budgets)}{'; this runs what lacks:' if more else ''}"
        )
    elif reasons:
        lines.append(reasons[0])
    return Card(question, answer, tuple(lines), more, choice.pipeline)


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
        within = f"{low:,.0f} to {high:,.0f}" if low > 0 else f"at most {high:,.0f}"
        return f"About {found.more.value:,.0f}" + (f", {within}" if low < high else "")
    return "None" if high <= 0 else "Not settled"


def _sure(study: Study, found: Decisions, choice: Choice) -> Card:
    """By the verdicts on the best one at the reader's budget; the next command is for what they leave open."""
    question = "How sure is that?"
    if not choice.runner_up:
        told, sizes = "Nothing was run that it could be put against; this runs it:", study.budgets
        if len(study.arms) > 1:
            told = f"No other pipeline was run with {plural(found.budget, study.unit)}; this runs all at the same sizes:"
            sizes = tuple(sorted({*study.budgets, found.budget}))
        return Card(question, "Nothing to compare with", (told,), further.again(study, study.seeds, sizes))
    runs = study.scored
    runs = runs[(runs["arm"] == choice.pipeline) & (runs["budget"] == study.nearest(found.budget))]
    seeds = sorted(set(runs["seed"]))
    answer, better, won = _called(found, choice)
    varied = [label for label in won if scope.count(study, label) > 1]
    about = scope.about(study, choice.pipeline, *varied)
    on = f"on {'these' if found.tested else 'the'} test patients"
    what = ", ".join(filter(None, ["95 % confidence", plural(len(seeds), "seed"), about, on]))
    if not choice.certain:
        told, command = further.decides(study, choice, found.budget)
        return Card(question, answer, (*better, what, told), command)
    hops = pipelines.split(choice.pipeline).hops
    learned = bool(hops) and hops[-1].how != pipelines.SUPERVISED  # a sweep can pretrain it again
    alone = learned and scope.count(study, choice.pipeline) < 2
    several = further.again(study, seeds, pretrain_seeds="0,1,2") if alone else ""
    surer = "Several pretrainings would say whether it is so for others than this encoder:" if several else (
        "Other patients would say whether it is so for them.")  # fmt: skip
    return Card(question, answer, (what, surer), several)


def _called(found: Decisions, choice: Choice) -> tuple[str, list[str], list[str]]:
    """What it is better than, by the primary table, in words and by name; a long list stands below."""
    primary = next((t.either for t in found.verdicts if t.primary and t.budget == found.budget), {})
    rows = {b: v.call for (a, b), v in primary.items() if a == choice.pipeline}
    won = [b for b, call in rows.items() if call == "better"]
    if choice.certain:
        return "Better than every other", [], won
    if not won:
        alike = isinstance(choice.lead, Verdict) and choice.lead.call == "equivalent"
        return f"As good as {spoken(choice.runner_up)}" if alike else "Not decided", [], []
    *first, last = map(spoken, won)
    words = " and ".join(filter(None, [", ".join(first), last]))
    if len(won) > 2:
        return f"Surely better than {len(won)} of the {len(rows)} others", [f"than {words}"], won
    return f"Surely better than {words}", [], won
