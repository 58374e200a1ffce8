"""Volumes from planes: an ellipsoid's is known, and so is its ejection fraction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sslseg.scoring import clinical, simpson, volumes

CLASSES = ("background", "MYO", "LV", "LA")
SPACING = (0.4, 0.3)


def view(long: float, short: float, angle: float, shape=(420, 420)) -> np.ndarray:
    """Class numbers [Y, X]: an ellipse of half axes in mm, and an atrium below the foot of its long axis."""
    y, x = (np.indices(shape) - np.array(shape)[:, None, None] // 2) * np.array(SPACING)[:, None, None]
    along, across = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
    out = np.zeros(shape, np.uint8)
    out[(along / long) ** 2 + (across / short) ** 2 <= 1.3] = 1
    out[((along - long - 8) / 8) ** 2 + (across / 12) ** 2 <= 1] = 3
    out[(along / long) ** 2 + (across / short) ** 2 <= 1] = 2
    return out


def ellipsoid(a: float, b: float, c: float) -> float:
    return 4 / 3 * np.pi * a * b * c * 1e-3


@pytest.mark.parametrize("angle", [0.0, 0.3, -0.8])
@pytest.mark.parametrize("atrium", [True, False])
def test_an_ellipsoid_has_its_volume(angle: float, atrium: bool):
    planes = []
    for short in (22.0, 18.0):
        numbers = view(40.0, short, angle)
        planes.append(simpson.plane(numbers == 2, SPACING, numbers == 3 if atrium else None))
    assert planes[0].length == pytest.approx(80, rel=0.02)
    assert simpson.millilitres(planes[:1]) == pytest.approx(ellipsoid(40, 22, 22), rel=0.03)
    assert simpson.millilitres(planes) == pytest.approx(ellipsoid(40, 22, 18), rel=0.03)


def test_no_ventricle_no_volume():
    empty = np.zeros((9, 9), bool)
    assert simpson.plane(empty, SPACING) is None
    assert simpson.millilitres([None, simpson.plane(~empty, SPACING)]) == 0.0
    assert simpson.millilitres([simpson.plane(np.eye(1, dtype=bool), SPACING)]) > 0


def test_the_longer_of_two_views_is_the_height():
    views = [
        simpson.Plane(length, np.full(simpson.DISCS, width)) for length, width in ((80.0, 30.0), (60.0, 20.0))
    ]
    for planes in (views, views[::-1]):
        assert simpson.millilitres(planes) == pytest.approx(np.pi / 4 * 30 * 20 * 80e-3)


@pytest.mark.parametrize(("pixel", "gap"), [(3.0, 0), (0.4, 4)])
def test_the_valve_is_within_two_millimetres_or_a_pixel_of_the_atrium(pixel: float, gap: int):
    ventricle, atrium = np.zeros((2, 12, 9), bool)
    ventricle[:3], atrium[3 + gap :] = True, True
    found = simpson._valve(np.argwhere(ventricle) * pixel, (pixel, pixel), atrium)
    assert found == pytest.approx((2 * pixel, 4 * pixel))
    assert simpson._valve(np.argwhere(ventricle) * pixel, (pixel, pixel), atrium[:, :0]) is None


def test_a_pixel_is_as_long_as_it_is_along_the_axis():
    assert simpson.plane(np.ones((1, 4), bool), (2.0, 1.0)).length == pytest.approx(4.0)


def test_the_ejection_fraction_is_of_both_views():
    rows, cohort = [], simpson.Ventricles(CLASSES)
    for phase, long, widths in (("ED", 40.0, (22.0, 18.0)), ("ES", 32.0, (16.0, 12.0))):
        for name, short in zip(("2CH", "4CH"), widths, strict=True):
            truth = view(long, short, 0.2)[None]
            found = volumes.score(truth, truth, (1.0, *SPACING), CLASSES)
            rows += [{"patient": "p", "visit": name, "phase": phase, "frame": 1, **row} for row in found]
            cohort.add("p", phase, name, truth, truth, (1.0, *SPACING))
    table = cohort.fill(pd.DataFrame(rows))
    assert table.loc[table["class"] != "LV", "truth_ml"].isna().all()  # pixels of a plane are no millilitres
    measured = clinical.measure(table).set_index("quantity")
    end, start = ellipsoid(32, 16, 12), ellipsoid(40, 22, 18)
    assert set(measured.index) == {"LV EDV", "LV ESV", "LV SV", "LV EF"}
    assert measured.loc["LV EDV", "truth"] == pytest.approx(start, rel=0.03)
    assert measured.loc["LV EF", "truth"] == pytest.approx(100 * (1 - end / start), abs=1)
    assert measured["error"].abs().max() == 0


def test_a_patient_of_several_visits_counts_once():
    rows = [
        {"patient": "p", "visit": visit, "phase": phase, "frame": 1, "class": "LV", "status": "found",
         "truth_ml": truth, "prediction_ml": truth * bias}
        for visit, bias in (("1", 1.0), ("2", 1.2)) for phase, truth in (("ED", 100.0), ("ES", 40.0))
    ]  # fmt: skip
    rows.append(rows[0] | {"visit": "3"})  # motion has spoiled its other phase
    measured = clinical.measure(pd.DataFrame(rows)).set_index("quantity")
    assert (measured.loc["LV EDV", ["truth", "prediction", "error"]] == [100, 110, 10]).all()
    assert measured.loc["LV EF", "truth"] == 60
    assert len(measured) == 4


def test_a_single_pixel_that_touches_the_atrium_has_a_volume():
    mask = np.zeros((8, 8), bool)
    mask[3, 3] = True
    found = simpson.plane(mask, (2.0, 1.0), ~mask)
    assert found.length == 2.0
    assert (found.widths * found.length / simpson.DISCS).sum() == pytest.approx(2.0)  # mm2 of the pixel
