"""A whole study in the clear: the schedule, fed with sums of plaintext records."""

from collections.abc import Sequence

import numpy as np

from mpcseg.reference.lloyd import profile_sums, soft_weights, weighted_sums
from mpcseg.reference.moments import moment_sums
from mpcseg.reference.sign import sign_for
from mpcseg.study.schedule import RoundRequest, Schedule, StudyResult


def clear_sums(request: RoundRequest, records: np.ndarray, n_clusters: int) -> np.ndarray:
    """The sums that one party's records add to a round."""
    if request.kind == "moments":
        return moment_sums(records)
    assert request.hyperplanes is not None
    weights = soft_weights(records, request.hyperplanes, sign_for(request.sign), n_clusters)
    make = weighted_sums if request.kind == "lloyd" else profile_sums
    return make(records, weights)


def run_clear(schedule: Schedule, parties: Sequence[np.ndarray], n_clusters: int) -> StudyResult:
    """Drive a schedule to its end."""
    while (request := schedule.request()) is not None:
        schedule.receive(sum(clear_sums(request, part, n_clusters) for part in parties))
    return schedule.result()
