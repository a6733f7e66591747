"""What a released ciphertext differs by from the one that a replay gives (step 5).

Both have the same re-randomisation and mask, which follow from the seed. The noise is all that may
differ: an integer in the constant coefficient, hence one and the same number in every NTT value.
"""

from __future__ import annotations

import numpy as np

from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.serialization import read_residues
from mpcseg.ckks.slot_sum import SLOT_SUM_SHAPE, signed_units, units_per_sum
from mpcseg.errors import MalformedBlobError, ReplayError
from mpcseg.verification.replay_noise import Draw

_HINT = "What was sent for decryption is not the agreed sum, masked with the committed seed."


def verify_release(
    parameters: ParameterSet, place: str, released: bytes, replayed: bytes, std: float
) -> Draw:
    """Check that a release is the replayed one but for its noise; returns the noise.

    Args:
        parameters: of the study.
        place: names the release.
        released: as it was sent to the key node.
        replayed: without noise.
        std: agreed standard deviation of the noise, in units of the sum.

    Raises:
        ReplayError: anything else differs; says which polynomial.
    """
    try:
        found, found_scale = read_residues(parameters, released, SLOT_SUM_SHAPE)
    except MalformedBlobError as error:
        raise ReplayError(f"{place} is no masked slot sum: {error.message}", _HINT) from None
    due, scale = read_residues(parameters, replayed, SLOT_SUM_SHAPE)
    if found_scale != scale:
        raise ReplayError(f"{place} has another scale than the agreed circuit gives", _HINT)
    if not np.array_equal(found[1], due[1]):
        raise ReplayError(f"{place} has another second polynomial than the replay", _HINT)
    primes = np.array(parameters.primes[: len(found[0])], np.int64)[:, None]
    difference = (found[0].astype(np.int64) - due[0]) % primes
    if (difference != difference[:, :1]).any():
        raise ReplayError(
            f"{place} differs from the replay in more than the constant coefficient", _HINT
        )
    units = signed_units(parameters, (int(difference[0, 0]), int(difference[1, 0])))
    return Draw(place, units, std * units_per_sum(parameters, scale))
