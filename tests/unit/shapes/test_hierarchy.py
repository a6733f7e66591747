"""Ward's hierarchy of segments: what scipy finds for the customers themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cut_tree, linkage
from sklearn.metrics import adjusted_rand_score

from mpcseg.errors import ConfigError
from mpcseg.shapes.hierarchy import ward_hierarchy


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 4))
def test_segments_of_one_customer_each_are_joined_as_by_scipy(seed: int, n: int, d: int) -> None:
    points = np.random.default_rng(seed).normal(size=(n, d))
    ours, theirs = ward_hierarchy(np.ones(n), points), linkage(points, "ward")
    np.testing.assert_allclose(ours.linkage[:, 2:], theirs[:, 2:], rtol=1e-9)
    for k in range(1, n + 1):
        same = adjusted_rand_score(ours.cut(k), cut_tree(theirs, n_clusters=k)[:, 0])
        assert same == pytest.approx(1.0)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8))
def test_sizes_weigh_as_so_many_customers_at_one_place(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    points, sizes = rng.normal(size=(n, 2)), rng.integers(1, 9, n)
    ours = ward_hierarchy(sizes.astype(float), points)
    theirs = linkage(np.repeat(points, sizes, axis=0), "ward")
    # The customers of one segment are joined first, at height 0.
    np.testing.assert_allclose(ours.linkage[:, 2], theirs[-(n - 1) :, 2], rtol=1e-6)


def test_costs_add_up_to_what_lies_between_the_segments() -> None:
    rng = np.random.default_rng(1)
    points, sizes = rng.normal(size=(9, 3)), rng.uniform(10, 90, 9)
    mean = sizes @ points / sizes.sum()
    between = sizes @ ((points - mean) ** 2).sum(axis=1)
    assert ward_hierarchy(sizes, points).costs.sum() == pytest.approx(between)


def test_the_largest_gap_finds_groups_that_lie_apart() -> None:
    rng = np.random.default_rng(2)
    centres = np.repeat([[0.0, 0.0], [20.0, 0.0], [0.0, 30.0]], 4, axis=0)
    tree = ward_hierarchy(rng.uniform(50, 100, 12), centres + rng.normal(size=(12, 2)))
    assert tree.largest_gap() == 3
    assert adjusted_rand_score(tree.cut(), np.repeat([0, 1, 2], 4)) == 1.0


@pytest.mark.parametrize("wanted", [0, 5])
def test_more_segments_than_there_are_cannot_be_had(wanted: int) -> None:
    tree = ward_hierarchy(np.ones(4), np.eye(4))
    with pytest.raises(ConfigError, match="4 segments cannot be merged into"):
        tree.cut(wanted)
