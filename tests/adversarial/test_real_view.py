"""The reconstruction on what the key node really decrypts: real keys, ciphertexts and noise.

Engine, masks, noise draws and decryption are the product's. The same eight records are clustered
twice: without noise, as the product's schedule decides, and with the default noise, by a key node
that does not stop where the schedule would, since eight records are lost in it.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.adversarial.encrypted import EncryptedStudy
from tests.adversarial.reconstruction import Trajectory, share_found
from tests.adversarial.studies import EPSILON, Design, groups
from tests.adversarial.table import percent, show
from tests.adversarial.views import SUM_ERROR

N_RECORDS = 8
DESIGN = Design(n_clusters=3, n_features=2, n_rounds=6)
RECORDS = groups(N_RECORDS, 2, 2, np.random.default_rng(1))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> EncryptedStudy:
    return EncryptedStudy(RECORDS, DESIGN, tmp_path_factory.mktemp("compute"))


def test_without_noise_the_key_node_reads_the_records(study: EncryptedStudy) -> None:
    view = study.scheduled_view()
    errors = view.numbers() - view.contributions(RECORDS).sum(axis=0)
    # What the simulated studies of the other tests take for granted.
    assert errors.std() < 2 * SUM_ERROR
    fit = Trajectory(view).fit(N_RECORDS, np.random.default_rng(0), n_fits=400)
    share = share_found(fit.records, RECORDS)
    show("on ciphertexts: 8 records, k = 3, 6 rounds", "none", f"{percent(share)} within 0.01")
    # All eight in each of 60 simulations with fresh errors; encryption's are fresh in every run.
    assert share >= 0.75


def test_with_the_default_noise_it_reads_none(study: EncryptedStudy) -> None:
    rng = np.random.default_rng(101)
    view = study.noised_view(rng, EPSILON)
    noise = view.numbers() - view.contributions(RECORDS).sum(axis=0)
    # The engine did draw what the plan says: outside of this once in 10^9 runs (chi-squared, 75).
    assert 0.28 < np.mean((noise / view.deviations()) ** 2) < 2.35
    fit = Trajectory(view).fit(N_RECORDS, rng)
    share = share_found(fit.records, RECORDS)
    show(
        "on ciphertexts: 8 records, k = 3, 6 rounds",
        f"epsilon = {EPSILON:g}",
        f"{percent(share)} within 0.01",
    )
    # The noise is the product's, drawn anew in every run. Guessing finds one record in 150, so half
    # of the eight once in three million runs.
    assert share < 0.5
