"""Merging by density: shapes that K-means cuts to pieces, and none where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from mpcseg.errors import ConfigError
from mpcseg.shapes.density import density_tree
from mpcseg.shapes.merging import merged_by
from tests.unit.shapes.studies import moons


def test_two_moons_are_found_where_k_means_cannot() -> None:
    study = moons()
    merged = merged_by(study.spec, study.results, "density")
    assert len(merged.segments) == 2
    released = study.released.merge(merged.of_released)
    labels = released.assign(study.records, study.records).segments
    assert adjusted_rand_score(study.truth, labels) > 0.98
    k_means = KMeans(2, n_init=2, random_state=0).fit_predict(study.records)
    assert adjusted_rand_score(study.truth, k_means) < 0.6


def cells(points: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = KMeans(k, n_init=1, random_state=0).fit_predict(points)
    parts = [points[labels == a] for a in range(k)]
    return (
        np.array([float(len(part)) for part in parts]),
        np.array([part.mean(axis=0) for part in parts]),
        np.array([part.std(axis=0) for part in parts]),
    )


@pytest.mark.parametrize("d", [1, 2, 4])
def test_one_heap_of_customers_stays_one_segment(d: int) -> None:
    points = np.random.default_rng(d).normal(size=(1000, d))
    assert len(set(density_tree(*cells(points, 12)).groups())) == 1


def test_a_thin_bridge_joins_nothing_and_goes_with_its_higher_end() -> None:
    sizes = np.array([1000.0, 30.0, 800.0])
    means = np.array([[0.0, 0.0], [1.6, 0.0], [3.4, 0.0]])
    groups = density_tree(sizes, means, np.full((3, 2), 0.45)).groups()
    assert groups[0] != groups[2]
    assert groups[1] == groups[0]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.integers(1, 3))
def test_any_number_of_segments_can_be_had_and_order_does_not_matter(
    seed: int, n: int, d: int
) -> None:
    rng = np.random.default_rng(seed)
    sizes, means = rng.uniform(20, 900, n), rng.normal(size=(n, d))
    spreads, order = rng.uniform(0.1, 0.9, (n, d)), rng.permutation(n)
    tree = density_tree(sizes, means, spreads)
    shuffled = density_tree(sizes[order], means[order], spreads[order])
    for wanted in range(1, n + 1):
        groups = tree.groups(wanted)
        assert len(set(groups)) == wanted
        assert adjusted_rand_score(groups[order], shuffled.groups(wanted)) == pytest.approx(1.0)
    for wanted in (0, n + 1):
        with pytest.raises(ConfigError, match="cannot be merged into"):
            tree.groups(wanted)


def test_the_scale_of_a_feature_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    sizes, means = rng.uniform(20, 900, 8), rng.normal(size=(8, 2))
    spreads, scale = rng.uniform(0.1, 0.9, (8, 2)), np.array([1.0, 40.0])
    tree, stretched = (density_tree(sizes, means * by, spreads * by) for by in (1.0, scale))
    np.testing.assert_allclose(tree.depths, stretched.depths, rtol=1e-9)
