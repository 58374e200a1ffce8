"""The page: one HTML file with everything in it, no network, made from the decisions' records."""

import base64
import math
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import jinja2
import pandas as pd

from analysis.claims import Judged
from analysis.comparison import encoders, sameness, scope
from analysis.comparison.cells import Study
from analysis.comparison.decisions import Decisions, worth_of
from analysis.comparison.encoders import Encoder
from analysis.comparison.headline import score, span
from analysis.comparison.patients import Measured
from analysis.comparison.sameness import whole
from analysis.figures import outputs
from analysis.figures.outputs import Content
from analysis.page import cards, matrices, scores
from analysis.page.matrices import SYMBOL
from analysis.statistics.records import FIRM_SEEDS, Estimate, Refusal, grouped
from analysis.statistics.verdicts.records import Verdict
from analysis.statistics.words import plural
from sslseg.config import names
from sslseg.config.names import CFG

TEMPLATE = "report.html.j2"
RUN_COLUMNS = ("arm", "budget", "seed", "run_id", names.TEST_LOSS, names.TEST_IOU, names.AREA_VAL_IOU,
               names.SECONDS)  # fmt: skip
SPELLED = {"verdict": "Verdicts", "advice": "How many to annotate", "claims": "The paper's claims"}


@dataclass(frozen=True)
class Page:
    """What the page shows; parts that were not asked for are empty."""

    study: Study
    decisions: Decisions
    claims: Sequence[Judged]
    encoders: Sequence[Encoder]
    figures: Mapping[str, tuple[Content, Path]]  # name -> (its data, its PNG)
    parts: Sequence[str]
    command: str
    uri: str  # of the tracking UI; '' = links are left out
    # left out figure -> why, and what would mend it
    absent: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    patients: Measured = field(default_factory=Measured)  # test scores for other seeds and other patients


def render(page: Page) -> str:
    """The HTML. Every text is escaped; images are inlined."""
    tuned = tuned_of(page.decisions)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "gained": gained,
        "image": lambda png: "data:image/png;base64," + base64.b64encode(png.read_bytes()).decode(),
        "number": outputs.number,
        "slices": lambda e: slices(e, page.study),
        "effect": matrices.effect,
        "plural": plural,
        "worktime": worktime,
        "minutes": lambda value: max(1, math.ceil(value)),
        "duration": lambda hours: f"{hours:.1f} h" if hours >= 2 else f"{max(1, round(60 * hours))} min",
        "quoted": shlex.quote,
        "spelled": spelled,
        "thousands": "{:,}".format,
        "score": score,
        "counted": lambda n: plural(n, page.study.unit),
        "refused": refused,
        "matrix_of": lambda table: matrices.of_verdicts(page.study, table, tuned),
    }
    environment.tests |= {
        "matrix_of": lambda table: matrices.of_verdicts(page.study, table, tuned) is not None,
        "refusal": lambda v: isinstance(v, Refusal),
    }
    return environment.get_template(TEMPLATE).render(
        page=page,
        study=page.study,
        d=page.decisions,
        wide=f"fewer than {FIRM_SEEDS} seeds: the intervals are wide, and indicative only",
        colours={arm.label: arm.colour for arm in page.study.arms},
        cards=cards.cards(page.study, page.decisions),
        sizes=", ".join(
            [*(f"{n:,}" for n in page.study.budgets[:-1]), plural(page.study.budgets[-1], page.study.unit)]
        ),
        worth=matrices.of_worth(page.study, page.decisions),
        verdicts=[
            (n, list(tables)) for n, tables in groupby(page.decisions.verdicts, lambda table: table.budget)
        ],
        tuned=tuned,
        trials=trials(page.study),
        symbol=SYMBOL,
        worth_of=lambda label: worth_of(page.study, page.decisions, label),
        scores=scores.shown(page.study),
        levels=scores.levels(page.study, page.patients),
        encoders={arm.label: scope.count(page.study, arm.label) for arm in page.study.arms},
        apart=scores.differences(page.decisions, page.patients),
        runs=run_table(page),
        exposure=encoders.exposure(page.study.runs),
        settings=settings(page.study),
        experiments=dict(zip(page.study.runs["run_id"], page.study.runs["experiment_id"], strict=True)),
    )


def refused(rows: Iterable[object]) -> list[str]:
    """Each reason once; where several pipelines lack the same the first, and how many more there are."""
    told = dict.fromkeys((row.lacks or row.reason, row.short) for row in rows if isinstance(row, Refusal))
    more = " (the same holds for {} more)".format
    return [first + (more(len(rest)) if rest else "") for first, *rest in grouped(told).values()]


def tuned_of(found: Decisions) -> dict[tuple, Verdict]:
    """(budget, metric, a, b) -> the verdict at tuned settings."""
    rows = [(table, v) for table in found.tuned for v in table.rows if isinstance(v, Verdict)]
    return {(table.budget, table.metric.key, v.a, v.b): v for table, v in rows}


def trials(study: Study) -> list[tuple[str, str]]:
    """(pipeline, trials of the search) of the runs at tuned settings."""
    marks = {} if study.tuned is None else study.tuned.marks
    return [(arm, sameness.trials_of(mark)) for arm, mark in sorted(marks.items())]


def slices(estimate: Estimate, study: Study) -> str:
    """Whole slices in words; beyond the sizes that were run it says so."""
    return span(estimate.value, estimate.low, estimate.high, study.budgets[0], study.budgets[-1])


def gained(estimate: Estimate) -> str:
    """A difference of IoU with its interval, to a thousandth: `+0.012 [-0.003, +0.027]`."""
    value, low, high = map(matrices.signed, (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def worktime(minutes: Estimate | None) -> str:
    """Minutes of annotating, where they are known on both sides."""
    if minutes is None or not (math.isfinite(minutes.low) and math.isfinite(minutes.high)):
        return ""
    return f", {span(minutes.value, minutes.low, minutes.high, 0, 0)} min"


def run_table(page: Page) -> pd.DataFrame:
    """The compared runs, in the page's order."""
    columns = [c for c in RUN_COLUMNS if c in page.study.runs]
    order = [arm.label for arm in page.study.arms]
    table = page.study.runs[[*columns, "experiment_id"]]
    return table.sort_values(
        ["arm", "budget", "seed"], key=lambda c: c.map(order.index) if c.name == "arm" else c
    )


def settings(study: Study) -> list[tuple[str, str]]:
    """Resolved knobs that all compared runs share."""
    columns = sorted(c for c in study.runs if c.startswith(CFG))
    shared = [(c.removeprefix(CFG), study.runs[c].map(lambda v: str(whole(v))).unique()) for c in columns]
    hidden = {"encoder", "data_root", "cache", names.TAG_PROCESS}
    shared = [(name, values[0]) for name, values in shared if len(values) == 1 and name not in hidden]
    return [(name, value) for name, value in shared if value not in ("", "None", "nan")]


def spelled(part: str) -> str:
    """A part of the page as the reader is told of it: `fig3a` is Fig. 3a."""
    return f"Fig. {part[3:]}" if part.startswith("fig") else SPELLED.get(part, part.capitalize())
