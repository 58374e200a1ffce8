"""Fig. 7: did the probe of an encoder tell how well its fine-tunings would do?"""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.comparison.cells import Study
from analysis.figures import outputs, style
from analysis.figures.outputs import Content
from analysis.statistics import ranks
from analysis.statistics.records import Estimate
from analysis.statistics.words import plural
from sslseg.config.commands import command
from sslseg.config.names import FEATURES, SCRATCH, TEST_IOU
from sslseg.plans import pipelines

TITLE = "What a probe of the frozen encoder foretells of the fine-tuned test IoU"
KEYS = ()
# numbers of a probe, and whether more is better
PROBES = {"linear_iou": 1, "position_error": -1, "alignment": -1, "uniformity": -1}
MAIN = "linear_iou"
WORDS = {"linear_iou": "val IoU of the linear probe", "position_error": "error of the position",
         "alignment": "distance of views", "uniformity": "uniformity"}  # fmt: skip
COLUMNS = ["arm", "upstream_sha256", "budget", "probe", "value", "iou", "runs", "probe_run_id"]


def wanted(study: Study) -> tuple[str, str]:
    """Why there may be nothing to draw, and the command that mends it."""
    left = study.runs[~study.runs["upstream_sha256"].isin(["", SCRATCH])]
    if left.empty:
        return "every fine-tuning starts from random weights, and a probe needs an encoder", ""
    encoder = left["upstream_run_id"].iloc[0]
    return "no encoder of these fine-tunings was probed", command("probe", **study.place, encoder=encoder)


def data(study: Study, curves: pd.DataFrame) -> Content:
    """For each probed encoder and budget the mean test IoU of its fine-tunings; rank correlations over encoders.

    The encoder is the unit: its seeds are averaged. Variants of the fine-tuning are left out, as they are no property
    of an encoder, and so are random weights, which differ from seed to seed.
    """
    plain = {arm.label for arm in study.arms if not pipelines.split(arm.pipeline).variants}
    known = study.probes.set_index("upstream_sha256") if len(study.probes) else pd.DataFrame()
    runs = study.scored[study.scored["arm"].isin(plain) & (study.scored["upstream_sha256"] != SCRATCH)]
    runs = runs[runs["upstream_sha256"].isin(known.index)]
    rows = [
        [arm, sha, budget, name, value, part[TEST_IOU].mean(), len(part), known.loc[sha, "run_id"]]
        for (arm, sha, budget), part in runs.groupby(["arm", "upstream_sha256", "budget"])
        for name in PROBES
        if pd.notna(value := known.loc[sha].get(FEATURES + name))
    ]
    table = pd.DataFrame(rows, columns=COLUMNS).sort_values(["probe", "budget", "arm", "upstream_sha256"])
    ranked = correlations(table)
    notes = list(outputs.face(study, runs))
    notes += [
        _sentence(study.unit, *one) for one in ranked if one[0] == MAIN
    ]  # the others are in the sidecar
    notes += [f"darker: more {study.unit}s"] if table["budget"].nunique() > 1 else []
    keys = ("probe", "budget", "encoders", "rank_correlation")
    facts = {"correlations": [dict(zip(keys, one, strict=True)) for one in ranked]}
    arms = tuple(a for a in study.arms if a.label in set(table["arm"]))
    return Content("fig7", TITLE, table, runs, tuple(notes), facts, arms)


def correlations(table: pd.DataFrame) -> list[tuple]:
    """(probe, budget, encoders, rank correlation or why there is none); the sign is such that 1 is a perfect probe."""
    found = []
    for (name, budget), part in table.groupby(["probe", "budget"]):
        correlation = ranks.spearman(PROBES[name] * part["value"].to_numpy(), part["iou"].to_numpy())
        found.append((name, int(budget), len(part), correlation))
    return found


def _sentence(unit: str, name: str, budget: int, encoders: int, found: Estimate | ranks.Refusal) -> str:
    if isinstance(found, Estimate):
        said = f"rank correlation {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
    else:
        said = "no rank correlation"
    return f"{WORDS[name]} at {plural(budget, unit)}: {said} with the test IoU over {plural(encoders, 'encoder')}"


@outputs.inked
def draw(content: Content, figure: Figure) -> None:
    """Ink: a panel for each number of the probe, colours by pipeline, darker where the budget is larger."""
    table, budgets = content.table, sorted(set(content.table["budget"]))
    shown = [name for name in PROBES if name in set(table["probe"])]
    figure.set_figheight(2.8 + 2.4 * ((len(shown) - 1) // 2))
    axes = figure.subplots(-(-len(shown) // 2), 2 if len(shown) > 1 else 1, squeeze=False).flat
    for axis, name in zip(axes, shown, strict=False):
        for arm in content.parts:
            rows = table[(table["probe"] == name) & (table["arm"] == arm.label)]
            places = [budgets.index(b) for b in rows["budget"]]
            depth = np.interp(places, [0, max(len(budgets) - 1, 1)], [0.35, 1.0])
            colours = [mpl.colors.to_rgba(arm.colour, a) for a in depth]
            axis.scatter(rows["value"], rows["iou"], c=colours, marker=arm.marker, s=22)
        axis.set(xlabel=WORDS[name], ylabel="test IoU")
    for axis in list(axes)[len(shown) :]:
        axis.axis("off")
    inks = [Line2D([], [], color=arm.colour, marker=arm.marker, ls="", ms=5) for arm in content.parts]
    figure.legend(handles=inks, labels=[arm.name for arm in content.parts], loc="outside right center")
    style.title(figure, content.title)
