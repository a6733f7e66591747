"""Ciphertexts against the same polynomial in the clear, stage by stage, in bits.

The table in docs/precision.md is this test's output with ``--capture=no``.
"""

from __future__ import annotations

import numpy as np
import pytest

from mpcseg.ckks import assignment
from mpcseg.ckks.assignment import SUM_LEVEL, pairs_of_cluster, signs_of_cluster, start_level
from mpcseg.ckks.packing import pack_blocks
from mpcseg.ckks.planner import plan_study
from mpcseg.ckks.serialization import CiphertextShape, unpack_ciphertext
from mpcseg.ckks.sign import evaluate_sign
from mpcseg.engine import release_scales
from mpcseg.reference.sign import sign_for
from tests.unit.ckks.conftest import Keys

K, D, N_RECORDS, SIGN = 5, 3, 8000, (7, 15)
LEAST_BITS = {"distance": 17, "sign": 12, "weight": 10, "slot sum": 10}
"""-log2 of the root mean square error; of the largest error for slot sums, per record."""


@pytest.fixture(scope="module")
def errors(keys: Keys) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    records = rng.uniform(-1, 1, (N_RECORDS, D))
    (block,) = pack_blocks(records, keys.parameters.slots)
    planes = rng.normal(size=(10, D + 1)) * [0.3, 0.3, 0.3, 0.05]
    planes /= np.abs(planes).sum(axis=1, keepdims=True)
    level = start_level(K, SIGN)
    *features, presence = keys.load_block(block)
    circuit = keys.circuit

    t, signs = [], []
    for plane in planes:
        blobs = keys.secret.encrypt_hyperplane(plane, level)
        shape = CiphertextShape(level, seeded=True)
        loaded = [unpack_ciphertext(keys.parameters, blob, shape) for blob in blobs]
        t.append(assignment.distance_difference(circuit, features, loaded))
        signs.append(evaluate_sign(circuit, t[-1], sign_for(SIGN)))
    own = [signs[pair] for pair in pairs_of_cluster(0, K)]
    weight = assignment.assignment_weight(circuit, signs_of_cluster(circuit, 0, K, own))
    columns = [circuit.lower(x, SUM_LEVEL) for x in features] + [presence]
    sums = [
        circuit.finish(product)
        for product in assignment.weighted_products(circuit, weight, columns)
    ]

    clear_t = planes[:, :-1] @ block[:-1] + planes[:, -1:]
    clear_signs = sign_for(SIGN)(clear_t)
    clear_weight = np.prod((1 + clear_signs[pairs_of_cluster(0, K)]) / 2, axis=0)
    # At the scales of the first cluster as the key node predicts them.
    scales = release_scales(
        keys.parameters, "lloyd", SIGN, n_clusters=K, n_features=D, n_parties=1
    )[: D + 1]
    released = [
        keys.secret.decrypt_slot_sum(keys.mask.release(total, bytes(64), str(i)), scale)
        for i, (total, scale) in enumerate(zip(sums, scales, strict=True))
    ]
    return {
        "distance": np.concatenate([keys.slots(x) for x in t]) - clear_t.ravel(),
        "sign": np.concatenate([keys.slots(x) for x in signs]) - clear_signs.ravel(),
        "weight": keys.slots(weight) - clear_weight,
        "slot sum": (np.array(released) - block @ clear_weight) / N_RECORDS,
    }


@pytest.mark.parametrize("stage", LEAST_BITS)
def test_bits_of_precision(errors: dict[str, np.ndarray], stage: str) -> None:
    error = errors[stage]
    rms, largest = np.sqrt(np.mean(error**2)), np.abs(error).max()
    bits = -np.log2(largest if stage == "slot sum" else rms)
    print(f"{stage:10} rms {rms:.1e}  largest {largest:.1e}  {bits:.1f} bits")  # noqa: T201
    assert bits > LEAST_BITS[stage]
    assert largest < 2e-2


def test_the_planner_predicts_them(errors: dict[str, np.ndarray]) -> None:
    plan = plan_study(n_clusters=K, n_features=D, n_rounds=1)
    for predicted in plan.precision():
        measured = -np.log2(np.sqrt(np.mean(errors[predicted.stage] ** 2)))
        assert predicted.bits == pytest.approx(measured, abs=2.0), predicted.stage
