"""What features say by themselves: where a slice lies, how views of it agree, how like another encoder's they are."""

import numpy as np

NEIGHBOURS = 5  # [H]
HEAT = 2.0  # t of uniformity (Wang and Isola 2020, eq. 2)


def unit(features: np.ndarray) -> np.ndarray:
    """Features [N, F] of length 1; of length 0 they stay."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)


def nearest_mean(
    known: np.ndarray, values: np.ndarray, asked: np.ndarray, neighbours: int = NEIGHBOURS
) -> np.ndarray:
    """Mean of the values [N] of the nearest of `known` [N, F], by cosine, for each of `asked` [M, F]: [M]."""
    likeness = unit(asked) @ unit(known).T
    count = min(neighbours, len(known))
    places = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
    return np.asarray(values)[places].mean(axis=1)


def alignment(one: np.ndarray, other: np.ndarray) -> float:
    """Mean squared distance of two views of a slice on the unit sphere: 0 to 4, 0 = the same (Wang and Isola, eq. 1)."""
    return float(np.square(unit(one) - unit(other)).sum(axis=1).mean())


def uniformity(features: np.ndarray) -> float:
    """log of the mean of exp(-2 d²) over pairs of slices on the unit sphere: 0 at collapse, lower = more spread.

    Source: Wang and Isola 2020, eq. 2, over different slices.
    """
    z = unit(features)
    apart = np.square(z[:, None] - z[None]).sum(axis=2)[np.triu_indices(len(z), 1)]
    return float(np.log(np.exp(-HEAT * apart).mean()))


def cka(one: np.ndarray, other: np.ndarray) -> float:
    """Linear centred kernel alignment of features [N, F] and [N, G] of the same slices: 0 to 1.

    1 = the same up to rotation, scale and shift; NaN where one does not vary. Source: Kornblith et al. 2019, eq. 3.
    """
    a, b = (x.astype(np.float64) - x.mean(axis=0, dtype=np.float64) for x in (one, other))
    left, right = a @ a.T, b @ b.T  # [N, N]: slices are fewer than features
    size = np.linalg.norm(left) * np.linalg.norm(right)
    return float((left * right).sum() / size) if size > 0 else float("nan")
