"""Is the network's input what it should be? Asked before the first step of every training.

The original's flaws F1-F3 (a nearly constant input, blank crops, wrapped voxels) trained for hours
without a word; each has a number here, and a limit.
"""

import numpy as np

from sslseg.data.slices.intensity import Intensity
from sslseg.data.slices.slice_store import Rows, Slices
from sslseg.data.source import IGNORE
from sslseg.data.streams import stream
from sslseg.data.views.batches import order
from sslseg.data.views.draw import ViewRanges, draw
from sslseg.data.views.render import render, render_labels

CROPS = 512  # flaw F2 blanks 9.4 % of them: 48 expected against a limit of 10
CHUNK = 64
SLICES = 200  # looked at for raw shares, evenly over at most
VOLUMES = 8  # whole volumes: the normalisation clips 1 + 1 % of a volume, not of a slice
STD_LOW, STD_HIGH = 0.1, 10.0  # flaw F1 leaves 0.004; any sane ranges lies between 0.3 and 3
MEAN_LIMIT = 5.0
DEAD_STD, DEAD_LIMIT = 1e-3, 0.02  # s.d. as a share of the typical crop's; share of crops
OFFSET_STDS, OFFSET_LIMIT = 20.0, 0.02  # flaw F2 moves 8.9 % of crops by about 80 typical s.d.
CLIPPED_LIMIT = 0.05
WRAP, WRAPPED_LIMIT = 2.0**15, 0.005  # a 16-bit wrap is a jump of 65,536; resampling halves it at worst
LOST_LIMIT = 0.9
SHARES = {  # metric -> its limit, and what it means to be above
    "probe/dead_share": (DEAD_LIMIT, "flaw F2: {:.1%} of the crops are blank, limit {:.0%}; where there is much air, larger "
                         "crops mend it, as crop_scale=0.3,1; else look at jitter_mode, and at the slices themselves"),
    "probe/offset_share": (OFFSET_LIMIT, f"flaw F2: {{:.1%}} of the crops are moved more than {OFFSET_STDS:g} standard "
                           "deviations away from the others, limit {:.0%}; look at jitter_mode"),
    "probe/clipped_share": (CLIPPED_LIMIT, "{:.1%} of the voxels are clipped, limit {:.0%} (the normalisation clips "
                            "1 + 1 %); the store's percentiles are not those of its voxels"),
    "probe/wrapped_share": (WRAPPED_LIMIT, "flaw F3: {:.2%} of neighbouring voxels differ by half the range of 16 bits or "
                            "more, limit {:.2%}; a cast has wrapped them, look at the source files' data type"),
    "probe/masks_lost_share": (LOST_LIMIT, "{:.1%} of the views of slices with foreground have none, limit {:.0%}; labels "
                               "and images do not belong together, or crops are too small"),
}  # fmt: skip


def _raw(slices: Slices, rows: np.ndarray, intensity: Intensity) -> dict[str, float]:
    """Shares of voxels of the volumes that `rows` [B] come from, before any view is made."""
    volume = slices.index["volume"].to_numpy()
    seen = np.flatnonzero(np.isin(volume, np.unique(volume[rows])[:VOLUMES]))
    seen = seen[np.unique(np.linspace(0, len(seen) - 1, SLICES).astype(int))]
    low, high, _, _ = (np.asarray(a)[:, :, None, None] for a in intensity.affine(slices, seen))
    scale, zero = (slices.volumes[name][volume[seen]][:, :, None, None] for name in ("scale", "intercept"))
    voxels, clipped, jumps, beyond = 0, 0, 0, 0
    for i, row in enumerate(seen.tolist()):
        code = np.asarray(slices.codes(row)).astype(np.float32)
        value = code * scale[i] + zero[i]
        voxels += code.size
        clipped += int(((code < low[i]) | (code > high[i])).sum())
        beyond += int(((value < 0) | (value >= 256)).sum())
        # A scale above 1 holds more than 16 bits of range: it cannot come from a 16-bit cast.
        jumps += int(((np.abs(np.diff(value)) >= WRAP) & (scale[i] <= 1)).sum())
    return {
        "probe/clipped_share": clipped / voxels,
        "probe/wrapped_share": jumps / voxels,
        "probe/uint8_wrap_share": beyond / voxels,
    }


def _crops(batch: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """Mean, s.d. and "has foreground" (0 without labels) of every crop: [B, 3]."""
    found = np.zeros(len(batch)) if labels is None else ((labels > 0) & (labels != IGNORE)).any((1, 2))
    each = ((view.mean(dtype=np.float64), view.std(dtype=np.float64)) for view in batch)
    return np.array([(*values, seen) for values, seen in zip(each, found, strict=True)])


def _metrics(crops: np.ndarray, foreground: np.ndarray | None) -> dict[str, float]:
    mean, std, found = crops.T
    constant, away = 1e-9 * (1 + np.abs(mean)), np.abs(mean - np.median(mean))
    alive = std > constant
    typical = float(np.median(std[alive])) if alive.any() else 0.0
    metrics = {
        "probe/mean": float(mean.mean()),
        "probe/std": float(np.sqrt(np.square(std).mean() + mean.var())),
        "probe/crop_std": typical,
        "probe/dead_share": float((~(std > np.maximum(DEAD_STD * typical, constant))).mean()),
        "probe/offset_share": float((away > OFFSET_STDS * typical + constant).mean()),
    }
    if foreground is not None and foreground.any():
        metrics["probe/masks_lost_share"] = float((found[foreground] == 0).mean())
    return metrics


def examine(
    slices: Slices, rows: Rows, ranges: ViewRanges, intensity: Intensity, *, seed: int,
    crops: int = CROPS, labelled: bool = False,
) -> dict[str, float]:  # fmt: skip
    """Metrics of `crops` views drawn for the purpose (stream "probe"), and of the voxels they are made from.

    Args:
        labelled: render the labels too; every row must have some.

    Returns:
        probe/mean, probe/std: of all values; probe/crop_std: the typical (median) crop's s.d.
        probe/dead_share: crops that are constant, or whose s.d. is below 0.001 of the typical crop's.
        probe/offset_share: crops whose mean lies 20 typical s.d. away from the typical mean.
        probe/clipped_share: voxels of the volumes beyond the limits of the normalisation, which are 1 + 1 %.
        probe/wrapped_share: neighbours that differ as only a wrapped 16-bit cast makes them differ.
        probe/uint8_wrap_share: voxels that the original's cast to uint8 would have wrapped (F3). Nothing
        here casts, so this is a number to know, not a fault.
        probe/masks_lost_share: views without foreground, of slices that have some (only with labels).
    """
    rng = stream(seed, "probe")
    chosen = order(rows, seed=seed, step=0, batch_size=crops)
    height, width = (slices.index[name].to_numpy() for name in ("height", "width"))
    seen = []
    for piece in np.array_split(chosen, -(-crops // CHUNK)):
        params = draw(ranges, height[piece], width[piece], rng)
        labels = render_labels(slices, piece, params) if labelled else None
        seen.append(_crops(render(slices, piece, params, intensity), labels))
    foreground = slices.index["foreground"].to_numpy()[chosen] > 0 if labelled else None
    return _metrics(np.concatenate(seen), foreground) | _raw(slices, chosen, intensity)


def verdict(metrics: dict[str, float]) -> list[str]:
    """One sentence per fault, naming the flaw and the limit; empty if the input is sound."""
    m, faults = metrics, []
    # The crop's s.d., because offsets between crops (flaw F2) would hide flaw F1 in that of all values.
    if not (m["probe/crop_std"] >= STD_LOW and m["probe/std"] <= STD_HIGH):  # also when one is NaN
        faults.append(
            f"flaw F1: the typical crop's standard deviation is {m['probe/crop_std']:.4g} (all values: "
            f"{m['probe/std']:.4g}), wanted {STD_LOW:g} to {STD_HIGH:g}; "
            "intensities are scaled twice or not at all, look at norm"
        )
    if not abs(m["probe/mean"]) <= MEAN_LIMIT:
        mean = f"{m['probe/mean']:.4g}, wanted within ±{MEAN_LIMIT:g}"
        faults.append(f"flaw F1: the input's mean is {mean}; look at norm")
    for name, (limit, sentence) in SHARES.items():
        if m.get(name, 0.0) > limit:
            faults.append(sentence.format(m[name], limit))
    return faults
