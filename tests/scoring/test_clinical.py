"""Volumes, ejection fractions and mass from scored rows: known answers, agreement, ACDC's own table."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from sslseg.data.source import Published
from sslseg.datasets.hearts import acdc
from sslseg.scoring import clinical, volumes

CLASSES = ("background", "RV", "MYO", "LV")
SPACING = (10.0, 2.0, 2.5)  # 0.05 ml a voxel


def ends(values: np.ndarray, score: str) -> tuple[float, float]:
    """Stands for an interval: the least and the greatest, of two patients or more."""
    return (values.min(), values.max()) if len(values) > 1 else (np.nan, np.nan)


def volume(lv: int, rv: int = 100, myo: int = 80) -> np.ndarray:
    """A mask with so many voxels of each class."""
    flat = np.zeros(4 * 30 * 40, np.uint8)
    flat[: lv + rv + myo] = np.repeat([3, 1, 2], [lv, rv, myo])
    return flat.reshape(4, 30, 40)


def cohort(pairs: dict[str, tuple[tuple[int, int], tuple[int, int]]]) -> pd.DataFrame:
    """patient -> voxels of the LV (truth, prediction) at ED and at ES."""
    rows = []
    for patient, phases in pairs.items():
        for phase, frame, (truth, prediction) in zip(("ED", "ES"), (1, 9), phases, strict=True):
            place = {"patient": patient, "phase": phase, "frame": frame}
            found = volumes.score(volume(truth), volume(prediction), SPACING, CLASSES)
            rows += [place | row for row in found]
    return pd.DataFrame(rows)


def quantity(measured: pd.DataFrame, name: str) -> pd.DataFrame:
    return measured[measured["quantity"] == name].set_index("patient")


def test_quantities_of_one_patient():
    measured = clinical.measure(cohort({"p1": ((2000, 1800), (800, 900))})).set_index("quantity")
    expected = {"LV EDV": (100, 90), "LV ESV": (40, 45), "LV SV": (60, 45), "LV EF": (60, 50),
                "RV EF": (0, 0), "MYO ED mass": (80 * 0.05 * 1.05,) * 2, "MYO ESV": (4, 4)}  # fmt: skip
    for name, pair in expected.items():
        assert tuple(measured.loc[name, ["truth", "prediction"]]) == pytest.approx(pair), name
        assert measured.loc[name, "error"] == pytest.approx(pair[1] - pair[0])
    assert not measured["worst_case"].any()
    none = clinical.measure(cohort({"p1": ((0, 0), (800, 900))})).set_index("quantity")
    assert none.loc["LV EF", ["truth", "error"]].isna().all()  # no cavity at ED in either mask
    assert "LV EF" not in clinical.agreement(none.reset_index(), ends)["quantity"].tolist()


@pytest.mark.parametrize(
    ("ed", "es", "missed"), [((2000, 0), (800, 800), "EDV"), ((2000, 2000), (800, 0), "ESV")]
)
def test_a_missed_cavity_is_the_worst_ejection_fraction_and_is_counted(ed, es, missed):
    measured = clinical.measure(cohort({"p1": (ed, es), "p2": ((2000, 1900), (1600, 1600))}))
    fraction = quantity(measured, "LV EF")
    assert fraction.loc["p1", "prediction"] == 0  # the truth is 60 %
    assert fraction["worst_case"].tolist() == [True, False]
    told = measured.loc[measured["worst_case"], "quantity"].tolist()
    assert told == [f"LV {missed}", "LV SV", "LV EF"]
    found = clinical.agreement(measured, ends).set_index("quantity")
    assert found.loc["LV EF", "worst_cases"] == 1
    assert found.loc["LV EF", "patients"] == 2
    assert found["r"].isna().all()  # two patients are always on a line


def test_a_muscle_that_is_missed_at_es_leaves_its_mass():
    table = cohort({"p1": ((2000, 1800), (800, 900))})
    table.loc[(table["class"] == "MYO") & (table["phase"] == "ES"), "status"] = "missed"
    measured = clinical.measure(table)
    assert measured.loc[measured["worst_case"], "quantity"].tolist() == ["MYO ESV"]


def test_a_missed_cavity_of_a_weak_heart_is_as_far_off_as_can_be():
    measured = clinical.measure(cohort({"p1": ((2000, 0), (1600, 1600))}))
    assert quantity(measured, "LV EF").loc["p1", "error"] == pytest.approx(80)


def test_an_impossible_fraction_is_drawn_to_the_bound():
    measured = clinical.measure(cohort({"p1": ((2000, 500), (800, 2000))}))
    assert quantity(measured, "LV EF").loc["p1", "prediction"] == 0


def test_agreement_is_bland_and_altmans_and_numpys():
    rng = np.random.default_rng(0)
    pairs = {
        f"p{n}": ((int(a), int(a + rng.integers(-90, 60))), (900 + n, 900))
        for n, a in enumerate(rng.integers(1500, 3000, 12))
    }
    measured = clinical.measure(cohort(pairs))
    found = clinical.agreement(measured, ends).set_index("quantity")
    assert np.isnan(found.loc["LV ESV", "r"])  # of which all predictions are equal
    row = found.loc["LV EDV"]
    part = quantity(measured, "LV EDV")
    error = (part["prediction"] - part["truth"]).to_numpy()
    assert row["bias"] == pytest.approx(error.mean())
    limits = error.mean() + np.array([-1.96, 1.96]) * error.std(ddof=1)
    assert (row["lower"], row["upper"]) == pytest.approx(tuple(limits))
    assert row["r"] == pytest.approx(stats.pearsonr(part["truth"], part["prediction"]).statistic)
    assert row["mae"] == pytest.approx(np.abs(error).mean())
    assert (row["mae_low"], row["mae_high"]) == pytest.approx((np.abs(error).min(), np.abs(error).max()))


def test_one_patient_has_no_interval_and_a_patient_without_es_no_quantities():
    table = cohort({"p1": ((2000, 1900), (800, 900)), "p2": ((2000, 1900), (800, 900))})
    table = table[~((table["patient"] == "p2") & (table["phase"] == "ES"))]
    found = clinical.agreement(clinical.measure(table), ends)
    assert (found["patients"] == 1).all()
    assert found[["sd", "lower", "r", "mae_low"]].isna().all(axis=None)


def test_whether_there_is_a_heart_is_read_from_the_data():
    assert clinical.applies(CLASSES, {"ED", "ES", ""})
    assert not clinical.applies(CLASSES, {""})
    assert not clinical.applies(CLASSES, {"ED"})
    assert not clinical.applies(("background", "liver"), {"ED", "ES"})


def test_acdc_table_has_the_scripts_header_order_and_decimals():
    table = cohort({"patient010": ((2000, 1800), (800, 900)), "patient2": ((100, 0), (40, 40))})
    lines = clinical.acdc_csv(table).splitlines()
    assert lines[0] == (
        "Name,Dice LV,Volume LV,Err LV(ml),Dice RV,Volume RV,Err RV(ml),Dice MYO,Volume MYO,Err MYO(ml)"
    )
    assert [line.split(",")[0] for line in lines[1:]] == [
        "patient2_ED", "patient2_ES", "patient010_ED", "patient010_ES"
    ]  # fmt: skip
    assert lines[1].startswith("patient2_ED,0.000,0.000,-5.000,")
    assert lines[3].startswith(f"patient010_ED,{2 * 1800 / 3800:.3f},90.000,-10.000,")


@pytest.mark.parametrize(("mean", "sd"), [(0.0, 1.0), (-0.476, 3.114), (5.0, 0.5)])
def test_the_mean_absolute_error_of_normal_errors(mean: float, sd: float):
    assert clinical.folded(mean, sd) == pytest.approx(stats.foldnorm.mean(abs(mean) / sd, scale=sd))


def test_published_figures_stand_below_ours_of_the_same_quantity():
    table = cohort({f"patient{n:03d}": ((2000, 2000), (800, 800 + n)) for n in range(1, 5)})
    found = clinical.agreement(clinical.measure(table), ends)
    printed = [Published("LV EF", "someone", "elsewhere", 50, 0.99, -0.5, 3.0, "a paper")]
    shown = clinical.beside(found, printed)
    assert shown["who"].tolist() == ["this run", "someone"]
    assert shown["mae"].iloc[0] == found.set_index("quantity")["mae"]["LV EF"]
    assert shown["mae"].iloc[1] == pytest.approx(2.427, abs=1e-3)
    assert clinical.beside(found, []).empty
    known = {row.quantity for row in acdc.PUBLISHED}
    assert known <= set(found["quantity"]) | {"RV EF", "MYO ED mass"}


def test_two_volumes_of_a_phase_count_by_their_mean_and_have_a_line_each():
    rows = [("ED", 1, 100.0, 90.0, "found"), ("ED", 2, 120.0, 0.0, "missed"), ("ES", 7, 40.0, 40.0, "found")]
    table = pd.DataFrame(
        [{"patient": "p", "frame": frame, "phase": phase, "class": "LV", "truth_ml": truth, "prediction_ml": told,
          "error_ml": told - truth, "dice": 0.5, "status": status} for phase, frame, truth, told, status in rows]
    )  # fmt: skip
    found = clinical.measure(table).set_index("quantity")
    assert found.loc["LV EDV", ["truth", "prediction"]].tolist() == [110.0, 45.0]
    assert found.loc["LV EF", ["truth", "prediction"]].tolist() == [pytest.approx(100 * 70 / 110), 0.0]
    assert found["worst_case"].to_dict() == {"LV EDV": True, "LV ESV": False, "LV SV": True, "LV EF": True}
    visits = pd.concat([table.assign(visit="1", status="found"), table.assign(visit="2")])
    assert clinical.measure(visits).set_index("quantity")["worst_case"].equals(found["worst_case"])
    lines = clinical.acdc_csv(table).splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["p_ED", "p_ED_frame02", "p_ES"]
