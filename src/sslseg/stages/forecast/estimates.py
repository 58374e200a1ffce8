"""What the missing cells of a sweep will cost, by what finished runs of the same kind did."""

import datetime
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
import pandas as pd

from sslseg.config import caches, names
from sslseg.config.params import Finetune, ImportEncoder, Pretrain
from sslseg.plans import pipelines
from sslseg.plans.cells import Cell
from sslseg.stages.forecast import feasible
from sslseg.tracking import store
from sslseg.tracking.registry import logged

Cellular = Finetune | Pretrain | ImportEncoder  # the stages that a sweep has cells of
NEWEST = 3  # runs of a kind whose files are counted
LIKE = 2.0  # trainings so many times as long as the most similar one still tell; a much shorter one is mostly its start


@dataclass(frozen=True)
class Kind:
    """Runs that cost about the same, for each slice that they are trained on."""

    stage: str
    method: str
    preset: str
    architecture: str
    variants: str = ""  # of a fine-tuning: mean_teacher takes more than twice the time, unimatch four times

    def __str__(self) -> str:
        return " ".join(
            filter(None, [self.stage, self.method, self.preset, self.architecture, self.variants])
        )


@dataclass(frozen=True)
class Cost:
    """Of one cell. None = no earlier run tells."""

    seconds: float | None = None
    bytes: float | None = None
    runs: int = 0  # that it is the median of


@dataclass(frozen=True)
class Total:
    """Of all missing cells that something is known of; `unknown` counts the others."""

    seconds: float
    bytes: float
    unknown: int
    unsized: int
    wall: float  # seconds, at the least


def kinds(cells: Iterable[Cell], parameters: Mapping[str, Cellular]) -> dict[str, Kind]:
    """Cell -> its kind; the network is the upstream's, as far as the cells tell, else the preset's.

    Args:
        parameters: cell -> resolved parameters; the upstream may still be missing in them.
    """
    found: dict[str, Kind] = {}
    for cell in cells:
        p = parameters[cell.name]
        before = found[cell.upstream].architecture if cell.upstream else ""
        architecture = feasible.imported(p) if isinstance(p, ImportEncoder) else before or p.architecture
        preset = getattr(p, "preset", "")
        found[cell.name] = Kind(cell.stage, cell.method, preset, architecture, variants(p))
    return found


def costs(
    kinds: Mapping[str, Kind],
    parameters: Mapping[str, Cellular],
    runs: pd.DataFrame,
    device: str,
    size_of: Callable[[str], int | None],
) -> dict[str, Cost]:
    """Cell -> its cost: medians over the runs of its kind on the same device, scaled by the slices trained on.

    Args:
        runs: `history.runs()` of the whole store.
        device: name of the device, see `devices.name`.
        size_of: run ID -> bytes of its files, None where they cannot be counted.
    """
    earlier = {kind: _earlier(kind, runs, device) for kind in set(kinds.values())}
    sizes = {kind: [size_of(run_id) for run_id in rows["run_id"][-NEWEST:]] for kind, rows in earlier.items()}
    found = {}
    for name, kind in kinds.items():
        slices = _slices(parameters[name])
        per_slice = _like(earlier[kind], slices)["per_slice"]
        known = [size for size in sizes[kind] if size is not None]
        seconds = median(per_slice) * slices if len(per_slice) else None
        found[name] = Cost(seconds, median(known) if known else None, len(per_slice))
    return found


def _like(rows: pd.DataFrame, slices: int) -> pd.DataFrame:
    """Those that were trained on the most similar number of slices, or nearly so."""
    apart = np.log2(rows["slices"] / slices).abs()
    return rows[apart <= apart.min() + np.log2(LIKE) + 1e-9]


def variants(p: Cellular) -> str:
    """How a fine-tuning is done, other than usual."""
    return "+".join(pipelines.variants_of(p)) if isinstance(p, Finetune) else ""


def _earlier(kind: Kind, runs: pd.DataFrame, device: str) -> pd.DataFrame:
    """Rows of a kind, oldest first, with `slices` trained on and seconds for each, `per_slice`."""

    def column(name: str) -> pd.Series:
        return runs[name] if name in runs else pd.Series(None, runs.index, dtype=object)

    same = (runs["stage"] == kind.stage) & runs["device"].isin([device, ""])
    if kind.stage == names.IMPORT:
        took = (runs["end"] - runs["start"]).dt.total_seconds()
        return runs.assign(slices=1.0, per_slice=took)[same & took.notna()]
    same &= (column("cfg.preset") == kind.preset) & (column("cfg.architecture") == kind.architecture)
    if kind.method:
        same &= runs["method"] == kind.method
    if kind.stage == names.FINETUNE:
        ways = column("pipeline").fillna("").map(lambda text: "+".join(pipelines.split(text).variants))
        same &= ways == kind.variants
    slices = pd.to_numeric(column("cfg.steps")) * pd.to_numeric(column("cfg.batch_size"))
    took = pd.to_numeric(column(names.SECONDS)) / slices
    return runs.assign(slices=slices, per_slice=took)[same & took.notna()]


def _slices(p: Cellular) -> int:
    return 1 if isinstance(p, ImportEncoder) else p.steps * p.batch_size


def total(missing: Iterable[Cell], costs: Mapping[str, Cost], places: int) -> Total:
    """Sums over the missing cells. They cannot end before an even share of the work, or the longest chain."""
    cells = list(missing)
    ends: dict[str, float] = {}
    for cell in cells:  # each after its upstream
        ends[cell.name] = ends.get(cell.upstream, 0.0) + (costs[cell.name].seconds or 0.0)
    seconds = [costs[cell.name].seconds for cell in cells]
    sizes = [costs[cell.name].bytes for cell in cells]
    work = sum(filter(None, seconds))
    return Total(
        work, sum(filter(None, sizes)), seconds.count(None), sizes.count(None),
        max(work / places, max(ends.values(), default=0.0)),
    )  # fmt: skip


def lines(
    missing: list[Cell],
    kinds: Mapping[str, Kind],
    costs: Mapping[str, Cost],
    places: int,
    now: datetime.datetime,
) -> Iterator[str]:
    """What a person reads: a line per kind, then hours, disk and end."""
    for kind in sorted({kinds[cell.name] for cell in missing}, key=str):
        cells = [cell for cell in missing if kinds[cell.name] == kind]
        cost = median_of(costs[cell.name] for cell in cells)
        yield f"{len(cells)} x {kind}: {cost}"
    if not missing:
        return
    sums = total(missing, costs, places)
    least = "at least " if sums.unknown else ""
    if sums.unknown == len(missing):
        yield "hours and end: unknown, no finished run of these kinds on this kind of device"
    else:
        end = now + datetime.timedelta(seconds=sums.wall)
        yield (
            f"hours: {least}{sums.seconds / 3600:.2f} of work, {least}{sums.wall / 3600:.2f} with {places} at a time; "
            f"end: not before {end:%Y-%m-%d %H:%M}"
        )
    if sums.unsized == len(missing):
        yield "disk: unknown"
    else:
        yield f"disk: {'at least ' if sums.unsized else ''}{sums.bytes / 1e9:.3f} GB of models and files"


def median_of(costs: Iterable[Cost]) -> str:
    """Seconds and megabytes of cells of one kind, or why they are unknown."""
    known = [cost for cost in costs if cost.seconds is not None]
    if not known:
        return "unknown, no earlier run"
    runs = f"{known[0].runs} earlier run{'s' if known[0].runs > 1 else ''}"
    size = known[0].bytes
    files = "unknown size" if size is None else f"{size / 1e6:.1f} MB"
    return f"{median(cost.seconds or 0.0 for cost in known):.1f} s and {files} each, by {runs}"


def size_of(run_id: str, uri: str | None = None) -> int | None:
    """Bytes of a run's artifacts and models; None where they do not lie on this file system."""
    run = store.client(uri).get_run(run_id)
    folders = [store.local_path(run.info.artifact_uri)]
    folders += [store.local_path(model.artifact_location) for model in logged.of_run(run, uri)]
    known = [folder for folder in folders if folder is not None]
    if len(known) < len(folders):
        return None
    return sum(map(caches.size_of, known))
