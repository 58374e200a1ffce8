"""Fig. 4b: evaluations joined to the fine-tunings that they score, with the values that were planted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analysis.comparison import cells, patients
from analysis.figures import fig4b_clinical
from analysis.statistics.patients import crossed
from sslseg.config import names
from tests.fixtures.planted import Planted
from tests.fixtures.planted_study import curves_of, make, runs_of

LV, MISSED = "LV ejection fraction, mean |error|", "missed or invented structures, mean over LV, RV"


def evaluation(tuned: Planted, error: float, *, models: str = "", start: int = 0, **cfg: str) -> Planted:
    """What `-e evaluate` leaves of one fine-tuning: LV EF error as given, HD95 20 and 30 mm, failures 0 and 0.1."""
    tags = {names.TAG_STAGE: names.EVALUATE, names.TAG_DATASET: "acdc", names.TAG_UPSTREAM_RUN: tuned.run_id}
    values = {"mae/LV_EF": error, "mae/LV_EF/low": error - 1, "mae/LV_EF/high": error + 2, "mae/LV_EDV": 99.0,
              "hd95_mm/LV": 20.0, "hd95_mm/LV/low": 1.0, "hd95_mm/RV": 30.0, "failure_rate/LV": 0.0,
              "failure_rate/RV": 0.1, "patients": 10.0}  # fmt: skip
    metrics = {f"evaluate/{key}": [(0, value)] for key, value in values.items()}
    texts = {"model": models or tuned.run_id, "part": "test", "mirror": "false", "largest": "false"} | cfg
    name = f"evaluate {tuned.name} {start} {texts}"
    return Planted(name, tags, texts, metrics, start=1_700_000_000_000 + start)


@pytest.fixture(scope="module")
def planted() -> list[Planted]:
    return make(("scratch", "supervised"), (3, 30), 2)


def tuned(planted: list[Planted]) -> list[Planted]:
    return [run for run in planted if "/n=" in run.name]


def test_values_stand_where_the_scored_run_stands(planted) -> None:
    scored = [evaluation(run, 5.0 + i) for i, run in enumerate(tuned(planted))]
    study = cells.study(runs_of([*planted, *scored]))
    assert len(study.runs) == 8  # a fine-tuning that was evaluated is still compared
    drawn = fig4b_clinical.data(study)
    assert set(drawn.table["measure"]) == {LV, "HD95, mean over LV, RV", MISSED}
    found = drawn.table[drawn.table["measure"] == LV].set_index("run_id")
    for i, run in enumerate(tuned(planted)):
        row = found.loc[run.run_id]
        assert (row["value"], row["low"], row["high"]) == (5 + i, 4 + i, 7 + i)
        assert (row["pipeline"], row["budget"]) == (run.tags[names.TAG_PIPELINE], int(run.cfg["budget"]))
    assert set(drawn.table.loc[drawn.table["measure"] == MISSED, "value"]) == {5.0}
    assert drawn.table.loc[drawn.table["measure"].str.startswith("HD95"), "low"].isna().all()
    assert len(drawn.runs) == 8
    assert sorted(run.run_id for run in scored) == drawn.facts["evaluations"]


def test_means_have_an_interval_for_other_seeds_and_patients(planted) -> None:
    """Planted errors of four patients; HD95 is a patient's mean over the classes that it has."""
    rng, errors, scored = np.random.default_rng(0), {}, []
    for run in tuned(planted):
        own = errors[run.run_id] = rng.uniform(2, 12, 4)
        points = {"mae/LV_EF": own, "hd95_mm/LV": own + 10, "hd95_mm/RV": [*(own[:3] + 20), np.nan],
                  "failure_rate/LV": own / 100, "failure_rate/RV": own / 100}  # fmt: skip
        made = evaluation(run, float(own.mean()))
        by_patient = {
            f"{names.EVALUATED_PATIENTS}/{key}": [
                (i, float(v)) for i, v in enumerate(values) if np.isfinite(v)
            ]
            for key, values in points.items()
        }
        scored.append(replace(made, metrics={**made.metrics, **by_patient}))
    study = cells.study(runs_of([*planted, *scored]))
    drawn = fig4b_clinical.data(study, curves_of([*planted, *scored]))
    for (measure, arm, budget), rows in drawn.table.groupby(["measure", "arm", "budget"]):
        own = np.array([errors[run_id] for run_id in rows.sort_values("seed")["run_id"]])
        expected = {
            LV: crossed(own), MISSED: crossed(own / 100, bounds=(0, 1)),
            "HD95, mean over LV, RV": crossed(own + [15.0, 15.0, 15.0, 10.0]),
        }[measure].estimate  # fmt: skip
        factor = 100 if measure == MISSED else 1
        got = rows[["mean_low", "mean_high"]].drop_duplicates()
        assert len(got) == 1, (measure, arm, budget)
        assert got.iloc[0].tolist() == pytest.approx([factor * max(expected.low, 0), factor * expected.high])
    (said,) = (note for note in drawn.notes if note.startswith("bar:"))
    assert said.startswith(
        "bar: 95 % interval of the mean for other seeds and other patients, estimated from these 10 test patients"
    )
    assert said.endswith("; it is about this encoder")


def test_only_the_newest_evaluation_of_one_model_on_test_counts(planted) -> None:
    one, other = tuned(planted)[:2]
    scored = [
        evaluation(one, 9.0),
        evaluation(one, 7.0, start=5),
        evaluation(one, 1.0, start=6, part="val"),
        evaluation(one, 2.0, start=7, models=f"{one.run_id},{other.run_id}"),
    ]
    study = cells.study(runs_of([*planted, *scored]))
    drawn = fig4b_clinical.data(study)
    values = drawn.table.loc[drawn.table["measure"] == LV, "value"].tolist()
    assert values == [7.0]
    assert "7 fine-tunings are not evaluated yet" in drawn.notes
    assert cells.study(runs_of(planted), scored=runs_of(scored)).evaluations["run_id"].tolist() == [
        scored[1].run_id
    ]


def test_patients_of_evaluations_count_where_the_fine_tunings_do_not_say(planted) -> None:
    one, other = tuned(planted)[:2]
    more = evaluation(other, 5.0)
    more = replace(more, metrics={**more.metrics, "evaluate/patients": [(0, 12.0)]})
    study = cells.study(runs_of([*planted, evaluation(one, 5.0), more]))
    assert patients.tested(study, curves_of(planted)) == 12
    assert patients.tested(cells.study(runs_of(planted)), curves_of(planted)) == 0


def test_other_options_are_said_and_nothing_is_said_to_be_nothing(planted) -> None:
    one, other = tuned(planted)[:2]
    mixed = [evaluation(one, 5.0), evaluation(other, 5.0, largest="true")]
    notes = fig4b_clinical.data(cells.study(runs_of([*planted, *mixed]))).notes
    assert "MIXED: the evaluations differ in largest" in notes
    drawn = fig4b_clinical.data(cells.study(runs_of(planted)))
    assert drawn.table.empty
    assert any("-e evaluate -P sweep=" in note for note in drawn.notes)


def test_data_without_hearts_have_no_ejection_fraction(planted) -> None:
    (run,) = tuned(planted)[:1]
    plain = evaluation(run, 5.0)
    plain = replace(plain, metrics={k: v for k, v in plain.metrics.items() if "EF" not in k})
    drawn = fig4b_clinical.data(cells.study(runs_of([*planted, plain])))
    assert drawn.table["measure"].nunique() == 2
    assert np.isfinite(drawn.table["value"]).all()
