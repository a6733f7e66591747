"""The comparison with scikit-learn: exact where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from mpcseg.demo.comparison import compare
from mpcseg.reference.lloyd import lloyd


@pytest.fixture(scope="module")
def records() -> np.ndarray:
    rng = np.random.default_rng(2)
    blobs = [rng.normal(center, 0.1, (80, 2)) for center in ((-0.5, -0.5), (0.5, -0.4), (0, 0.6))]
    return np.clip(np.concatenate(blobs), -1, 1)


def test_ordinary_lloyd_compares_as_equal(records: np.ndarray) -> None:
    start = records[[0, 100, 200]]
    for n_rounds in (1, 3):
        centers, _ = lloyd(records, start, n_rounds, 1 / records.var(axis=0))
        found = compare(records, centers, start, n_rounds)
        assert found.inertia_ratio == pytest.approx(1, abs=1e-9)
        assert found.ari == 1


def test_the_metric_is_the_standardised_one(records: np.ndarray) -> None:
    squeezed = records * [1.0, 0.01]
    start = records[[0, 100, 200]]
    centers, _ = lloyd(records, start, 4, 1 / records.var(axis=0))
    wide = compare(records, centers, start, 4)
    narrow = compare(squeezed, centers * [1.0, 0.01], start * [1.0, 0.01], 4)
    assert narrow.inertia == pytest.approx(wide.inertia)
    assert narrow.inertia_ratio_best10 == pytest.approx(wide.inertia_ratio_best10)


def test_centres_that_are_off_show(records: np.ndarray) -> None:
    start = records[[0, 100, 200]]
    centers, _ = lloyd(records, start, 4, 1 / records.var(axis=0))
    found = compare(records, centers + 0.2, start, 4)
    assert found.inertia_ratio > 1.2
    one_is_lost = compare(records, np.array([*centers[:2], [9.0, 9.0]]), start, 4)
    assert one_is_lost.ari_best10 < 0.7
