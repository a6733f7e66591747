"""The choice of a number of segments: indices from sums, a rule that minds noise, known answers."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score, davies_bouldin_score

from mpcseg.errors import ProtocolError
from mpcseg.reference.lloyd import lloyd, profile_sums
from mpcseg.reference.metrics import adjusted_rand_index, nearest
from mpcseg.reference.moments import Moments, moment_sums
from mpcseg.reference.rounds import ScoutTerms
from mpcseg.study.choice import (
    Appraisal,
    Candidate,
    Judged,
    Whole,
    candidates_of,
    choose,
    judged,
)
from mpcseg.study.outcome import StudyResult
from mpcseg.study.scouting import Scouting
from tests.unit.study.clear_study import clear_schedule, clear_sums, run_clear

PLACES = {
    3: [[-0.6, -0.5], [0.6, -0.4], [0.0, 0.65]],
    4: [[-0.6, -0.5], [0.6, -0.6], [-0.5, 0.6], [0.55, 0.6]],
    5: [[-0.7, -0.7], [0.7, -0.7], [-0.7, 0.7], [0.7, 0.7], [0.0, 0.0]],
}


def blobs(k: int, n: int, seed: int, width: float = 0.13) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places = np.array(PLACES[k])[rng.integers(0, k, n)]
    return np.clip(places + rng.normal(0, width, places.shape), -1, 1)


def chosen_in(records: np.ndarray, epsilon: float | None, seed: int = 0) -> StudyResult:
    terms = ScoutTerms((2, 3, 4, 5, 6), 2, 2)
    schedule = clear_schedule(
        n_clusters=6, features=["a", "b"], n_rounds=3, epsilon=epsilon, scouting=terms
    )
    noise = None if epsilon is None else (schedule._noise, np.random.default_rng(seed))
    return run_clear(schedule, [records], 6, noise)


@pytest.mark.parametrize(("planted", "epsilon"), [(3, None), (4, 2), (5, 2)])
def test_the_planted_number_of_groups_is_chosen(planted: int, epsilon: float | None) -> None:
    result = chosen_in(blobs(planted, 20_000, planted), epsilon)
    assert result.choice is not None
    assert result.choice.chosen.n_clusters == planted
    assert len(result.cluster_centers) == len(result.segment_sizes) == planted
    near = np.abs(result.cluster_centers[:, None] - np.array(PLACES[planted])).max(axis=2)
    assert near.min(axis=1).max() < 0.05


def hard_appraisal(records: np.ndarray, k: int) -> tuple[Appraisal, Whole, np.ndarray]:
    moments = Moments.from_sums(moment_sums(records), 2)
    weights = 1 / np.diag(moments.covariance)
    centers, _ = lloyd(records, records[:k], 50, weights)
    labels = nearest(records, centers, weights)
    sums = profile_sums(records, np.eye(k)[labels].T)
    zeros = np.zeros_like(sums)
    one = Appraisal(centers, sums[:, :3], zeros[:, :3], sums[:, 3:], zeros[:, 3:])
    return one, Whole(len(records), moments.mean, 2.0 * len(records), weights, 0.5), labels


@pytest.mark.parametrize("k", [2, 3, 5])
def test_the_indices_are_those_of_scikit_learn_on_the_pooled_table(k: int) -> None:
    records = blobs(4, 3000, 1, width=0.25)
    one, whole, labels = hard_appraisal(records, k)
    found = judged(one, whole)
    standardised = (records - records.mean(axis=0)) / records.std(axis=0)
    (only,) = candidates_of([[found, found]], records[:100], whole.feature_weights)
    assert only.calinski_harabasz == pytest.approx(calinski_harabasz_score(standardised, labels))
    within = sum(
        ((standardised[labels == a] - standardised[labels == a].mean(axis=0)) ** 2).sum()
        for a in range(k)
    )
    assert 1 - only.explained == pytest.approx(within / standardised.size)
    # Of mean distances where ours is of root mean squares, which are never smaller.
    theirs = davies_bouldin_score(standardised, labels)
    assert theirs <= only.davies_bouldin <= 1.25 * theirs
    assert only.stability == 1.0


def test_the_rand_index_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    one = rng.integers(0, 4, 500)
    other = np.where(rng.random(500) < 0.7, one, rng.integers(0, 6, 500))
    assert adjusted_rand_index(one, other) == pytest.approx(adjusted_rand_score(one, other))
    assert adjusted_rand_index(one, (one + 1) % 4) == 1.0
    assert adjusted_rand_index(one * 0, one * 0) == 1.0


def made(k: int, harabasz: float, *, std: float = 0.0, **changes: float) -> Candidate:
    plain = Candidate(k, 0.8, harabasz, 1.0, 0.9, (0.0, std, 0.0), 0.1, np.zeros((k, 2)))
    return replace(plain, **changes)


def test_the_largest_ratio_of_the_indices_decides() -> None:
    choice = choose([made(2, 100), made(3, 200), made(4, 150)], 0.01)
    assert choice.chosen.n_clusters == 3
    assert choice.reason.endswith("Davies-Bouldin index is largest")
    loose, compact = made(3, 200, davies_bouldin=1.2), made(4, 190, davies_bouldin=0.6)
    assert choose([made(2, 100), loose, compact], 0.01).chosen is compact
    scattered = made(4, 300, davies_bouldin=math.inf)
    assert choose([loose, scattered], 0.01).chosen is loose
    assert choose([made(2, 0), scattered], 0.01).chosen.n_clusters == 2


def test_a_difference_within_the_noise_is_said_and_does_not_turn_the_choice() -> None:
    candidates = [made(2, 180, std=10), made(3, 200, std=10), made(4, 100, std=10)]
    choice = choose(candidates, 0.01)
    assert choice.chosen.n_clusters == 3
    assert choice.reason.endswith("though by no more than noise for 2")
    bouldin = [replace(one, stds=(0.0, 0.0, 0.5)) for one in candidates]
    assert choose(bouldin, 0.01).reason.endswith("for 2 and 4")
    exact = [replace(one, stds=(0.0, 0.0, 0.0)) for one in candidates]
    assert "noise" not in choose(exact, 0.01).reason


def test_a_number_with_a_segment_too_small_to_be_shown_is_left_out() -> None:
    small = made(4, 900, smallest_share=0.001)
    choice = choose([made(2, 100), made(3, 200), small], 0.01)
    assert choice.chosen.n_clusters == 3
    assert "left out" in choice.reason
    assert choose([replace(small, n_clusters=3), small], 0.01).reason.startswith("every number")


def test_what_noise_hides_within_segments_makes_no_number_look_better() -> None:
    """Where noise is larger than what is left within, more segments must not seem to win by it."""

    def start(k: int, explained: float) -> Judged:
        square = np.zeros((k, 2))
        return Judged(square, np.full(k, 100.0), square, explained, 0.03, 1.0, 0.0, 1000.0)

    points = np.random.default_rng(0).uniform(-1, 1, (50, 2))
    judged_ = [[start(k, e)] * 2 for k, e in ((3, 0.80), (4, 0.97), (5, 1.02))]
    three, four, five = candidates_of(judged_, points, np.ones(2))
    assert four.explained == five.explained == 0.94
    assert four.calinski_harabasz > five.calinski_harabasz
    assert all(math.isfinite(one.calinski_harabasz) for one in (three, four, five))


def test_a_schedule_that_is_fed_the_old_sums_asks_for_the_same_rounds() -> None:
    records = blobs(3, 2000, 5)

    def schedule():
        return clear_schedule(
            n_clusters=3, features=["a", "b"], n_rounds=1, scouting=ScoutTerms((2, 3), 2, 1)
        )

    first, sums, asked = schedule(), [], []
    while (request := first.request()) is not None:
        asked.append(request)
        sums.append(clear_sums(request, records, 3))
        first.receive(sums[-1])
    again = schedule()
    for request, old in zip(asked, sums, strict=True):
        same = again.request()
        assert (same.index, same.kind, same.sign, same.n_clusters) == (
            request.index, request.kind, request.sign, request.n_clusters,
        )  # fmt: skip
        np.testing.assert_array_equal(same.hyperplanes, request.hyperplanes)
        again.receive(old)
    kinds = [(request.kind, request.n_clusters) for request in asked]
    of_two, of_three = ([("scout", k), ("appraisal", k)] * 2 for k in (2, 3))
    chosen = first.result().choice.chosen.n_clusters
    rest = [("lloyd", chosen), ("profile", chosen)]
    assert kinds == [("admission", 0), ("moments", 0), *of_two, *of_three, *rest]


def test_a_choice_before_the_rounds_is_refused() -> None:
    moments = Moments(100.0, np.zeros(2), np.eye(2) * 0.2)
    scouting = Scouting(ScoutTerms((2, 3), 2, 1), moments, 0)
    with pytest.raises(ProtocolError, match="before the scout rounds"):
        scouting.choice(20)


def test_the_reason_compares_no_numbers_with_segments_too_small() -> None:
    noisy = [made(k, 200 - k, std=10, smallest_share=0.001) for k in (2, 3, 4)]
    choice = choose(noisy, 0.01)
    assert "every number" in choice.reason
    assert "noise" not in choice.reason
    assert choose(noisy, 0.0).reason.endswith("by no more than noise for 3 and 4")
