"""k-median and k-centre with a cap and turns: against brute force, and on data whose answer is known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from sslseg.annotation import coreset
from sslseg.annotation.coreset import Pool
from sslseg.data.streams import stream
from sslseg.scoring.features import unit


def pool(features: np.ndarray, annotated: list[int] = (), **more) -> Pool:
    """Every slice its own patient, of one group and one third, unless told otherwise."""
    n = len(features)
    had = np.isin(np.arange(n), list(annotated))
    given = {"patients": np.arange(n).astype(str), "groups": np.full(n, ""), "thirds": np.zeros(n, int)}
    return Pool(np.asarray(features, np.float32), had, **{**given, **more})


def places(found: Pool, k: int, **more) -> list[int]:
    given = {"per_patient": 1, "rule": "k-centre", **more}
    return [pick.place for pick in coreset.choose(found, k, **given)]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_radius_is_at_most_twice_the_best_of_all_choices(seed: int, k: int) -> None:
    """Gonzalez's bound, with one slice annotated, against every choice there is."""
    found = pool(stream(seed, "test").normal(size=(11, 3)), annotated=[4])
    chosen = places(found, k)
    best = min(coreset.reach(found, list(c))[1] for c in combinations([i for i in range(11) if i != 4], k))
    assert best <= coreset.reach(found, chosen)[1] <= 2 * best
    assert len(set(chosen)) == k
    assert 4 not in chosen


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("k", [1, 2, 3])
def test_k_medians_gain_is_at_least_its_share_of_the_best_of_all_choices(seed: int, k: int) -> None:
    """Nemhauser's bound, and for one slice the best itself."""
    found = pool(stream(seed, "test").normal(size=(11, 3)), annotated=[4])
    chosen = places(found, k, rule="k-median")
    before = coreset.reach(found, [])[0]
    best = max(before - coreset.reach(found, list(c))[0] for c in combinations(set(range(11)) - {4}, k))
    gain = before - coreset.reach(found, chosen)[0]
    assert (1 - np.exp(-1)) * best <= gain <= best + 1e-12
    assert k > 1 or gain == pytest.approx(best)
    assert len(set(chosen) - {4}) == k


def test_k_median_takes_the_crowd_where_k_centre_takes_the_outlier() -> None:
    crowd = stream(0, "test").normal(3, 0.3, (20, 2))
    found = pool(np.concatenate([[[0.0, 0.0]], crowd, [[-9.0, 0.0]]]), annotated=[0])
    assert 1 <= places(found, 1, rule="k-median")[0] <= 20
    assert places(found, 1, rule="k-centre") == [21]


def test_k_median_begins_with_the_slice_nearest_to_all() -> None:
    """The middle of an odd number on a line; a mean would be drawn to 30."""
    found = pool([[0.0], [1.0], [2.0], [3.0], [30.0]])
    (pick,) = coreset.choose(found, 1, per_patient=1)
    assert (pick.place, np.isnan(pick.distance)) == (2, True)


def test_a_sample_of_many_slices_is_measured(monkeypatch) -> None:
    """Three clusters of 40; their reach is measured on 30 of all 120."""
    monkeypatch.setattr(coreset, "SAMPLE", 30)
    monkeypatch.setattr(coreset, "CHUNK", 7)
    rng = stream(0, "test")
    found = pool(np.concatenate([rng.normal(9 * c, 0.1, (40, 2)) for c in range(3)]))
    assert sorted(place // 40 for place in places(found, 3, rule="k-median")) == [0, 1, 2]


def test_of_more_slices_than_the_sample_holds_no_others_are_measured(monkeypatch) -> None:
    """A sample of one: the slice that brings it nearest is the sampled one itself."""
    monkeypatch.setattr(coreset, "SAMPLE", 1)
    features = stream(0, "test").normal(size=(30, 2))
    assert places(pool(features), 1, rule="k-median") == [stream(0, "k-median").permutation(30)[0]]


@pytest.mark.parametrize("seed", range(4))
def test_each_pick_is_the_farthest_by_a_full_table_of_distances(seed: int) -> None:
    found = pool(stream(seed, "test").normal(size=(20, 4)), annotated=[3, 7])
    table = np.linalg.norm(found.features[:, None] - found.features[None], axis=2)
    had = [3, 7]
    for pick in coreset.choose(found, 6, per_patient=1, rule="k-centre"):
        near = table[:, had].min(axis=1)
        assert pick.place == near.argmax()
        assert pick.distance == pytest.approx(near.max(), rel=1e-5)
        had.append(pick.place)


def test_two_clusters_and_two_slices_give_one_of_each() -> None:
    rng = stream(0, "test")
    features = np.concatenate([rng.normal(0, 0.1, (10, 2)), rng.normal(5, 0.1, (3, 2))])
    assert sorted(place >= 10 for place in places(pool(features), 2)) == [False, True]


def test_the_first_of_nothing_is_nearest_to_the_mean() -> None:
    assert places(pool([[0.0], [4.0], [5.0], [11.0]]), 1) == [2]
    (pick,) = coreset.choose(pool([[0.0], [1.0]]), 1, per_patient=1, rule="k-centre")
    assert np.isnan(pick.distance)


def test_no_patient_gives_more_than_the_cap_and_what_is_left_is_fewer() -> None:
    patients = np.array(["a"] * 6 + ["b", "c"])
    found = pool(np.arange(8.0)[:, None] ** 2, patients=patients)
    chosen = places(found, 8, per_patient=2)
    assert sorted(patients[chosen]) == ["a", "a", "b", "c"]


@pytest.mark.parametrize("rule", ["k-median", "k-centre"])
def test_annotated_slices_are_not_chosen_and_those_that_are_bring_all_nearer(rule: str) -> None:
    found = pool(np.arange(6.0)[:, None], annotated=[0, 1, 5])
    assert sorted(places(found, 9, rule=rule)) == [2, 3, 4]
    assert coreset.reach(found, []) == (4 / 6, 2.0)
    picks = coreset.choose(found, 1, per_patient=1, rule=rule)
    assert picks[0].reach == coreset.reach(found, [picks[0].place])[0] == 2 / 6


def test_a_slice_is_at_no_distance_from_itself() -> None:
    features = (1e3 * stream(0, "test").normal(size=(50, 30))).astype(np.float32)
    assert not coreset.distances(features, features).max() > 0.1  # rounding of squares of 1e7 and more


def test_groups_and_thirds_take_turns_counting_what_is_annotated() -> None:
    """12 slices: groups A and B, three thirds of two slices each; one slice of A's first third is annotated."""
    groups, thirds = np.repeat(["A", "B"], 6), np.tile([0, 0, 1, 1, 2, 2], 2)
    found = pool(stream(1, "test").normal(size=(12, 2)), annotated=[0], groups=groups, thirds=thirds)
    picks = coreset.choose(found, 5, per_patient=1)
    first = picks[0]
    assert (groups[first.place], first.group_had) == ("B", 0)
    cells = sorted({("A", 0)} | {(groups[p.place], int(thirds[p.place])) for p in picks})
    assert cells == [(g, t) for g in "AB" for t in range(3)]
    free = [p.place for p in coreset.choose(found, 5, per_patient=1, cover=False)]
    assert free != [p.place for p in picks]


def test_thirds_of_a_volume() -> None:
    assert coreset.third(np.arange(9), np.full(9, 9)).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert coreset.third(np.array([0, 0, 1]), np.array([1, 2, 2])).tolist() == [0, 0, 1]


def test_unit_features_do_not_depend_on_their_length() -> None:
    features = stream(0, "test").normal(size=(5, 3)).astype(np.float32)
    assert np.allclose(unit(features), unit(features * 7))
    assert np.allclose(np.linalg.norm(unit(features), axis=1), 1)
