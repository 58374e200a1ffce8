"""The first sentence of the page, and the first of an encoder's card: whole sentences without a bracket."""

from collections.abc import Sequence
from math import inf, isinf

import pandas as pd

from analysis.comparison import scope
from analysis.comparison.cells import Study
from analysis.statistics.laws.worth import Worth
from analysis.statistics.records import MIN_SEEDS, Refusal
from analysis.statistics.verdicts.records import Verdict
from analysis.statistics.words import plural
from sslseg.config.names import CFG, SCRATCH, TEST_IOU
from sslseg.plans import pipelines

SPELLED = {"byol": "BYOL", "simclr": "SimCLR", "moco": "MoCo", "swav": "SwAV", "dino": "DINO", "cpc": "CPC",
           "vicreg": "VICReg", "densecl": "DenseCL", "pcl": "PCL", "barlow": "Barlow Twins", "masked": "masked images",
           "jigsaw": "jigsaw puzzles", "position": "relative positions"}  # fmt: skip
VARIANTS = {"strong": "fine-tuned with strong augmentation", "mean_teacher": "fine-tuned with a mean teacher",
          "frozen": "with the encoder frozen", "unimatch": "fine-tuned with UniMatch"}  # fmt: skip
SURE = "with 95 % confidence"


# ---------------------------------------------------------------- words
def capital(text: str) -> str:
    """With its first letter as at the start of a sentence, and no other one changed."""
    return text[:1].upper() + text[1:]


def score(iou: float) -> str:
    """Two digits behind the point, or two that tell a small one from nothing: `0.84`, `0.0021`."""
    return f"{iou:.2f}" if iou >= 0.1 or iou <= 0 else f"{iou:.2g}"


def spoken(label: str) -> str:
    """A pipeline in words: `supervised+byol@acdc` is "supervised ImageNet weights followed by BYOL on acdc"."""
    said = pipelines.split(label)
    words = " followed by ".join(map(_hop, said.hops)) or "random weights"
    return words + "".join(f", {VARIANTS[word]}" for word in said.variants)


def _hop(hop: pipelines.Hop) -> str:
    if hop.how == pipelines.SUPERVISED:
        if hop.data == pipelines.PHANTOM:
            return "weights trained on the phantom's labels"
        known = hop.data in (pipelines.NATURAL, pipelines.IMAGENET)
        return "supervised ImageNet weights" if known else f"weights trained on labels of {hop.data}"
    if hop.how == "unknown":
        return f"the weights of {hop.data}"
    return f"{SPELLED.get(hop.how, hop.how)} on {hop.data}"


def saves(found: Worth, reference: str, unit: str) -> str:
    """What a pipeline saves against another one: the end of a sentence on it, "… saves at least 225 slices …"."""
    low, high, against = found.more.low, found.more.high, f"against {spoken(reference)}"
    if low == inf and found.limit > found.budget:
        return f"saves more than {plural(found.limit - found.budget, unit)} {against}"
    if low == inf:
        return f"saves {unit}s {against}, more than can be counted with all that there are"
    if low >= 0 and high == inf:
        return f"saves at least {plural(low, unit)} {against}" if low > 0 else f"saves {unit}s {against}"
    if low >= 0:
        about = f"about {plural(found.more.value, unit)} {against}"
        within = f"between {low:,.0f} and {high:,.0f}" if low > 0 else f"at most {high:,.0f}"
        return f"saves {about}, {within}" if low < high else f"saves {about}"
    if high <= 0:
        return f"saves no {unit}s {against}"
    return ""


def rivalry(rival: str, lead: Verdict | Refusal | None) -> str:
    """What the verdict on the best pipeline leaves of the next one."""
    if isinstance(lead, Verdict) and lead.call == "equivalent":
        return f"within {lead.margin:g} IoU the same as {spoken(rival)}"
    return f"{spoken(rival)} may be as good"


def _patients(tested: int) -> str:
    return f"on {plural(tested, 'patient')}" if tested else "on the test patients"


def _steps(runs: pd.DataFrame) -> str:
    steps = sorted({int(s) for s in pd.to_numeric(runs.get(f"{CFG}steps", pd.Series(dtype=float))).dropna()})
    ends = " to ".join(f"{n:,}" for n in dict.fromkeys(steps[:1] + steps[-1:]))
    return f" in {ends} training step{'' if steps == [1] else 's'}" if steps else ""


# ---------------------------------------------------------------- the page
def decided(
    study: Study,
    budget: int,
    best: str,
    iou: float,
    worths: Sequence[tuple[str, Worth | Refusal]],
    rival: str,
    tested: int,
) -> str:
    """Which pretraining, what it reaches, what it saves and against what, how sure, on whom, in how many steps.

    Args:
        worths: (reference, worth of the best at this budget), scratch first.
        rival: `rivalry`, where the best is not better than every other.
        tested: test patients; 0 = not known.
    """
    unit, runs, starts = study.unit, study.of(best, budget), scope.count(study, best)
    told = runs.loc[runs[TEST_IOU].notna(), "seed"].nunique()
    seeds = f"{starts} pretrainings" if starts > 1 else plural(told, "seed")
    text = (
        f"With {plural(budget, f'annotated {unit}')} of {study.called}, a network that starts from {spoken(best)} "
        f"reaches a mean test IoU of {score(iou)} {_patients(tested)}{_steps(runs if len(runs) else study.runs)}"
    )
    may = f"; {rival}" if rival else ""
    if budget not in study.budgets:
        sizes = ", ".join(f"{n:,}" for n in study.budgets)
        return f"{text}, by the curve between the sizes that were run, which are {sizes}."
    if not worths:
        return f"{text}, over {seeds}{may}."
    reference, found = worths[0]
    if isinstance(found, Refusal):  # the reason is on the second card
        may = f", and {rival}" if rival else ""
        return f"{text}, over {seeds}; how many {unit}s that saves against {spoken(reference)} is not known yet{may}."
    if said := saves(found, reference, unit):
        return f"{text} and {said}, {SURE} from {seeds}{may}."
    return f"{text}; whether that saves {unit}s against {spoken(reference)} is not settled by {seeds}{may}."


def means(study: Study, budget: int) -> pd.Series:
    """Mean test IoU of every pipeline at a size, of equal ones the simpler first: `idxmax` is the best."""
    runs, labels = study.scored, [arm.label for arm in study.arms]
    found = (
        runs[runs["budget"] == budget].groupby("arm")[TEST_IOU].mean()
        if len(runs)
        else pd.Series(dtype=float)
    )
    return found.reindex(labels).dropna()


def so_far(study: Study, budget: int, tested: int) -> str:
    """The best there is where too few seeds were run to say what it saves, and what is wanting."""
    scored = study.scored
    if scored.empty:
        return f"No fine-tuning on {study.called} has a test score yet."
    place = f"{plural(budget, f'annotated {study.unit}')} of {study.called}"
    runs = scored[scored["budget"] == budget]
    if runs.empty:
        there = ", ".join(f"{n:,}" for n in sorted(set(scored["budget"])))
        return f"There is no test score with {place}; there is with {there}."
    best, iou = str((found := means(study, budget)).idxmax()), found.max()
    seeds = int(runs[runs["arm"] == best]["seed"].nunique())
    what = (
        "whether a pretraining is better" if best == SCRATCH else f"what that saves against {spoken(SCRATCH)}"
    )
    return (
        f"With {place}, the best so far is a network that starts from "
        f"{spoken(best)}, with a mean test IoU of {score(iou)} {_patients(tested)}{_steps(runs)}; {what} wants "
        f"at least {MIN_SEEDS} seeds of each, and this has {seeds}."
    )


# ---------------------------------------------------------------- an encoder's card
def worth_sentence(
    study: Study, label: str, budget: int, worths: Sequence[tuple[str, Worth | Refusal]], tested: int
) -> str:
    """One sentence on one pipeline at the reader's budget, with what varied; '' of references."""
    if not worths:
        return ""
    unit = study.unit
    refused = [found.short for _, found in worths if isinstance(found, Refusal)]
    known = [(reference, found) for reference, found in worths if isinstance(found, Worth)]
    said = [saves(found, reference, unit) for reference, found in known]
    settled = [text for text in said if text]
    left = [spoken(reference) for (reference, _), text in zip(known, said, strict=True) if not text]
    place = f"With {plural(budget, f'annotated {unit}')} of {study.called}"
    about = ", ".join(filter(None, [scope.about(study, label), f"{_patients(tested)} of one test"]))
    if settled:
        tail = f", and whether it saves any against {' and '.join(left)} is not settled" if left else ""
        return f"{place}, starting here {' and '.join(settled)}, {SURE}{tail}: {about}."
    if left:
        return f"{place}, whether starting here saves {unit}s against {' and '.join(left)} is not settled: {about}."
    return f"{place}, what starting here saves is not known yet: {refused[0]}."


def span(value: float, low: float, high: float, least: int, most: int) -> str:
    """A number of slices with its interval in words: ends that are infinite lie outside of what was run."""
    if low == inf:
        return f"more than {most:,}"
    if high == -inf:
        return f"fewer than {least:,}"
    if isinf(low) and isinf(high):
        return "not settled"
    if isinf(high):
        return f"at least {low:,.0f}"
    if isinf(low):
        return f"at most {high:,.0f}"
    return f"{value:,.0f}, from {low:,.0f} to {high:,.0f}" if low < high else f"{value:,.0f}"
