"""Hyperplanes, the soft Lloyd step, moments and metrics in the clear."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from mpcseg.reference.hyperplanes import DOMAIN_SLACK, cluster_pairs, hyperplanes
from mpcseg.reference.lloyd import (
    assignment_weights,
    distance_difference,
    lloyd,
    profile_sums,
    soft_weights,
    weighted_sums,
)
from mpcseg.reference.metrics import (
    inertia,
    inertia_from_profile,
    nearest,
    squared_distances,
)
from mpcseg.reference.moments import Moments, moment_sums
from mpcseg.reference.sign import available_degrees, sign_for

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.tuples(st.integers(2, 6), st.integers(1, 5), st.integers(1, 40))  # k, d, n


def case(seed: int, k: int, d: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Records anywhere in the domain with some at its corners; centroids; feature weights."""
    rng = np.random.default_rng(seed)
    records = rng.uniform(-1, 1, (n, d))
    records[: n // 4] = rng.choice([-1.0, 1.0], (n // 4, d))
    return records, rng.uniform(-1, 1, (k, d)), rng.uniform(0.5, 500, d)


@given(SEEDS, SIZES)
def test_distance_difference_is_that_of_the_distances_and_stays_in_its_bounds(
    seed: int, sizes: tuple[int, int, int]
) -> None:
    records, centers, weights = case(seed, *sizes)
    planes = hyperplanes(centers, weights, np.sqrt(sizes[1]))
    t = distance_difference(records, planes)
    assert np.abs(t).max() <= 1 + 1e-12
    distances = squared_distances(records, centers, weights)
    for row, (a, b) in zip(t, cluster_pairs(sizes[0]), strict=True):
        difference = distances[:, b] - distances[:, a]
        # The same up to one positive factor per pair, hence the same sign where it is not a tie.
        scale = np.abs(difference).max()
        far = np.abs(difference) > 1e-9 * scale
        assert (np.sign(row[far]) == np.sign(difference[far])).all()
        factor = row[far] / difference[far]
        np.testing.assert_allclose(factor, factor[0] if far.any() else factor, rtol=1e-6)


@given(SEEDS, st.integers(1, 6), st.floats(0.3, 1.0))
def test_normalisation_reaches_the_slack_on_the_domain(seed: int, d: int, shrink: float) -> None:
    """M is the largest value itself where the cube is the tighter bound, not a multiple of it."""
    _, centers, weights = case(seed, 2, d, 1)
    radius = np.sqrt(d)
    (u, v) = np.split(hyperplanes(centers, weights, radius)[0], [d])
    corner = np.sign(u) * np.sign(v)
    assert abs(corner @ u + v[0]) == pytest.approx(1 / DOMAIN_SLACK)
    # With a ball smaller than the cube, its own farthest point reaches 1 where the ball rules.
    (u, v) = np.split(hyperplanes(centers, weights, radius * shrink)[0], [d])
    bound = min(np.abs(u).sum(), radius * shrink * np.linalg.norm(u)) + abs(v[0])
    assert bound == pytest.approx(1 / DOMAIN_SLACK)


@given(SEEDS, SIZES, st.floats(0.3, 1.0))
def test_records_that_admission_lets_pass_stay_within_one(
    seed: int, sizes: tuple[int, int, int], shrink: float
) -> None:
    """Outside the domain by the slack and no more, in a coordinate or in the norm."""
    k, d, n = sizes
    _, centers, weights = case(seed, k, d, n)
    rng = np.random.default_rng(seed)
    radius = np.sqrt(d) * shrink
    records = DOMAIN_SLACK * rng.choice([-1.0, -0.9, 0.0, 1.0], (n, d))
    norms = np.linalg.norm(records, axis=1, keepdims=True)
    records *= np.minimum(1.0, DOMAIN_SLACK * radius / np.maximum(norms, 1e-9))
    t = distance_difference(records, hyperplanes(centers, weights, radius))
    assert np.abs(t).max() <= 1 + 1e-12


@given(SEEDS, SIZES)
def test_hyperplanes_are_antisymmetric(seed: int, sizes: tuple[int, int, int]) -> None:
    _, centers, weights = case(seed, *sizes)
    forwards = hyperplanes(centers, weights, 1.0)
    backwards = hyperplanes(centers[::-1], weights, 1.0)
    k = sizes[0]
    order = {pair: row for row, pair in enumerate(cluster_pairs(k))}
    for a, b in cluster_pairs(k):
        mirrored = backwards[order[(k - 1 - b, k - 1 - a)]]
        np.testing.assert_allclose(mirrored, -forwards[order[(a, b)]], atol=1e-12)


def test_coincident_centroids_are_refused() -> None:
    with pytest.raises(ValueError, match="coincident"):
        hyperplanes(np.zeros((2, 3)), np.ones(3), 1.0)


@given(SEEDS, SIZES, st.sampled_from(available_degrees()))
def test_weights_stay_in_their_bounds(
    seed: int, sizes: tuple[int, int, int], degrees: tuple[int, ...]
) -> None:
    k, d, n = sizes
    records, centers, weights = case(seed, k, d, n)
    sign = sign_for(degrees)
    w = soft_weights(records, hyperplanes(centers, weights, np.sqrt(d)), sign, k)
    upper = (1 + sign.error / 2) ** (k - 1)
    assert w.shape == (k, n)
    assert w.max() <= upper + 1e-9
    assert w.min() >= -sign.error / 2 * max(1.0, upper) - 1e-9
    if k == 2:
        np.testing.assert_allclose(w.sum(axis=0), 1, atol=1e-12)


def test_weights_of_exact_signs_are_the_hard_assignment() -> None:
    records, centers, weights = case(3, 5, 4, 200)
    t = distance_difference(records, hyperplanes(centers, weights, 2.0))
    w = assignment_weights(np.sign(t), 5)
    np.testing.assert_array_equal(w, np.eye(5)[:, nearest(records, centers, weights)])


@given(SEEDS, SIZES, st.data())
def test_sums_depend_neither_on_order_nor_on_who_holds_a_record(
    seed: int, sizes: tuple[int, int, int], data: st.DataObject
) -> None:
    k, d, n = sizes
    records, centers, weights = case(seed, k, d, n)
    sign, planes = sign_for((7, 15)), hyperplanes(centers, weights, np.sqrt(d))

    def all_sums(part: np.ndarray) -> list[np.ndarray]:
        w = soft_weights(part, planes, sign, k)
        return [moment_sums(part), weighted_sums(part, w), profile_sums(part, w)]

    pooled = all_sums(records)
    shuffled = np.random.default_rng(seed).permutation(records)
    cut = data.draw(st.integers(0, n))
    parties = [all_sums(part) for part in (shuffled[:cut], shuffled[cut:])]
    for whole, *parts in zip(pooled, *parties, strict=True):
        np.testing.assert_allclose(sum(parts), whole, atol=1e-9)


@given(SEEDS, SIZES, st.integers(0, 20))
def test_padding_adds_nothing(seed: int, sizes: tuple[int, int, int], padding: int) -> None:
    k, d, n = sizes
    records, centers, weights = case(seed, k, d, n)
    padded = np.vstack([records, np.zeros((padding, d))])
    presence = np.repeat([1.0, 0.0], [n, padding])
    planes = hyperplanes(centers, weights, np.sqrt(d))
    sign = sign_for((7, 7))
    w, w_padded = (soft_weights(x, planes, sign, k) for x in (records, padded))
    for make in (weighted_sums, profile_sums):
        np.testing.assert_allclose(make(padded, w_padded, presence), make(records, w), atol=1e-9)
    np.testing.assert_allclose(moment_sums(padded, presence), moment_sums(records), atol=1e-9)


def test_layout_of_the_sums() -> None:
    records = np.array([[0.5, -0.25], [0.0, 1.0]])
    w = np.array([[1.0, 0.0], [0.5, 0.25]])
    np.testing.assert_allclose(moment_sums(records), [2, 0.5, 0.75, 0.25, -0.125, 0.0625 + 1.0])
    np.testing.assert_allclose(weighted_sums(records, w), [[0.5, -0.25, 1], [0.25, 0.125, 0.75]])
    np.testing.assert_allclose(
        profile_sums(records, w),
        [[0.5, -0.25, 1, 0.25, 0.0625], [0.25, 0.125, 0.75, 0.125, 0.28125]],
    )


@given(SEEDS, st.integers(1, 6), st.integers(1, 50))
def test_moments_from_sums_are_numpys(seed: int, d: int, n: int) -> None:
    records = np.random.default_rng(seed).uniform(-1, 1, (n, d))
    moments = Moments.from_sums(moment_sums(records), d)
    assert moments.n_records == n
    np.testing.assert_allclose(moments.mean, records.mean(axis=0), atol=1e-12)
    expected = np.cov(records.T, bias=True).reshape(d, d)
    np.testing.assert_allclose(moments.covariance, expected, atol=1e-12)


@pytest.mark.parametrize("sums", [np.ones(5), np.zeros(6)])
def test_moments_of_nothing_are_refused(sums: np.ndarray) -> None:
    with pytest.raises(ValueError, match="moment"):
        Moments.from_sums(sums, 2)


def test_lloyd_is_scikit_learns() -> None:
    rng = np.random.default_rng(5)
    records, weights = rng.normal(size=(500, 3)) / 4, np.array([2.0, 8.0, 1.0])
    root = np.sqrt(weights)
    start = records[:4]
    centers, rounds = lloyd(records, start, 100, weights)
    theirs = KMeans(4, init=start * root, n_init=1, tol=0).fit(records * root)
    np.testing.assert_allclose(centers * root, theirs.cluster_centers_, atol=1e-9)
    assert inertia(records, centers, weights) == pytest.approx(theirs.inertia_)
    assert 1 < rounds < 100


def test_lloyd_stops_after_its_rounds_and_keeps_an_empty_cluster() -> None:
    records = np.array([[-0.5], [-0.4], [0.4], [0.6]])
    centers, rounds = lloyd(records, np.array([[-0.3], [0.1], [50.0]]), 1, np.ones(1))
    np.testing.assert_allclose(centers, [[-0.45], [0.5], [50.0]])
    assert rounds == 1


def test_inertia_from_profile_sums_is_the_inertia() -> None:
    records, centers, weights = case(7, 3, 4, 300)
    hard = np.eye(3)[:, nearest(records, centers, weights)]
    from_sums = inertia_from_profile(profile_sums(records, hard), centers, weights)
    assert from_sums == pytest.approx(inertia(records, centers, weights))
