"""The scales that a key node expects: predicted for every study, by running its tasks in the clear.

That they are those of real releases is tested where there are some: `test_evaluation.py`,
`test_split_invariance.py` and `test_admission.py` decrypt at the predicted scale alone.
"""

from __future__ import annotations

import math

import pytest

from mpcseg.ckks.planner import plan_study
from mpcseg.ckks.slot_sum import units_per_sum
from mpcseg.engine import release_scales
from mpcseg.reference.rounds import RoundKind

N_PARTIES = 3
KINDS: list[RoundKind] = ["admission", "moments", "lloyd", "profile"]


@pytest.mark.parametrize("k", range(2, 9))
@pytest.mark.parametrize("kind", KINDS)
def test_every_sum_of_every_study_has_a_predicted_scale(kind: RoundKind, k: int) -> None:
    d = 4
    plan = plan_study(n_clusters=k, n_features=d, n_rounds=2, most_records=[100] * N_PARTIES)
    room = math.prod(plan.parameters.primes[:2])
    for sign in (plan.blunt, plan.sharp) if kind in ("lloyd", "profile") else ((),):
        for radius in (None, 1.5, math.sqrt(d)):
            scales = release_scales(
                plan.parameters,
                kind,
                sign,
                n_clusters=k,
                n_features=d,
                n_parties=N_PARTIES,
                radius=radius,
            )
            assert len(scales) == plan.n_sums(kind)
            # Fine enough for integer noise, with room for a sum over a whole block.
            for scale in scales:
                assert units_per_sum(plan.parameters, scale) > 2**16
                assert scale * 2 < room


def test_sums_of_one_round_do_not_all_have_one_scale() -> None:
    """So that it matters which release stands where."""
    plan = plan_study(n_clusters=3, n_features=2, n_rounds=2)
    kinds: list[tuple[RoundKind, tuple[int, ...], list[list[int]]]] = [
        ("admission", (), [[0, 3], [1, 2, 4, 5]]),
        ("moments", (), [[0, 1, 2], [3, 4, 5]]),
        ("profile", plan.sharp, [[0, 1, 2, 5, 6, 7, 10, 11, 12], [3, 4, 8, 9, 13, 14]]),
    ]
    for kind, sign, alike in kinds:
        scales = release_scales(
            plan.parameters, kind, sign, n_clusters=3, n_features=2, n_parties=2
        )
        different = dict.fromkeys(scales)
        groups = [[i for i, s in enumerate(scales) if s == scale] for scale in different]
        assert groups == alike
