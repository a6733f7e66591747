"""What the key node verifies of decrypted sums before it goes by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mpcseg.errors import AdmissionError, ConstantFeatureError, ProtocolError, TooFewRecordsError
from mpcseg.privacy.budget import NoisePlan
from mpcseg.reference.moments import Moments
from mpcseg.reference.rounds import ADMISSION_RULES

# Under this variance in scaled space a feature is constant but for the errors of its encryption.
CONSTANT_VARIANCE = 1e-8
# Error of a decrypted sum, whatever the number of records: ten times the largest seen, 4e-4 per
# block. Divided by n it is the variance that a constant feature can seem to have.
SUM_ERROR = 5e-3
# Noise beyond this many standard deviations comes up once in 10^15 draws.
NOISE_DEVIATIONS = 8.0

_BROKEN = {
    "bounds": "a value, or the norm of a record, is beyond the agreed bounds",
    "presence": "presence is neither 0 nor 1, or stands in slots that are not this party's",
    "padding": "there are records where presence has none, or records that are no real numbers",
}


def verify_admission(
    sums: NDArray[np.float64], parties: Mapping[str, int], slots: int, noise: NoisePlan
) -> None:
    """Check that every party's records are in the agreed domain. Key node.

    Args:
        sums: of the admission round, shape (n_parties, 3).
        parties: blocks that each party uploaded, by name, in the order of the rows.
        slots: of a block.
        noise: has the limits.

    Raises:
        AdmissionError: naming the first party that breaks a rule, and the rule.
    """
    for (name, n_blocks), values in zip(parties.items(), sums, strict=True):
        limits = noise.admission_limits(n_blocks, slots)
        for rule, value, limit in zip(ADMISSION_RULES, values, limits, strict=True):
            if abs(value) > limit:
                raise AdmissionError(
                    f"the encrypted records of party {name!r} break the rule {rule!r}: "
                    f"{_BROKEN[rule]}",
                    "The study ends before a centroid is computed. That party has to look into its "
                    "table and its copy of the program.",
                )


def verify_possible_number(counted: float, most: float, std: float, round_index: int) -> None:
    """Check that no more records are counted than there can be.

    Whoever makes all sums larger makes this one larger too, and the noise beside it smaller.

    Args:
        counted: as decrypted.
        most: records that there can be, over all parties.
        std: of the noise in the count; 0 without noise.
        round_index: named in the error.

    Raises:
        ProtocolError: there are more, by more than noise and one record of allowance.
    """
    if counted > most + 1 + NOISE_DEVIATIONS * std:
        raise ProtocolError(
            f"the sums of round {round_index} count more records than all parties can have",
            "A party has brought more than its most_records, or the compute node computes "
            "something else than was agreed.",
        )


def verify_enough_records(n_records: int, n_clusters: int, std: float) -> None:
    """Check that there are more records than clusters, and more than noise could make up.

    Args:
        n_records: as decrypted.
        n_clusters: k.
        std: of the noise in it; 0 without noise.

    Raises:
        TooFewRecordsError: there are not.
    """
    if n_records < n_clusters:
        raise TooFewRecordsError(
            f"all parties together have {max(n_records, 0)} "
            f"{'record' if n_records == 1 else 'records'} for {n_clusters} clusters"
            + (", as far as the noise lets see" if std else ""),
            "Ask for fewer clusters.",
        )
    if n_records < 2 * std:
        raise TooFewRecordsError(
            f"all parties together have too few records for this noise: {n_records}, give or take "
            f"{std:.0f}",
            "Bring more records together, or agree on a larger epsilon; `mpcseg plan` tells how "
            "many records a budget is enough for.",
        )


def verify_features_vary(names: Sequence[str], moments: Moments) -> None:
    """Check, in a study without noise, that no feature is constant.

    Raises:
        ConstantFeatureError: naming the first one that is.
    """
    for name, variance in zip(names, np.diag(moments.covariance), strict=True):
        if variance < CONSTANT_VARIANCE + SUM_ERROR / moments.n_records:
            raise ConstantFeatureError(
                f"feature {name!r} has the same value in all records of all parties",
                "Leave it out, or agree on tighter bounds if it does vary a little.",
            )
