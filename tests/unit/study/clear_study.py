"""A whole study in the clear: the schedule, fed with sums of plaintext records."""

from collections.abc import Sequence

import numpy as np

from mpcseg.privacy.budget import NoisePlan, no_noise_plan, noise_plan
from mpcseg.reference.lloyd import profile_sums, soft_weights, weighted_sums
from mpcseg.reference.moments import moment_sums
from mpcseg.reference.rounds import ScoutTerms
from mpcseg.reference.sign import sign_for
from mpcseg.study.schedule import RoundRequest, Schedule, StudyResult

BLUNT, SHARP = (7, 7), (7, 15)
SLOTS = 8192


def plan_for(
    *,
    n_clusters: int,
    n_features: int,
    n_rounds: int,
    n_parties: int = 1,
    epsilon: float | None = None,
    own_draw: bool = False,
    blunt: tuple[int, ...] = BLUNT,
    sharp: tuple[int, ...] = SHARP,
    scouting: ScoutTerms | None = None,
) -> NoisePlan:
    """The noise plan of such a study at delta = 1e-6; without an epsilon, that of no noise."""
    shape = {
        "n_clusters": n_clusters,
        "n_features": n_features,
        "n_rounds": n_rounds,
        "n_parties": n_parties,
    }
    radius = float(np.sqrt(n_features))
    if epsilon is None:
        return no_noise_plan(
            **shape, radius=radius, signs=(blunt, sharp), own_draw=own_draw, scouting=scouting
        )
    return noise_plan(
        **shape,
        epsilon=epsilon,
        delta=1e-6,
        radius=radius,
        signs=(blunt, sharp),
        own_draw=own_draw,
        scouting=scouting,
    )


def clear_schedule(
    *,
    n_clusters: int,
    features: Sequence[str],
    n_rounds: int = 10,
    seed: int = 0,
    parties: Sequence[str] = ("alder",),
    most_records: int = 10**6,
    epsilon: float | None = None,
    own_draw: bool = False,
    sharp: tuple[int, ...] = SHARP,
    scouting: ScoutTerms | None = None,
    **changes: float,
) -> Schedule:
    """A schedule whose parties have a block each."""
    noise = plan_for(
        n_clusters=n_clusters,
        n_features=len(features),
        n_rounds=n_rounds,
        n_parties=len(parties),
        epsilon=epsilon,
        own_draw=own_draw,
        sharp=sharp,
        scouting=scouting,
    )
    return Schedule(
        n_clusters=n_clusters,
        n_rounds=n_rounds,
        feature_names=features,
        parties=dict.fromkeys(parties, 1),
        slots=SLOTS,
        most_records=most_records,
        blunt=BLUNT,
        sharp=sharp,
        seed=seed,
        noise=noise,
        **changes,
    )


def clear_sums(
    request: RoundRequest, records: np.ndarray, n_clusters: int, n_parties: int = 1
) -> np.ndarray:
    """The sums that one party's records add to a round; honest ones add nothing to admission."""
    if request.kind == "admission":
        return np.zeros((n_parties, 3))
    if request.kind == "moments":
        return moment_sums(records)
    assert request.hyperplanes is not None
    k = request.n_clusters or n_clusters
    weights = soft_weights(records, request.hyperplanes, sign_for(request.sign), k)
    make = weighted_sums if request.kind in ("lloyd", "scout") else profile_sums
    return make(records, weights)


def run_clear(
    schedule: Schedule,
    parties: Sequence[np.ndarray],
    n_clusters: int,
    noise: tuple[NoisePlan, np.random.Generator] | None = None,
    *,
    n_parties: int = 1,
) -> StudyResult:
    """Drive a schedule to its end, with Gaussian noise of the plan's standard deviations."""
    while (request := schedule.request()) is not None:
        sums = sum(clear_sums(request, part, n_clusters, n_parties) for part in parties)
        if noise is not None:
            plan, rng = noise
            sums = sums + rng.normal(0, 1, sums.shape) * plan.effective_stds(
                request.kind, request.sign, request.n_clusters
            )
        schedule.receive(sums)
    return schedule.result()


def after_admission(schedule: Schedule, n_parties: int = 1) -> Schedule:
    """Take a schedule past the round in which honest records add up to nothing."""
    schedule.receive(np.zeros((n_parties, 3)))
    return schedule
