"""Distances, assignment weights and weighted sums on ciphertexts (docs/protocol.md section 3).

All of it runs on the compute node, on ciphertexts only. A cluster pair (a, b) has a < b.
"""

from __future__ import annotations

from collections.abc import Sequence

from mpcseg.ckks.circuit import Circuit, Encrypted
from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.sign import sign_levels
from mpcseg.reference.hyperplanes import cluster_pairs

SUM_LEVEL = 1
"""Level of the last product: its rescale ends at level 0, where slot sums are masked."""


def weight_levels(n_clusters: int) -> int:
    """Levels of the product of n_clusters - 1 factors: ceil(log2(n_clusters - 1))."""
    return (n_clusters - 2).bit_length()


def start_level(n_clusters: int, sign_degrees: tuple[int, ...]) -> int:
    """Level at which a round begins: distance, sign, weights and weighted sums, and no more.

    A round with a blunter sign starts lower, where every operation is cheaper.
    """
    return 1 + sign_levels(sign_degrees) + weight_levels(n_clusters) + SUM_LEVEL


def hyperplane_scales(parameters: ParameterSet, level: int) -> tuple[float, float]:
    """Scales of u_j and of v at ``level``: with them t comes out at TARGET_SCALE exactly."""
    prime = float(parameters.top_prime(level))
    return prime, prime * TARGET_SCALE


def distance_difference(
    circuit: Circuit, features: Sequence[Encrypted], hyperplane: Sequence[Encrypted]
) -> Encrypted:
    """T = Σ_j x_j·u_j + v: one key switch for the whole sum, one level.

    Args:
        circuit: on the compute node.
        features: d ciphertexts of one block, at the round's start level.
        hyperplane: u_1 … u_d and v at the scales of :func:`hyperplane_scales`.
    """
    *normal, offset = hyperplane
    products = (circuit.multiply(x, u) for x, u in zip(features, normal, strict=True))
    total = next(products)
    for product in products:
        total = circuit.add(total, product)
    return circuit.finish(circuit.add(total, offset))


def assignment_weight(circuit: Circuit, signs: Sequence[Encrypted]) -> Encrypted:
    """w_a = Π_b (1 + s_ab)/2, as a balanced product tree.

    Args:
        circuit: on the compute node.
        signs: s_ab for every b ≠ a, already negated where the pair was (b, a).
    """
    factors = [circuit.halve(circuit.add_scalar(sign, 1.0)) for sign in signs]
    while len(factors) > 1:
        paired = [
            circuit.finish(circuit.multiply(a, b))
            for a, b in zip(factors[0::2], factors[1::2], strict=False)
        ]
        if len(factors) % 2:
            paired.append(circuit.lower(factors[-1], paired[-1].level))
        factors = paired
    return circuit.lower(factors[0], SUM_LEVEL)


def signs_of_cluster(
    circuit: Circuit, cluster: int, n_clusters: int, signs: Sequence[Encrypted]
) -> list[Encrypted]:
    """s_ab for every b ≠ a = ``cluster``, from the signs of all pairs that name it, in their order.

    Args:
        circuit: on the compute node.
        cluster: a.
        n_clusters: k.
        signs: for the k - 1 pairs of :func:`pairs_of_cluster`.
    """
    pairs = [pair for pair in cluster_pairs(n_clusters) if cluster in pair]
    return [
        sign if first == cluster else circuit.negate(sign)
        for (first, _), sign in zip(pairs, signs, strict=True)
    ]


def pairs_of_cluster(cluster: int, n_clusters: int) -> list[int]:
    """Indices, in :func:`cluster_pairs`, of the k - 1 pairs that name a cluster."""
    return [i for i, pair in enumerate(cluster_pairs(n_clusters)) if cluster in pair]


def weighted_products(
    circuit: Circuit, weight: Encrypted, columns: Sequence[Encrypted]
) -> list[Encrypted]:
    """w·z for every column z; not relinearised, so that blocks can be added first."""
    return [circuit.multiply(weight, column) for column in columns]


def squares(circuit: Circuit, features: Sequence[Encrypted]) -> list[Encrypted]:
    """x_j² at :data:`SUM_LEVEL`, for the profile round."""
    return [
        circuit.finish(circuit.square(circuit.lower(feature, SUM_LEVEL + 1)))
        for feature in features
    ]


def moment_products(circuit: Circuit, features: Sequence[Encrypted]) -> list[Encrypted]:
    """x_j·x_l for j ≤ l at :data:`SUM_LEVEL`, not relinearised, row-major."""
    low = [circuit.lower(feature, SUM_LEVEL) for feature in features]
    return [
        circuit.square(low[j]) if j == m else circuit.multiply(low[j], low[m])
        for j in range(len(low))
        for m in range(j, len(low))
    ]
