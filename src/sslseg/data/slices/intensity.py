"""From stored codes to what a network sees, as one clip and one affine per slice.

Three normalisations, the same for every pipeline of a comparison:
dataset     clip to the volume's [p1, p99], map that to [0, 1], z-score with mean and sd of train
encoder     the same mapping, then the mean and sd an imported encoder was trained under
paper-code  (v - mean * 255) / (sd * 255), no clip: the original's double scaling, flaw F1
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from sslseg.config.names import DataError
from sslseg.data.slices.encode import CODE_MAX, CODE_MIN
from sslseg.data.slices.slice_store import Rows, Slices

# SSL-MedSeg DATASET_MEAN and DATASET_STD, from all labelled frames of ACDC; × 255 because
# albumentations multiplies both by max_pixel_value.
PAPER_MEAN, PAPER_SD, PAPER_SCALE = 67.27297657740893, 84.6606962344396, 255.0


@dataclass(frozen=True)
class Intensity:
    """How intensities become numbers for a network."""

    kind: str  # "dataset", "encoder" or "paper-code"
    # one a channel (or one for all), of the [0, 1]-mapped values; "paper-code" does not read them
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for name in ("mean", "std"):  # one number stands for one that all channels share
            values = np.atleast_1d(np.asarray(getattr(self, name), np.float64))
            object.__setattr__(self, name, tuple(values.tolist()))
        if self.kind not in ("dataset", "encoder", "paper-code"):
            raise DataError(f"normalisation: wanted dataset, encoder or paper-code, got {self.kind!r}")
        if not all(np.isfinite(self.mean)) or not all(s > 0 and np.isfinite(s) for s in self.std):
            raise DataError(f"normalisation: wanted finite means, positive sds, got {self.mean}, {self.std}")

    def affine(self, slices: Slices, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """low, high, scale, offset, float32 [B, C] each, in units of the codes.

        The network's input is `clip(code, low, high) * scale + offset`. A volume of one single
        value gets scale 0: it maps to the value of 0.
        """
        volume = slices.index["volume"].to_numpy()[np.asarray(rows, np.int64)]
        step, zero, p1, p99 = (slices.volumes[k][volume] for k in ("scale", "intercept", "p1", "p99"))
        return self.affine_of(step, zero, p1, p99)

    def affine_of(
        self, scale: np.ndarray, intercept: np.ndarray, p1: np.ndarray, p99: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """`affine` from the four arrays [B, C] of volumes that are in no store (prediction)."""
        if self.kind == "paper-code":
            low, high = np.full_like(scale, CODE_MIN), np.full_like(scale, CODE_MAX)
            gain = scale / (PAPER_SD * PAPER_SCALE)
            offset = (intercept - PAPER_MEAN * PAPER_SCALE) / (PAPER_SD * PAPER_SCALE)
        else:
            mean, sd = (self._channels(v, scale.shape[1]) for v in (self.mean, self.std))
            low, high = (p1 - intercept) / scale, (p99 - intercept) / scale
            width = np.where(high > low, high - low, np.inf)
            gain = 1.0 / (width * sd)
            offset = -low * gain - mean / sd
        f4 = np.float32
        return low.astype(f4), high.astype(f4), gain.astype(f4), offset.astype(f4)

    @staticmethod
    def _channels(values: tuple[float, ...], channels: int) -> np.ndarray:
        if len(values) not in (1, channels):
            raise DataError(f"normalisation: wanted 1 or {channels} values, one a channel, got {values}")
        return np.broadcast_to(np.array(values, np.float64), channels)

    def to_json(self) -> dict[str, Any]:
        """Plain values, for config.json."""
        return {"kind": self.kind, "mean": list(self.mean), "std": list(self.std)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The normalisation that `to_json` wrote. Raises DataError: it did not write this."""
        try:
            return cls(value["kind"], tuple(value["mean"]), tuple(value["std"]))
        except (KeyError, TypeError, ValueError):
            wanted = "wanted kind, mean and std as a stored network has them"
            raise DataError(f"normalisation: {wanted}, got {str(value)[:200]}") from None


UNIT = Intensity("dataset", (0.0,), (1.0,))  # clipped, and mapped to 0 to 1: as colours are
# of lightness from 0 to 1; [H] its range is two s.d. to both sides
GREY = Intensity("dataset", (0.5,), (0.25,))


def fit(slices: Slices, train_rows: Rows) -> Intensity:
    """The "dataset" normalisation: mean and sd per channel of the clipped, [0, 1]-mapped train pixels.

    Raises:
        DataError: no rows, or not two different values in them.
    """
    rows = np.asarray(train_rows, np.int64)
    if not len(rows):
        raise DataError(f"{slices.dataset}: wanted train slices to take mean and sd from, got none")
    low, high, scale, offset = (a.astype(np.float64) for a in Intensity("encoder").affine(slices, rows))
    count, first, second = 0, np.zeros(slices.channels), np.zeros(slices.channels)
    for i, row in enumerate(rows.tolist()):
        flat = slices.codes(row).reshape(slices.channels, -1).astype(np.float64)
        mapped = np.clip(flat, low[i, :, None], high[i, :, None]) * scale[i, :, None] + offset[i, :, None]
        count += mapped.shape[1]
        first += mapped.sum(axis=1)
        second += np.square(mapped).sum(axis=1)
    mean = first / count
    sd = np.sqrt(np.maximum(second / count - mean**2, 0.0))
    if not (sd > 0).all():
        raise DataError(f"{slices.dataset}: the {len(rows)} train slices hold one single value")
    return Intensity("dataset", tuple(mean.tolist()), tuple(sd.tolist()))
