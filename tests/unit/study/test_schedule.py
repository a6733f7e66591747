"""Every ordering rule and every decision of the schedule, without IO."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpcseg.errors import (
    AdmissionError,
    ConfigError,
    ConstantFeatureError,
    ProtocolError,
    TooFewRecordsError,
)
from mpcseg.reference.lloyd import lloyd
from mpcseg.reference.metrics import inertia
from mpcseg.reference.moments import moment_sums
from mpcseg.study.schedule import Schedule
from tests.unit.study.clear_study import (
    SLOTS,
    after_admission,
    clear_schedule,
    clear_sums,
    plan_for,
    run_clear,
)


def schedule(k: int = 3, d: int = 2, n_rounds: int = 10, **changes: Any) -> Schedule:
    """Without noise, and still before its admission round."""
    return clear_schedule(
        n_clusters=k, features=[f"f{j}" for j in range(d)], n_rounds=n_rounds, **changes
    )


def admitted(**changes: Any) -> Schedule:
    return after_admission(schedule(**changes))


def blobs(seed: int = 0, n: int = 300) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places = np.array([[-0.7, -0.6], [0.7, -0.5], [0.0, 0.75]])
    return np.clip(places[rng.integers(3, size=n)] + rng.normal(0, 0.06, (n, 2)), -1, 1)


def test_order_of_rounds_and_signs() -> None:
    """Overlapping clusters and no tolerance: all rounds are used, two fifths of them blunt."""
    records = np.random.default_rng(1).uniform(-1, 1, (500, 2))
    result = run_clear(schedule(k=5, tolerance=0.0), [records], 5)
    history = result.history
    assert [r.index for r in history] == list(range(13))
    assert [r.kind for r in history] == ["admission", "moments"] + ["lloyd"] * 10 + ["profile"]
    signs = [r.sign for r in history]
    blunt = signs.count((7, 7))
    assert 1 <= blunt <= 4
    assert signs == [(), ()] + [(7, 7)] * blunt + [(7, 15)] * (11 - blunt)
    assert result.n_iter == 10
    assert not result.converged
    assert "stopped" in history[11].notes[-1]
    assert all((r.shift is None) == (r.kind != "lloyd") for r in history)


def test_separated_clusters_converge_early_to_plain_lloyd() -> None:
    """With the most accurate sign, down to the spreads; the clusters are 20 times as far apart."""
    records = blobs()
    result = run_clear(schedule(sharp=(15, 15, 15)), [records], 3)
    assert result.converged
    assert result.n_iter < 8
    assert "converged" in result.history[-2].notes[-1]
    reference, _ = lloyd(records, result.starting_centers, 50, result.feature_weights)
    np.testing.assert_allclose(result.cluster_centers, reference, atol=1e-3)
    np.testing.assert_allclose(result.segment_means, reference, atol=1e-3)
    hard = inertia(records, reference, result.feature_weights)
    assert result.inertia == pytest.approx(hard, rel=0.03)
    assert result.n_records == 300
    assert result.segment_sizes.sum() == pytest.approx(300, rel=1e-3)
    np.testing.assert_allclose(result.segment_spreads, 0.06, atol=0.015)
    np.testing.assert_allclose(result.feature_weights, 1 / records.var(axis=0))
    np.testing.assert_allclose(result.feature_means, records.mean(axis=0))
    np.testing.assert_allclose(result.feature_covariance, np.cov(records.T, bias=True))


def test_request_stays_the_same_until_its_sums_are_in() -> None:
    study = admitted()
    assert study.request() is study.request()
    before = study.request()
    study.receive(moment_sums(blobs()))
    assert study.request() is not before


@pytest.mark.parametrize("kind", ["moments", "lloyd", "profile"])
def test_sums_of_a_wrong_shape_or_impossible_value_change_nothing(kind: str) -> None:
    records, study = blobs(), schedule()
    while (request := study.request()) is not None and request.kind != kind:
        study.receive(clear_sums(request, records, 3))
    assert request is not None
    good = clear_sums(request, records, 3)
    too_large = good.copy()
    too_large.flat[-1] = 1e4
    broken = [good[:-1], good.ravel()[:, None], good * np.nan, too_large, good - 1e4]
    for sums in broken:
        with pytest.raises(ProtocolError):
            study.receive(sums)
        assert study.request() is request
    study.receive(good)
    assert study.request() is not request


def test_more_records_than_the_parties_can_have_are_refused() -> None:
    records = blobs(n=300)
    sums = moment_sums(records)
    for most in (300, 299, 298):
        study = admitted(most_records=most)
        if most >= 299:  # one record of allowance for the errors of the encrypted evaluation
            study.receive(sums)
            continue
        with pytest.raises(ProtocolError, match="more records than all parties can have"):
            study.receive(sums)
    with pytest.raises(ProtocolError, match="more records than all parties can have"):
        admitted(most_records=300).receive(1.01 * sums)


def test_noise_alone_does_not_make_too_many_records() -> None:
    records = blobs(n=3000)
    noise = plan_for(n_clusters=3, n_features=2, n_rounds=10, epsilon=1.0)
    std = noise.effective_stds("moments", ()).ravel()[0]
    for deviations in (6.0, 9.0):
        study = admitted(most_records=3000, epsilon=1.0)
        sums = moment_sums(records)
        sums[0] += deviations * std
        if deviations < 8:
            study.receive(sums)
            continue
        with pytest.raises(ProtocolError, match="more records than all parties can have"):
            study.receive(sums)


@pytest.mark.parametrize("kind", ["lloyd", "profile"])
def test_clusters_that_count_more_records_than_there_are_are_refused(kind: str) -> None:
    """Each of the three alone would be possible."""
    records, study = blobs(), schedule()
    while (request := study.request()) is not None and request.kind != kind:
        study.receive(clear_sums(request, records, 3))
    assert request is not None
    sums = clear_sums(request, records, 3)
    with pytest.raises(ProtocolError, match="more records than all parties can have"):
        study.receive(1.5 * sums)
    assert study.request() is request
    study.receive(sums)


def test_nothing_is_received_after_the_end_and_no_result_before_it() -> None:
    study = schedule()
    with pytest.raises(ProtocolError, match="before its profile round"):
        study.result()
    run_clear(study, [blobs()], 3)
    assert study.request() is None
    with pytest.raises(ProtocolError, match="after the last round"):
        study.receive(np.zeros((3, 3)))


def test_fewer_records_than_clusters() -> None:
    with pytest.raises(TooFewRecordsError, match="2 records for 3 clusters"):
        admitted().receive(moment_sums(blobs(n=2)))
    with pytest.raises(TooFewRecordsError, match="0 records"):
        admitted().receive(np.full(6, 1e-7))


def test_constant_feature_is_named() -> None:
    records = blobs()
    records[:, 1] = 0.25
    with pytest.raises(ConstantFeatureError, match="'f1'"):
        admitted().receive(moment_sums(records))


@pytest.mark.parametrize("n_records", [4, 120, 20_000])
@pytest.mark.parametrize("error", [-1e-3, 1e-3])
def test_constant_feature_is_seen_through_the_errors_of_decryption(
    n_records: int, error: float
) -> None:
    records = np.tile(blobs()[:4], (n_records // 4, 1))
    records[:, 1] = 0.9
    sums = moment_sums(records)
    sums[-1] += error  # of the sum of squares of the constant feature
    with pytest.raises(ConstantFeatureError, match="'f1'"):
        admitted().receive(sums)


def test_narrow_feature_is_noted() -> None:
    records = blobs() * [1.0, 0.01]
    record = admitted().receive(moment_sums(records))
    assert len(record.notes) == 1
    assert "'f1'" in record.notes[0]


@pytest.mark.parametrize("changes", [{"k": 1}, {"n_rounds": 0}, {"d": 0}])
def test_impossible_studies_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ConfigError):
        schedule(**changes)  # type: ignore[arg-type]


def test_one_round_is_sharp_and_plain() -> None:
    result = run_clear(schedule(n_rounds=1), [blobs()], 3)
    assert [r.sign for r in result.history] == [(), (), (7, 15), (7, 15)]
    assert result.n_iter == 1


def emptied(request_sums: np.ndarray, cluster: int) -> np.ndarray:
    sums = request_sums.copy()
    sums[cluster] = 0.0
    return sums


def test_empty_cluster_is_reseeded_in_the_largest_and_gets_records() -> None:
    records, study = blobs(), admitted()
    study.receive(moment_sums(records))
    request = study.request()
    assert request is not None
    sums = clear_sums(request, records, 3)
    sums[0] += sums[2]  # cluster 0 is the largest now
    record = study.receive(emptied(sums, 2))
    assert "cluster 2 was empty and was reseeded by splitting 0" in record.notes
    request = study.request()
    assert request is not None
    after = clear_sums(request, records, 3)
    assert after[2, -1] > 10
    assert after[0, -1] > 10
    result = run_clear(study, [records], 3)
    assert (result.segment_sizes > 10).all()


def test_cluster_lost_by_over_relaxation_returns_to_its_last_mean() -> None:
    """Three steps in one direction, the last two doubled; then the cluster is empty."""
    study = admitted(tolerance=0.0)
    study.receive(moment_sums(blobs()))
    for offset in (0.0, 0.1, 0.2):
        mean = np.array([-0.5 + offset, 0.0])
        others = [[40.0, -40.0, 100.0], [0.0, 70.0, 100.0]]
        study.receive(np.array([[*(100 * mean), 100.0], *others]))
    record = study.receive(np.array([[0.0, 0.0, 0.0], *others]))
    assert record.notes == ("cluster 0 was empty and returned to its last mean",)
    # Empty there too: now it is reseeded.
    record = study.receive(np.array([[0.0, 0.0, 0.0], *others]))
    assert "reseeded" in record.notes[0]


def test_empty_cluster_keeps_its_place_in_the_last_round_and_the_profile_says_so() -> None:
    records, study = blobs(), admitted(n_rounds=1)
    study.receive(moment_sums(records))
    request = study.request()
    assert request is not None
    record = study.receive(emptied(clear_sums(request, records, 3), 1))
    assert "cluster 1 is empty and kept its place" in record.notes
    request = study.request()
    assert request is not None
    record = study.receive(emptied(clear_sums(request, records, 3), 1))
    assert record.notes == ("segment 1 is empty",)
    result = study.result()
    np.testing.assert_array_equal(result.cluster_centers[1], result.starting_centers[1])
    np.testing.assert_array_equal(result.segment_means[1], result.cluster_centers[1])
    np.testing.assert_array_equal(result.segment_spreads[1], 0)


def test_coincident_centroids_are_set_apart() -> None:
    records, study = blobs(), admitted()
    study.receive(moment_sums(records))
    record = study.receive(np.array([[10.0, 10.0, 100.0]] * 2 + [[-50.0, 30.0, 100.0]]))
    assert record.notes == ("centroid 1 coincided with another and was set apart",)
    request = study.request()
    assert request is not None
    assert request.hyperplanes is not None
    assert (np.linalg.norm(request.hyperplanes[:, :-1], axis=1) > 0.1).all()


def test_same_seed_same_study() -> None:
    records = np.random.default_rng(3).uniform(-1, 1, (400, 2))
    results = [run_clear(schedule(k=4, seed=s), [records], 4) for s in (7, 7, 8)]
    first, again, other = (r.cluster_centers for r in results)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 200))
def test_splitting_records_over_parties_changes_nothing(seed: int, cut: int) -> None:
    records = np.random.default_rng(seed).beta(0.7, 1.5, (200, 3)) * 2 - 1
    pooled = run_clear(schedule(d=3, n_rounds=6), [records], 3)
    shuffled = np.random.default_rng(seed).permutation(records)
    split = run_clear(schedule(d=3, n_rounds=6), [shuffled[:cut], shuffled[cut:]], 3)
    np.testing.assert_allclose(split.cluster_centers, pooled.cluster_centers, atol=1e-6)
    np.testing.assert_allclose(split.segment_sizes, pooled.segment_sizes, atol=1e-3)
    assert split.inertia == pytest.approx(pooled.inertia, rel=1e-6)
    assert np.abs(pooled.cluster_centers).max() <= 1


def test_admission_comes_first_and_honest_sums_pass() -> None:
    study = schedule(parties=("alder", "birch"))
    request = study.request()
    assert request is not None
    assert (request.index, request.kind, request.sign) == (0, "admission", ())
    limits = plan_for(n_clusters=3, n_features=2, n_rounds=10, n_parties=2).admission_limits(
        1, SLOTS
    )
    record = study.receive(np.array([0.99 * limits, -0.99 * limits]))
    assert (record.kind, record.n_records, record.sizes) == ("admission", 0, None)
    following = study.request()
    assert following is not None
    assert (following.index, following.kind) == (1, "moments")


@pytest.mark.parametrize(("rule", "column"), [("bounds", 0), ("presence", 1), ("padding", 2)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("epsilon", [None, 1.0])
def test_a_party_that_breaks_a_rule_is_named_with_the_rule(
    rule: str, column: int, sign: float, epsilon: float | None
) -> None:
    study = schedule(parties=("alder", "birch"), epsilon=epsilon)
    sums = np.zeros((2, 3))
    sums[1, column] = sign * 1e5
    with pytest.raises(AdmissionError, match="'birch'") as caught:
        study.receive(sums)
    assert repr(rule) in str(caught.value)
    assert "alder" not in str(caught.value)
    assert caught.value.hint


def test_admission_sums_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ProtocolError):
        schedule().receive(np.full((1, 3), np.nan))
    with pytest.raises(ProtocolError):
        schedule().receive(np.zeros((2, 3)))


def test_a_noise_plan_of_another_study_is_refused() -> None:
    with pytest.raises(ConfigError, match="noise plan"):
        Schedule(
            n_clusters=3, n_rounds=5, feature_names=["a"], parties={"alder": 1}, slots=SLOTS,
            most_records=SLOTS, blunt=(7, 7), sharp=(7, 15), seed=0,
            noise=plan_for(n_clusters=3, n_features=2, n_rounds=5),
        )  # fmt: skip
