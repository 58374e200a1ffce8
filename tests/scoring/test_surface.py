"""Surface distances against torchmetrics, OpenCV and brute force, SimpleITK, and shapes whose answer is known."""

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist, directed_hausdorff
from torchmetrics.functional.segmentation import hausdorff_distance

from sslseg.scoring import surface

SPACING = (5.0, 1.5, 1.25)


def ball(shape=(24, 60, 60), centre=(12, 30, 30), radius=20.0, spacing=SPACING) -> np.ndarray:
    axes = (np.arange(n) - c for n, c in zip(shape, centre, strict=True))
    grid = np.meshgrid(*axes, indexing="ij")
    return sum((g * mm) ** 2 for g, mm in zip(grid, spacing, strict=True)) <= radius**2


def random_blobs(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return tuple(
        ball((8, 20, 20), rng.integers(5, 12, 3) % (6, 20, 20), 9.0, (3.0, 1.5, 1.25))
        | (rng.random((8, 20, 20)) < 0.01)
        for _ in range(2)
    )


@pytest.mark.parametrize("seed", range(5))
def test_hausdorff_is_that_of_brute_force_over_surface_points(seed):
    a, b = random_blobs(seed)
    points = [np.argwhere(surface._surface(m)) * (3.0, 1.5, 1.25) for m in (a, b)]
    expected = max(directed_hausdorff(*points)[0], directed_hausdorff(*points[::-1])[0])
    between = np.linalg.norm(points[0][:, None] - points[1][None], axis=2)
    there, back = between.min(axis=1), between.min(axis=0)
    got = surface.distances(a, b, (3.0, 1.5, 1.25))
    assert got.hd == pytest.approx(expected)
    assert got.hd95 == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert got.assd == pytest.approx((there.sum() + back.sum()) / (len(there) + len(back)))
    assert got == pytest.approx(surface.distances(b, a, (3.0, 1.5, 1.25)))


def test_hausdorff_is_torchmetrics_in_the_plane():
    """torchmetrics takes the surface of a plane as the voxels that are not wholly inside, as here."""
    a, b = (m[4] for m in random_blobs(1))
    one_hot = [torch.from_numpy(np.stack([~m, m])[None]) for m in (a, b)]
    expected = hausdorff_distance(*one_hot, num_classes=2, spacing=[1.5, 1.25])
    assert surface.distances(a, b, (1.5, 1.25)).hd == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_distances_are_those_of_simpleitk(seed):
    sitk = pytest.importorskip("SimpleITK", reason="the extra for NRRD is not installed")
    a, b = random_blobs(seed)
    a, b = (np.pad(m, 1) for m in (a, b))  # its contour does not take the image's edge for a border
    images = [sitk.GetImageFromArray(m.astype(np.uint8)) for m in (a, b)]
    for image in images:
        image.SetSpacing((1.25, 1.5, 3.0))
    contours = [sitk.LabelContour(image) for image in images]
    lengths = []
    for origin, goal in (contours, contours[::-1]):
        field = sitk.SignedMaurerDistanceMap(goal, squaredDistance=False, useImageSpacing=True)
        field = np.abs(sitk.GetArrayFromImage(field))
        lengths.append(field[sitk.GetArrayFromImage(origin) > 0])
    both = np.concatenate(lengths)
    got = surface.distances(a, b, (3.0, 1.5, 1.25))
    assert got.hd == pytest.approx(both.max(), rel=1e-5)
    assert got.assd == pytest.approx(both.mean(), rel=1e-5)


def contour(mask: np.ndarray) -> np.ndarray:
    """(row, column) of the border pixels of a picture, holes and single pixels included, as OpenCV follows them."""
    lines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return np.unique(np.concatenate([line[:, 0, ::-1] for line in lines]), axis=0)


def brute_force(first: np.ndarray, second: np.ndarray) -> tuple[float, float, float]:
    between = cdist(first, second)
    there, back = between.min(axis=1), between.min(axis=0)
    hd95 = max(np.percentile(there, 95), np.percentile(back, 95))
    return max(there.max(), back.max()), hd95, np.concatenate([there, back]).mean()


@pytest.mark.parametrize("seed", range(4))
def test_pictures_are_measured_between_contours_that_opencv_finds(seed):
    a, b = (m.any(axis=0) for m in random_blobs(seed))
    points = [contour(m) * (1.5, 1.25) for m in (a, b)]
    for got in (
        surface.distances(a, b, (1.5, 1.25)),
        surface.distances(a[None], b[None], (9.0, 1.5, 1.25), in_plane=True),
    ):
        assert got == pytest.approx(brute_force(*points))


@pytest.mark.parametrize("seed", range(4))
def test_stacks_in_plane_are_measured_between_the_contours_of_all_slices(seed):
    a, b = random_blobs(seed)
    points = []
    for mask in (a, b):
        found = [(z, contour(part)) for z, part in enumerate(mask) if part.any()]
        stacked = [np.column_stack([np.full(len(p), z), p]) for z, p in found]
        points.append(np.concatenate(stacked) * (3.0, 1.5, 1.25))
    got = surface.distances(a, b, (3.0, 1.5, 1.25), in_plane=True)
    assert got == pytest.approx(brute_force(*points))


def test_a_stack_of_equal_pictures_has_the_distances_of_one():
    y, x = np.mgrid[:160, :160]
    a, b = (np.hypot(y - 80, x - centre) <= 60 for centre in (72, 80))
    one = surface.distances(a, b, (1.0, 1.0))
    assert (one.hd, one.hd95) == (8.0, 8.0)
    assert one.assd == pytest.approx(4.87, abs=0.005)
    for many in (1, 2, 7):
        stacks = (np.repeat(m[None], many, axis=0) for m in (a, b))
        assert surface.distances(*stacks, (5.0, 1.0, 1.0), in_plane=True) == pytest.approx(one)


def test_balls_inside_each_other_are_their_radii_apart():
    fine = {"shape": (46, 58, 76), "centre": (23, 29, 38), "spacing": (1.0, 0.8, 0.6)}
    got = surface.distances(ball(radius=20.0, **fine), ball(radius=14.0, **fine), fine["spacing"])
    for value in got:
        assert value == pytest.approx(6.0, abs=1.0)  # mm; the longest step of the grid is 1


def test_a_cube_moved_along_an_axis_is_that_far_away():
    a, b = (np.zeros((12, 30, 30), bool) for _ in range(2))
    a[2:8, 5:15, 5:15], b[2:8, 12:22, 5:15] = True, True
    assert surface.distances(a, b, SPACING).hd == pytest.approx(7 * 1.5)
    assert surface.distances(a, a, SPACING) == (0.0, 0.0, 0.0)


def test_distances_scale_with_the_spacing_and_stay_below_the_diagonal():
    a, b = random_blobs(2)
    one, two = (np.array(surface.distances(a, b, np.multiply((3.0, 1.5, 1.25), k))) for k in (1, 2))
    np.testing.assert_allclose(two, 2 * one)
    a, b = (np.zeros((4, 9, 7), bool) for _ in range(2))
    a[0, 0, 0] = b[-1, -1, -1] = True
    assert surface.distances(a, b, SPACING).hd < surface.diagonal(a.shape, SPACING)
    assert surface.diagonal((2, 3), (2.0, 1.0)) == 5.0


def test_an_empty_mask_has_no_distance():
    for masks in ((ball(), np.zeros_like(ball())), (np.zeros_like(ball()), ball())):
        with pytest.raises(ValueError, match="one is empty"):
            surface.distances(*masks, SPACING)
