"""Every bound against brute force: no record and no hyperplane may reach past one."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from mpcseg.privacy.sensitivity import (
    SIGN_MARGIN,
    admission_sensitivities,
    products_bound,
    record_bound,
    squares_bound,
    weight_bound,
)
from mpcseg.reference.admission import HONEST_POWER, LARGEST_FACTOR, MARGIN, POWER
from mpcseg.reference.hyperplanes import cluster_pairs, hyperplanes
from mpcseg.reference.lloyd import assignment_weights, distance_difference, profile_sums
from mpcseg.reference.moments import moment_sums
from mpcseg.reference.sign import available_degrees, sign_for

SEEDS = st.integers(0, 2**32 - 1)
SIGNS = [(7, 7), (7, 15)]


@pytest.mark.parametrize("degrees", available_degrees())
def test_a_sign_stays_within_its_error_on_the_whole_domain(degrees: tuple[int, ...]) -> None:
    """The bound takes |s| <= 1 + e everywhere on [-1, 1], also inside the threshold."""
    sign = sign_for(degrees)
    dense = np.concatenate([np.linspace(-1, 1, 400_001), np.linspace(-0.05, 0.05, 400_001)])
    assert np.abs(sign(dense)).max() <= 1 + sign.error + 1e-12


@pytest.mark.parametrize("degrees", SIGNS)
@pytest.mark.parametrize("k", [2, 3])
def test_weights_on_a_dense_grid_of_signs(degrees: tuple[int, ...], k: int) -> None:
    """All sign values of all pairs on a grid with its corners, CKKS margin included."""
    reach = 1 + sign_for(degrees).error + SIGN_MARGIN
    grid = np.linspace(-reach, reach, 101)
    signs = np.array(list(product(grid, repeat=len(cluster_pairs(k))))).T
    norms = np.linalg.norm(assignment_weights(signs, k), axis=0)
    assert norms.max() <= weight_bound(degrees, k) + 1e-12
    assert norms.max() == pytest.approx(weight_bound(degrees, k))  # the bound is reached


@pytest.mark.parametrize("degrees", SIGNS)
@pytest.mark.parametrize("k", [2, 3, 4, 5])
def test_weights_at_every_corner(degrees: tuple[int, ...], k: int) -> None:
    """All tournaments: the maximum over the box is at one, and the bound is that maximum."""
    reach = 1 + sign_for(degrees).error + SIGN_MARGIN
    corners = np.array(list(product([-reach, reach], repeat=len(cluster_pairs(k))))).T
    norms = np.linalg.norm(assignment_weights(corners, k), axis=0)
    assert norms.max() == pytest.approx(weight_bound(degrees, k), rel=1e-12)


@given(SEEDS, st.integers(2, 9), st.sampled_from(SIGNS))
def test_no_values_of_the_signs_reach_past_the_bound(
    seed: int, k: int, degrees: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(seed)
    reach = 1 + sign_for(degrees).error + SIGN_MARGIN
    pairs = len(cluster_pairs(k))
    signs = rng.uniform(-reach, reach, (pairs, 200))
    # Many at the ends, where the norm is largest.
    signs = np.where(rng.random(signs.shape) < rng.random(200), reach * np.sign(signs), signs)
    norms = np.linalg.norm(assignment_weights(signs, k), axis=0)
    assert norms.max() <= weight_bound(degrees, k) * (1 + 1e-12)


@given(SEEDS, st.integers(2, 6), st.integers(1, 5), st.sampled_from(SIGNS))
def test_real_records_and_centroids_keep_to_the_bound(
    seed: int, k: int, d: int, degrees: tuple[int, ...]
) -> None:
    """Through the actual hyperplanes, with errors of evaluation as large as the margin."""
    rng = np.random.default_rng(seed)
    records = rng.uniform(-1, 1, (300, d))
    records[:100] = rng.choice([-1.0, 1.0], (100, d))
    centers, weights = rng.uniform(-1, 1, (k, d)), rng.uniform(0.5, 500, d)
    t = distance_difference(records, hyperplanes(centers, weights, math.sqrt(d)))
    signs = sign_for(degrees)(t)
    signs += SIGN_MARGIN * rng.choice([-1.0, 1.0], signs.shape)
    norms = np.linalg.norm(assignment_weights(signs, k), axis=0)
    assert norms.max() <= weight_bound(degrees, k) * (1 + 1e-12)


def test_weight_bounds_are_what_the_docs_say() -> None:
    assert weight_bound((7, 15), 5) == pytest.approx(1.060, abs=5e-4)
    assert weight_bound((7, 7), 5) == pytest.approx(1.152, abs=5e-4)
    assert weight_bound((7, 15), 5) < weight_bound((7, 15), 6) < weight_bound((7, 7), 6)


def records_in(seed: int, n: int, d: int, radius: float) -> np.ndarray:
    """Records of the cube and the ball, most of them at an edge of either."""
    rng = np.random.default_rng(seed)
    records = rng.uniform(-1, 1, (n, d))
    edges = rng.random((n, d)) < rng.random((n, 1))
    records = np.where(edges, np.sign(records), records)
    norms = np.linalg.norm(records, axis=1, keepdims=True)
    return records * np.minimum(1.0, radius / np.maximum(norms, 1e-12))


def parts_of_moments(record: np.ndarray) -> tuple[float, float, float]:
    """L2 norms of a record's sums, squares and products in the moments round."""
    d = len(record)
    sums = moment_sums(record[None])
    second = sums[1 + d :]
    diagonal = np.equal(*np.triu_indices(d))
    parts = (sums[1 : 1 + d], second[diagonal], second[~diagonal])
    return tuple(float(np.linalg.norm(part)) for part in parts)  # type: ignore[return-value]


@given(SEEDS, st.integers(1, 8), st.floats(0.2, 1.0))
def test_no_record_moves_the_moments_by_more_than_the_bounds(
    seed: int, d: int, share: float
) -> None:
    radius = share * math.sqrt(d)
    bounds = (record_bound(d, radius), squares_bound(d, radius), products_bound(d, radius))
    for record in records_in(seed, 60, d, radius):
        for found, bound in zip(parts_of_moments(record), bounds, strict=True):
            assert found <= bound * (1 + 1e-9)


@pytest.mark.parametrize(
    ("d", "radius"), [(1, 1.0), (2, 1.2), (4, 2.0), (6, math.sqrt(6)), (6, 2.1)]
)
def test_the_bounds_of_the_moments_are_reached(d: int, radius: float) -> None:
    """Found by an optimiser that knows nothing of the formulas."""
    rng = np.random.default_rng(0)
    bounds = (record_bound(d, radius), squares_bound(d, radius), products_bound(d, radius))
    for part, bound in enumerate(bounds):

        def loss(x: np.ndarray, part: int = part) -> float:
            return -parts_of_moments(x)[part]

        inside = {"type": "ineq", "fun": lambda x: radius**2 - x @ x}
        largest = max(
            -float(
                minimize(
                    loss, rng.uniform(0.1, 1, d), bounds=[(0, 1)] * d, constraints=[inside]
                ).fun
            )
            for _ in range(12)
        )
        assert largest == pytest.approx(bound, rel=1e-4, abs=1e-6)


@settings(max_examples=50)
@given(SEEDS, st.integers(2, 5), st.integers(1, 5), st.floats(0.3, 1.0), st.sampled_from(SIGNS))
def test_no_record_moves_a_lloyd_or_profile_round_by_more_than_the_bounds(
    seed: int, k: int, d: int, share: float, degrees: tuple[int, ...]
) -> None:
    """Any signs at all, so that any hyperplanes that keep |t| <= 1 are covered."""
    radius = share * math.sqrt(d)
    rng = np.random.default_rng(seed)
    reach = 1 + sign_for(degrees).error + SIGN_MARGIN
    largest = weight_bound(degrees, k) * (1 + 1e-9)
    for record in records_in(seed, 20, d, radius):
        signs = rng.choice([-reach, reach, 0.3], (len(cluster_pairs(k)), 1))
        sums = profile_sums(record[None], assignment_weights(signs, k))
        first, counts, squares = sums[:, :d], sums[:, d], sums[:, d + 1 :]
        assert np.linalg.norm(counts) <= largest
        assert np.linalg.norm(first) <= largest * record_bound(d, radius)
        assert np.linalg.norm(squares) <= largest * squares_bound(d, radius)


def test_an_honest_record_adds_less_to_admission_than_its_sensitivity() -> None:
    d = 4
    bounds, presence, padding = admission_sensitivities(d)
    powers = (1.0 / MARGIN) ** POWER
    assert powers == pytest.approx(HONEST_POWER)
    assert LARGEST_FACTOR * (d + 1) * powers < bounds
    assert 0 < presence < 1
    assert 0 < padding < 1


def test_landau_the_transitive_tournament_majorises_all_scores() -> None:
    """The step of the proof, checked by counting for five clusters."""
    k = 5
    pairs = list(combinations(range(k), 2))
    transitive = np.cumsum(np.arange(k))
    for outcome in product([0, 1], repeat=len(pairs)):
        scores = np.zeros(k, dtype=int)
        for (a, b), a_wins in zip(pairs, outcome, strict=True):
            scores[a if a_wins else b] += 1
        # The sums of the smallest scores are at least those of 0, 1, …, k - 1.
        assert (np.cumsum(np.sort(scores)) >= transitive).all()
