"""A figure on disk: PDF, PNG, its CSV, a JSON that says which runs are in it; for a paper its LaTeX, too."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis.comparison import encoders
from analysis.comparison.cells import Study
from analysis.figures import style
from analysis.statistics.records import to_json
from analysis.statistics.words import plural
from sslseg.config import caches
from sslseg.config.texts import some

DPI = 160
LATEX = {letter: f"\\{letter}" for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "–": "--", "…": r"\ldots{}",
}  # fmt: skip


@dataclass(frozen=True)
class Content:
    """What a figure's `data` returns: the table behind it, its title, and facts for the sidecar.

    `parts` are figure-specific records that `draw` needs besides the table.
    """

    name: str  # fig4
    title: str
    table: pd.DataFrame
    runs: pd.DataFrame  # the runs in it
    notes: tuple[str, ...] = ()  # small print on its face
    facts: Mapping[str, object] = field(default_factory=dict)
    parts: Any = None


def inked(draw: Callable[[Content, Figure], None]) -> Callable[[Content], Figure]:
    """A figure in the look of the style with its small print below, from what draws on an empty one."""

    @functools.wraps(draw)
    def drawn(content: Content) -> Figure:
        words = map(str, content.table.select_dtypes(exclude="number").to_numpy().ravel())
        letters = "".join(sorted({*content.title, *"".join(content.notes), *"".join(words)}))
        with style.look(letters):
            figure = Figure(figsize=(style.WIDTH, 2.5))
            if content.table.empty:
                style.nothing(figure, content.title)
            else:
                draw(content, figure)
            style.footnote(figure, content.notes)
            if style.unknown(letters):
                style.legible(figure)
        return figure

    return drawn


def lacking(why: str) -> Callable[[Study], tuple[str, str]]:
    """`wanted` of a figure that no single command would fill."""
    return lambda study: (why, "")


def face(study: Study, runs: pd.DataFrame) -> tuple[str, ...]:
    """Small print of every figure: n, what is missing at the sizes that it shows, what is mixed."""
    seeds = plural(runs["seed"].nunique(), "seed")
    lines = [f"{plural(len(runs), 'fine-tuning')} on {study.called}, {seeds}", *_unequal(runs)]
    shown = {None, *(runs["budget"] if len(runs) else study.budgets)}
    if gone := [m.cell for m in study.missing if m.budget in shown]:
        lines.append(f"missing runs: {some(gone, 3, '; ')}")
    lines += [f"MIXED: {sentence}" for sentence in study.mixed]
    if study.marks:
        lines.append(f"at settings that searches have found: {', '.join(sorted(set(study.marks.values())))}")
    return (*lines, *encoders.exposure(runs))


def _unequal(runs: pd.DataFrame) -> list[str]:
    """Who has how many seeds, where pipelines differ in that."""
    seeds = runs.groupby("arm")["seed"].nunique().sort_values(ascending=False, kind="stable")
    if seeds.nunique() < 2:
        return []
    arms = {n: ", ".join(part.index) for n, part in seeds.groupby(seeds, sort=False)}
    return ["; ".join(f"{plural(n, 'seed')} of {who}" for n, who in arms.items())]


def sidecar(content: Content, study: Study) -> dict[str, object]:
    """Everything needed to find the runs of a figure again."""
    runs = content.runs
    counts = runs.groupby(["arm", "budget"])["seed"].nunique()
    return {
        "figure": content.name,
        "title": content.title,
        "n": len(runs),
        "seeds": sorted({int(s) for s in runs["seed"]}),
        "seeds_per_cell": [{"arm": a, "budget": int(b), "seeds": int(n)} for (a, b), n in counts.items()],
        "subset_sha256": {
            f"n={budget} seed={seed}": sorted(set(group["subset_sha256"]))
            for (budget, seed), group in runs.groupby(["budget", "seed"])
        },
        "encoder_run_ids": {arm: sorted(set(group["upstream_run_id"])) for arm, group in runs.groupby("arm")},
        "data_digest": sorted(set(runs["data_digest"])),
        "run_ids": sorted(runs["run_id"]),
        "missing": [str(m) for m in study.missing],
        "mixed": list(study.mixed),
        "transductive_run_ids": sorted(runs.loc[runs["transductive"], "run_id"]),
        "superseded_runs": study.superseded,
        "query": dict(study.query),
        "notes": list(content.notes),
        **content.facts,
    }


def write(content: Content, figure: Figure, study: Study, folder: Path) -> list[Path]:
    """Write the files; bytes depend on the runs alone, not on when they are written."""
    caches.claim(folder)
    paths = [folder / f"{content.name}.{ending}" for ending in ("pdf", "png", "csv", "json")]
    with style.look():
        figure.savefig(paths[0], metadata={"CreationDate": None, "Producer": None, "Creator": None})
        figure.savefig(paths[1], dpi=DPI, metadata={"Software": None})
    content.table.to_csv(paths[2], index=False, float_format="%.10g")
    paths[3].write_text(to_json(sidecar(content, study)), encoding="utf-8")
    if style.in_paper():
        paths.append(folder / f"{content.name}.tex")
        paths[-1].write_text(latex(content), encoding="utf-8")
    return paths


def latex(content: Content) -> str:
    """The figure over both columns, with what the page says above and below it as its caption."""
    caption = ". ".join(text[:1].upper() + text[1:] for text in (content.title, *content.notes))
    escaped = "".join(LATEX.get(letter, letter) for letter in caption)
    return (
        f"\\begin{{figure*}}\n  \\centering\n  \\includegraphics{{{content.name}}} % as wide as the text, letters of "
        f"{style.SIZE:g} pt: not to be scaled\n  \\caption{{{escaped}.}}\n  \\label{{fig:{content.name}}}\n"
        "\\end{figure*}\n"
    )


def number(value: float | None, digits: int = 3) -> str:
    """A number for a reader; '–' for none."""
    return f"{value:.{digits}g}" if isinstance(value, int | float) and not math.isnan(value) else "–"
