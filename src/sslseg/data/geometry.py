"""Where the voxels of two files lie, as their headers say: one rule for every format.

A mask, or a further channel, that is stored mirrored or with its axes in another order, and whose header says
so, is brought onto the grid of its image. That is exact. Any other difference is refused: voxels would have to
be made up. Headers are rounded in many ways, so that nearly equal is equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from nibabel.orientations import apply_orientation

from sslseg.config.names import DataError

Shape = tuple[int, int, int]
# what headers of one grid are seen to differ by: 32-bit numbers, and lengths rounded to four digits
SPACING = 1e-3  # share of a voxel's size
DIRECTION = 1e-3  # of a direction cosine
PLACE = 0.05  # voxels between the first of both
REMEDY = "bring it onto the image's grid, or write it again with the image's header"


@dataclass(frozen=True, eq=False)
class Grid:
    """The grid of one file; axes in the order x, y, z of the file."""

    file: Path
    shape: Shape
    spacing: tuple[float, float, float]  # of a voxel, mm
    # Each way in which the header says where the voxels lie: name -> 4 x 4 matrices, voxel to mm (right, anterior,
    # superior). Several of a name are readings of one statement. {} where the header says nothing of it.
    forms: Mapping[str, tuple[np.ndarray, ...]] = field(default_factory=dict)


# How an array goes over into another grid: [3, 3] of 0, 1 and -1; what its axes (columns) are along the others' (rows).
Turn = np.ndarray


def onto(array: np.ndarray, theirs: Grid | None, ours: Grid | None) -> np.ndarray:
    """Bring `array` […, Z, Y, X] of the file `theirs` onto the grid `ours`, its axes turned and mirrored.

    The shape is the caller's to check. Nothing is done where a file says nothing of its place (None: a picture).

    Raises:
        DataError: the grids differ otherwise, or the header contradicts itself.
    """
    if theirs is None or ours is None or sorted(theirs.shape) != sorted(ours.shape):
        return array
    turn = _turn(theirs, ours)
    if theirs.forms or set(theirs.spacing) != {1.0}:  # what a file has that was written without a header
        sizes = np.abs(turn) @ theirs.spacing, np.array(ours.spacing)
        if said := _other_size(*sizes, ours.shape):
            raise DataError(f"{theirs.file}: lies elsewhere than {ours.file}: {said}; {REMEDY}")
    to = np.stack([np.abs(turn).argmax(axis=0), turn.sum(axis=0)], axis=1)
    return np.ascontiguousarray(apply_orientation(array.T, to).T)  # arrays count z, y, x; grids x, y, z


def _turn(theirs: Grid, ours: Grid) -> Turn:
    """The one turn that the headers agree on.

    Raises:
        DataError: there is none, or two statements of a header want different ones.
    """
    if not theirs.forms or not ours.forms:
        return np.eye(3)
    found = {name: _match(name, theirs, ours) for name in theirs.forms}
    first, *others = found  # an sform before a qform: it can say more, a qform is often a leftover
    turn = found[first]
    if isinstance(turn, str):
        raise DataError(f"{theirs.file}: lies elsewhere than {ours.file}: {turn}; {REMEDY}")
    if any(isinstance(found[name], Turn) and not np.array_equal(found[name], turn) for name in others):
        both = f"{first} and {' and '.join(others)} of its header contradict each other"
        one = f"one says that its voxels are mirrored or turned against {ours.file.name}, the other that they are not"
        raise DataError(f"{theirs.file}: {both}: {one}; {REMEDY}")
    return turn


def _match(name: str, theirs: Grid, ours: Grid) -> Turn | str:
    """The turn by a statement of theirs; or what differs from our statement of that name, or else from our first."""
    names, said = [name, *(n for n in ours.forms if n != name)], ""
    for a, b in ((a, b) for n in names for a in theirs.forms[name] for b in ours.forms.get(n, ())):
        turn = _exact(a, b, theirs.shape, ours.shape)
        if isinstance(turn, Turn):
            return turn
        said = said or turn
    return said


def _exact(a: np.ndarray, b: np.ndarray, theirs: Shape, ours: Shape) -> Turn | str:
    """The turn that carries the voxels of matrix `a` onto those of `b`; or, in words, why there is none."""
    if theirs == ours and np.array_equal(a, b):  # as most masks lie
        return np.eye(3)
    sizes = [np.linalg.norm(m[:3, :3], axis=0) for m in (a, b)]
    relation = np.linalg.solve(b[:3, :3] / sizes[1], a[:3, :3] / sizes[0])
    turn = np.rint(relation)
    if (np.abs(relation - turn) > DIRECTION).any() or (np.abs(turn).sum(axis=0) != 1).any():
        return "its axes are turned by an angle, not a quarter-turn or none"
    if said := _other_size(np.abs(turn) @ sizes[0], sizes[1], ours):
        return said
    backwards = turn.sum(axis=1) < 0
    first = np.linalg.solve(b[:3, :3], a[:3, 3] - b[:3, 3])
    if (np.abs(first - np.where(backwards, np.array(ours) - 1, 0)) > PLACE).any():
        runs = [axis for axis, other in zip("xyz", backwards, strict=True) if other]
        way = f", and it runs the other way along the image's {' and '.join(runs)}" if runs else ""
        return f"its first voxel lies at {_mm(a[:3, 3])} mm, the image's at {_mm(b[:3, 3])} mm{way}"
    return turn


def _other_size(got: np.ndarray, wanted: np.ndarray, shape: Shape) -> str:
    """How two voxel sizes differ along the axes that have more than one voxel; "" where they are nearly equal."""
    if (np.abs(got / wanted - 1) <= SPACING)[np.array(shape) > 1].all():
        return ""
    return f"voxels of {_mm(got)} mm (x, y, z), not {_mm(wanted)} mm"


def near(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether two voxel sizes are equal but for rounding."""
    return bool((np.abs(np.array(a) / np.array(b) - 1) <= SPACING).all())


def _mm(values: np.ndarray) -> str:
    return " x ".join(f"{v:.7g}" for v in values)


def usable(matrix: np.ndarray) -> bool:
    """Whether a matrix of a header says where voxels lie: finite numbers, three axes that span space."""
    if not np.isfinite(matrix).all():
        return False
    steps = np.linalg.norm(matrix[:3, :3], axis=0)
    return bool((steps > 0).all() and abs(np.linalg.det(matrix[:3, :3] / steps)) > 1e-3)
