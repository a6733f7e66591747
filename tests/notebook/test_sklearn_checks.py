"""scikit-learn's own checks that fit, on exact sums: those that can hold (docs/python.md)."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from mpcseg import EncryptedKMeans
from tests.unit.api.test_kmeans import CONVENTIONS

_ONE_SEGMENT = "asks for a study of one segment; an agreement has two at least"
CANNOT_HOLD = {
    "check_dont_overwrite_parameters": _ONE_SEGMENT,
    "check_fit2d_1feature": _ONE_SEGMENT,
    "check_fit2d_1sample": _ONE_SEGMENT,
    "check_fit2d_predict1d": _ONE_SEGMENT,
    "check_fit_idempotent": "compares two fits to 1e-9; encryption is fresh each time, and "
    "distances of the two differed by 3e-5 standard deviations",
    "check_methods_subset_invariance": _ONE_SEGMENT,
    "check_pipeline_consistency": "compares two fits to 1e-7; ciphertexts are not that exact (over "
    "its 30 records, distances of two fits differed by up to 0.008 standard deviations)",
}


def estimator() -> EncryptedKMeans:
    return EncryptedKMeans(
        2, n_rounds=1, epsilon="none", smallest_segment=1, random_state=0, n_jobs=1,
        significant_digits=6,
    )  # fmt: skip


CHECKS = {
    f"{number:02d}-{check.func.__name__}": check
    for number, (_, check) in enumerate(estimator_checks_generator(estimator(), legacy=True))
    if check.func.__name__ not in CONVENTIONS | CANNOT_HOLD.keys()
}


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CHECKS)
def test_a_check_of_scikit_learn_holds(name: str) -> None:
    check: Any = CHECKS[name]
    check(estimator())
