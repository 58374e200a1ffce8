"""The paper's claims as code: reproduced, contradicted, inconclusive or untested on the runs there are."""

from collections.abc import Mapping

from analysis.claims.records import INCONCLUSIVE, UNTESTED, Claim, Context, Judged, Outcome
from analysis.claims.table import CLAIMS
from analysis.comparison import scope
from analysis.comparison.cells import Study
from analysis.comparison.decisions import Curves
from analysis.comparison.measures import Measures
from analysis.statistics.records import Refusal
from sslseg.plans import pipelines

__all__ = ["CLAIMS", "Context", "Judged", "context", "judge"]

DATASET, NETWORK, NATURAL = "acdc", "resnet50", "imagenet"  # what the paper's claims are about
SPELLED = {DATASET: "ACDC", NETWORK: "ResNet-50", NATURAL: "ImageNet"}


def context(study: Study, measures: Measures, curves: Curves, architectures: Mapping[str, str]) -> Context:
    """What the claims are judged from. Of several labels of one pipeline, the one on ImageNet stands for it."""
    labels: dict[str, str] = {}
    for arm in sorted(study.arms, key=lambda a: (not any(map(_imagenet, _hops(a.label))), a.label)):
        labels.setdefault(arm.pipeline, arm.label)
    return Context(study, measures, curves, labels, architectures)


def judge(c: Context) -> tuple[Judged, ...]:
    """Every claim, in the paper's order."""
    return tuple(_judge(c, claim) for claim in CLAIMS)


def _judge(c: Context, claim: Claim) -> Judged:
    fixed = (claim.id, claim.text, claim.where, claim.criterion)
    absent = [row for row in claim.rows if row not in c.labels]
    found = Outcome(UNTESTED, f"no runs of {', '.join(absent)}") if absent else claim.rule(c)
    if isinstance(found, Refusal):
        found = Outcome(INCONCLUSIVE, found.reason)
    if found.call == UNTESTED:
        return Judged(*fixed, UNTESTED, "", found.text, "", None, ())
    instead = substitutes(c, claim)
    call, analogue = (UNTESTED, found.call) if instead else (found.call, "")
    why = f"analogue: {'; '.join(instead)}" if instead else ""
    said = found.text if found.effect is None else f"{found.text}; {varied(c, claim)}"
    run_ids = found.run_ids or c.runs(claim.rows, claim.sizes(c))
    return Judged(*fixed, call, analogue, why, said, found.effect, run_ids)


def varied(c: Context, claim: Claim) -> str:
    """What the runs behind a number differ in: of a pretraining nothing is known that one of it has not shown."""
    labels = [c.labels[row] for row in claim.rows]
    several = [label for label in labels if scope.count(c.study, label) > 1]
    if several:
        return f"the runs of {' and '.join(several)} start from several pretrainings"
    return f"all runs{' of a pipeline' if len(labels) > 1 else ''} start from the same pretraining"


def substitutes(c: Context, claim: Claim) -> list[str]:
    """What stands in these runs for what the paper had, from their lineage."""
    labels = [c.labels[row] for row in claim.rows]
    hops = {hop for label in labels for hop in _hops(label)}
    natural = {hop for hop in hops if hop.data != c.study.dataset and not _imagenet(hop)}
    found = [f"{hop} for {pipelines.Hop(hop.how, NATURAL)}" for hop in sorted(natural, key=str)]
    networks = sorted({c.architectures.get(label, "") for label in labels})
    if networks != [NETWORK]:
        found.append(f"{', '.join(n or 'unknown network' for n in networks)} for {SPELLED[NETWORK]}")
    if c.study.dataset != DATASET:
        found.append(f"{c.study.dataset} for {SPELLED[DATASET]}")
    return found + claim.substitutes(c)


def _hops(label: str) -> tuple[pipelines.Hop, ...]:
    """Of the pipeline of a label; what is not said is ImageNet."""
    return pipelines.split(label).named("", NATURAL).hops


def _imagenet(hop: pipelines.Hop) -> bool:
    return hop.data.startswith(NATURAL)
