"""An attacker that knows every record but one, and wants that one.

Nobody is in a better place to reconstruct a record, so this is where noise has to show what it is
worth. For a record that may be anywhere in the domain, differential privacy bounds how often any
attacker can come within a distance: at most e^epsilon · p + delta, where p is how often the best
guess without a view does (Balle, Cherubin and Hayes, *Reconstructing Training Data with Informed
Adversaries*, 2022). The bound is for neighbours that differ by one record more or less, which is
what the noise plan counts by: without the record, the view says nothing about it.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from tests.adversarial.reconstruction import Trajectory
from tests.adversarial.studies import DELTA, EPSILON, Design, clear_view, groups
from tests.adversarial.table import percent, show
from tests.adversarial.views import SUM_ERROR

N_KNOWN = 1000
DESIGN = Design(3, 2, 10)
WITHIN = 0.25
GUESSED = math.pi * WITHIN**2 / 4
"""Share of the domain that a disc of this radius covers: how often the best guess is right."""
BOUND = math.exp(EPSILON) * GUESSED + DELTA
FALSE_ALARM = 1e-6


def distance(seed: int, scale: float) -> float:
    """How far off the attacker is in one study with this share of the planned noise."""
    rng = np.random.default_rng(seed)
    known, target = groups(N_KNOWN, 3, 2, rng), rng.uniform(-1, 1, (1, 2))
    error = SUM_ERROR * math.sqrt(1 + N_KNOWN / 10)
    view = clear_view(
        np.vstack([known, target]), DESIGN, rng, epsilon=EPSILON, scale=scale, sum_error=error
    )
    return float(np.linalg.norm(Trajectory(view, known).one_record(WITHIN) - target))


@pytest.mark.parametrize(
    ("scale", "trials"), [(0.0, 20), (0.01, 20), (0.1, 100), (1.0, 300)], ids=str
)
def test_the_last_record(scale: float, trials: int) -> None:
    off = np.array([distance(seed, scale) for seed in range(trials)])
    hits = int((off <= WITHIN).sum())
    show(
        f"one unknown record beside {N_KNOWN} known",
        {0.0: "none", 1.0: f"epsilon = {EPSILON:g}"}.get(scale, f"{scale:g} of it"),
        f"{percent(float((off <= 0.01).mean()))} within 0.01, {percent(hits / trials)} within "
        f"{WITHIN:g} (guessing {percent(GUESSED)}, bound {percent(BOUND)})",
    )
    # With every seed drawn anew, one run in a million would go wrong on either side.
    most = binom.isf(FALSE_ALARM, trials, BOUND)
    if scale == 0:
        assert (off <= 0.01).mean() > 0.9
    if scale <= 0.01:
        assert hits > most
    if scale == 1:
        assert hits <= most
