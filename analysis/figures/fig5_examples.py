"""Fig. 5: image, truth and prediction. Worst, median and best test case, the same cases for all pipelines."""

import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis.comparison.arms import Arm
from analysis.comparison.cells import Study
from analysis.figures import labels, outputs, style
from analysis.figures.outputs import Content
from analysis.statistics.words import plural
from sslseg.config import names
from sslseg.config.names import SslsegError
from sslseg.tracking.history import frames

TITLE = "Test cases: image, truth and prediction"
wanted = outputs.lacking("no run of the largest budget kept its test cases")
KEYS: tuple[str, ...] = ()
FILE = names.CASES  # of a fine-tuning; see `Cases`
COLUMNS = ["arm", "pipeline", "budget", "seed", "run_id", "case", "row", "iou"]
WORDS = ("worst", "median", "best")
IGNORE = 255
MOST = 1 << 30  # bytes of all cases of a run
FALLBACK = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#0072B2")
ALPHA = 0.55
ACROSS = 6  # panels in a line: more would be too small for their names


@dataclass(frozen=True)
class Cases:
    """Fixed test slices as one run predicted them: `rows` [K] of the slice store, the rest uint8 [K, H, W]."""

    rows: np.ndarray
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    colours: tuple[str, ...]  # hex by class; () = not told
    classes: tuple[str, ...] = ()  # names, background first; () = not told

    def iou(self) -> np.ndarray:
        """Mean foreground IoU [K]; classes that are in neither mask are left out, NaN when all are."""
        known, total, there = self.truth != IGNORE, np.zeros(len(self.rows)), np.zeros(len(self.rows))
        for k in range(1, int(max(self.truth[known].max(), self.prediction.max())) + 1):
            a, b = (self.truth == k) & known, (self.prediction == k) & known
            union = (a | b).sum(axis=(1, 2))
            total += (a & b).sum(axis=(1, 2)) / np.maximum(union, 1)
            there += union > 0
        return np.where(there > 0, total / np.maximum(there, 1), np.nan)


def read(run_id: str, uri: str) -> Cases | None:
    """The cases of a run; None when it has none. Arrays only: nothing is unpickled.

    Raises:
        SslsegError: they unpack to more than MOST bytes, or are damaged: the run may have come out of an archive.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = frames.artifact(run_id, FILE, Path(scratch), uri)
        if path is None:
            return None
        try:
            with zipfile.ZipFile(path) as packed:
                if (size := sum(entry.file_size for entry in packed.infolist())) > MOST:
                    raise SslsegError(f"run {run_id}: its {FILE} unpacks to {size:,} bytes, at most {MOST:,}")
            with np.load(path, allow_pickle=False) as stored:
                arrays = (stored[name] for name in ("rows", "image", "truth", "prediction"))
                told = (tuple(map(str, stored[n])) if n in stored else () for n in ("colours", "classes"))
                return Cases(*arrays, *told)
        except (OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
            raise SslsegError(f"run {run_id}: its {FILE} cannot be drawn ({error})") from None


def chosen(found: Sequence[Cases]) -> dict[str, int]:
    """Worst, median and best case -> its place, by mean IoU over all pipelines; slices without structure out."""
    scores = np.mean([cases.iou() for cases in found], axis=0)
    truth = found[0].truth
    shown = np.flatnonzero(((truth > 0) & (truth != IGNORE)).any(axis=(1, 2)) & np.isfinite(scores))
    if not len(shown):
        return {}
    order = shown[np.argsort(scores[shown], kind="stable")]
    places = (order[0], order[len(order) // 2], order[-1])
    return dict(zip(WORDS, map(int, places), strict=True))


def data(study: Study, curves: pd.DataFrame | None = None) -> Content:
    """The run of the lowest seed of every pipeline at the largest budget, where it kept its cases."""
    budget = study.budgets[-1]
    there: list[tuple[Arm, pd.Series, Cases]] = []
    for arm in labels.front(study):
        for _, run in study.of(arm, budget).iterrows():
            cases = read(run["run_id"], study.uri) if study.uri else None
            if cases is not None and (not there or np.array_equal(cases.rows, there[0][2].rows)):
                there.append((arm, run, cases))
                break
    places = chosen([cases for *_, cases in there]) if there else {}
    rows = [
        (arm.label, arm.pipeline, budget, *run[["seed", "run_id"]], word, int(cases.rows[i]), cases.iou()[i])
        for arm, run, cases in there
        for word, i in places.items()
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    runs = study.runs[study.runs["run_id"].isin(table["run_id"])]
    without = [arm.label for arm in labels.front(study) if arm.label not in set(table["arm"])]
    notes = outputs.face(study, runs)
    notes += (f"no test cases were kept of {', '.join(without)}",) if without else ()
    notes += labels.others(study, "left out")
    return Content("fig5", f"{TITLE}, {plural(budget, study.unit)}", table, runs, notes, {"budget": budget},
                 [(arm, cases, places) for arm, _, cases in there])  # fmt: skip


@outputs.inked
def draw(content: Content, figure: Figure) -> None:
    """Ink: a row per case, of image, truth and a panel per pipeline; more rows where the width is too small."""
    panels, cases = 2 + len(content.parts), content.parts[0][2]
    lines = -(-panels // ACROSS)
    columns = -(-panels // lines)
    side = style.WIDTH / max(columns, 4)
    figure.set_figheight(1.1 + (side + 0.35) * len(cases) * lines)
    axes = figure.subplots(len(cases) * lines, columns, squeeze=False)
    names = [_folded(arm.label, style.WIDTH / columns) for arm, *_ in content.parts]
    for k, (word, i) in enumerate(cases.items()):
        line = list(axes[k * lines : (k + 1) * lines].flat)
        _case(line, word, i, content.parts, names if k == 0 or lines > 1 else [])
    _legend(figure, content.parts)
    style.title(figure, content.title)


def _folded(label: str, width: float) -> str:
    """A pipeline's name in a column of so many inches."""
    lines = label.replace("+", "\n+ ")
    return lines if max(map(len, lines.split("\n"))) * labels.LETTER < width else lines.replace("@", "\n@")


def _case(
    axes: Sequence[Axes], word: str, i: int, parts: Sequence[tuple[Arm, Cases, dict]], names: Sequence[str]
) -> None:
    """Image, truth and predictions of one case; nothing is written above them where there are no names."""
    first = parts[0][1]
    shown = np.flatnonzero(first.image[i].any(axis=0)), np.flatnonzero(first.image[i].any(axis=1))
    window = tuple(slice(int(a[0]), int(a[-1]) + 1) if len(a) else slice(None) for a in shown[::-1])
    panels = [(None, ""), (first.truth, "")]
    panels += [(cases.prediction, f"IoU {cases.iou()[i]:.2f}") for _, cases, _ in parts]
    titles = ["image", "truth", *names] if names else [""] * len(panels)
    for axis in axes[len(panels) :]:
        axis.axis("off")
    for axis, title, (mask, scored) in zip(axes, titles, panels, strict=False):
        axis.imshow(first.image[i][window], cmap="gray", vmin=0, vmax=255)
        if mask is not None:
            axis.imshow(_rgba(mask[i][window], first.colours))
        axis.set(xticks=[], yticks=[], xlabel=scored, title=title)
        axis.title.set_fontsize(style.SIZE)
        axis.spines[:].set_visible(False)
        axis.grid(visible=False)
    axes[0].set_ylabel(word)


def _legend(figure: Figure, parts: Sequence[tuple[Arm, Cases, dict]]) -> None:
    """The classes in the colours that the masks have."""
    first = parts[0][1]
    masks = [mask for _, cases, _ in parts for mask in (cases.truth, cases.prediction)]
    known = sorted({int(k) for mask in masks for k in np.unique(mask)} - {0, IGNORE})
    table = _rgba(np.arange(256), first.colours)
    names = [first.classes[k] if k < len(first.classes) else f"class {k}" for k in known]
    patches = [Patch(color=table[k], label=name) for k, name in zip(known, names, strict=True)]
    if patches:
        figure.legend(handles=patches, loc="outside right upper", handlelength=1.2)


def _rgba(mask: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """Classes in the dataset's colours, background and ignored voxels clear."""
    known = list(colours) or list(FALLBACK)
    table = np.array([mpl.colors.to_rgba(c, ALPHA) for c in (known * 256)[:256]])
    table[0, 3] = table[IGNORE, 3] = 0.0
    return table[mask]
