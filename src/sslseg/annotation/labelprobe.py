"""What annotated slices are worth without training: a ridge regression on a frozen encoder.

Cells of GRID x GRID a slice; their features are the encoder's stages, resampled to the grid, in their
principal components, and where the cell lies; their targets are the shares of the classes. It is no
segmentation to be used. It ranks sets of slices in a hundredth of the time of a fine-tuning.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sslseg.config.names import EncoderError
from sslseg.scoring.pixels import confusion, iou, mean
from sslseg.training.losses import IGNORE

GRID = 24  # cells a side; all constants here are [H]
COMPONENTS = 128  # of the standardised features
BUMPS = 5  # a side: Gaussians over the slice that say where a cell lies
PLACES = BUMPS**2 + 1  # last columns of what `projection` gives: these, and ones
RIDGE = 1e4  # on standardised features, every class of the same weight, a cell 1 on average
LEAST_SHARE = 1e-4  # of a class, so that a rare one does not outweigh all
BATCH = 32  # slices


def batched(do: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    """What `do` makes of all rows, so many at a time."""
    return np.concatenate([do(rows[start : start + BATCH]) for start in range(0, len(rows), BATCH)])


def see(net: nn.Module, images: Tensor) -> np.ndarray:
    """float16 [B, GRID², F]: every stage of the encoder that halves the image twice or more.

    Args:
        images: float32 [B, C, S, S].

    Raises:
        EncoderError: timm cannot show the stages of this network.
    """
    maps_of = getattr(net, "forward_intermediates", None)
    if maps_of is None:
        raise EncoderError(f"{type(net).__name__}: timm does not show its stages; simulate_with=finetune")
    stages = maps_of(images, intermediates_only=True)
    deep = [stage for stage in stages if stage.shape[-1] <= images.shape[-1] // 4] or stages[-1:]
    maps = [functional.interpolate(s.float(), (GRID, GRID), mode="bilinear", antialias=True) for s in deep]
    return torch.cat(maps, 1).flatten(2).transpose(1, 2).half().cpu().numpy()


# what `see` gave -> float32 [N, GRID², P + Q]: principal components, and where in its slice a cell lies; last, ones
Projection = Callable[[np.ndarray], np.ndarray]


def projection(seen: np.ndarray) -> Projection:
    """Principal components of standardised features [N, GRID², F]."""
    flat = seen.reshape(-1, seen.shape[-1]).astype(np.float32)
    average, width = flat.mean(axis=0), flat.std(axis=0) + np.float32(1e-6)
    _, vectors = np.linalg.eigh(np.cov(((flat - average) / width).T.astype(np.float64)))
    basis, where = vectors[:, ::-1][:, :COMPONENTS].astype(np.float32), _where()

    def project(seen: np.ndarray) -> np.ndarray:
        inner = ((seen.astype(np.float32) - average) / width) @ basis
        return np.concatenate([inner, np.broadcast_to(where, (len(seen), *where.shape))], axis=2)

    return project


def _where() -> np.ndarray:
    """float32 [GRID², PLACES], standardised, and a column of ones."""
    y, x = np.mgrid[0:GRID, 0:GRID] / (GRID - 1) * 2 - 1
    centres = np.linspace(-1, 1, BUMPS)
    bumps = [np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * 0.35**2)).ravel() for a in centres for b in centres]
    held = np.stack(bumps, axis=1)
    held = (held - held.mean(axis=0)) / held.std(axis=0)
    return np.concatenate([held, np.ones((len(held), 1))], axis=1).astype(np.float32)


def shares(labels: np.ndarray, classes: int) -> np.ndarray:
    """float32 [B, GRID², K], the share of each class in a cell; unknown pixels are in none."""
    truth = torch.from_numpy(labels.astype(np.int64))
    hot = functional.one_hot(torch.where(truth == IGNORE, classes, truth), classes + 1)[..., :classes]
    cells = functional.adaptive_avg_pool2d(hot.permute(0, 3, 1, 2).float(), GRID)
    return cells.flatten(2).transpose(1, 2).numpy()


def fit(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """float32 [D, K]: ridge regression of `targets` [N, GRID², K] on `features` [N, GRID², D]."""
    x, y = features.reshape(-1, features.shape[-1]), targets.reshape(-1, targets.shape[-1])
    weight = (y / np.maximum(y.mean(axis=0), LEAST_SHARE)).sum(axis=1)
    weighted = x * (weight / max(weight.mean(), np.finfo(np.float32).tiny))[:, None]
    penalty = np.full(x.shape[1], RIDGE)
    penalty[-1] = 1e-3  # the column of ones is not shrunk
    normal = (weighted.T @ x).astype(np.float64) + np.diag(penalty)
    return np.linalg.solve(normal, (weighted.T @ y).astype(np.float64)).astype(np.float32)


def score(weights: np.ndarray, features: np.ndarray, labels: np.ndarray) -> float:
    """Mean over foreground classes of the mean IoU over slices, as validation counts it.

    Args:
        features: [N, GRID², D]; labels: uint8 [N, S, S].
    """
    counts, classes = [], weights.shape[1]
    for start in range(0, len(features), BATCH):
        cells = torch.from_numpy(features[start : start + BATCH] @ weights)
        maps = cells.transpose(1, 2).unflatten(2, (GRID, GRID))
        truth = torch.from_numpy(labels[start : start + BATCH])
        grown = functional.interpolate(maps, truth.shape[1:], mode="bilinear", align_corners=False)
        counts.append(confusion(truth, grown.argmax(1), classes))
    per_slice = iou(torch.cat(counts).numpy())
    return mean(np.array([mean(per_slice[:, k]) for k in range(1, classes)]))
