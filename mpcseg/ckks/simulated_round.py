"""One block's round on random data in the clear: the real circuits, for counting and for errors.

Any node, when it plans a study (docs/protocol.md sections 8, 9).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpcseg.ckks import admission, assignment
from mpcseg.ckks.assignment import SUM_LEVEL
from mpcseg.ckks.circuit import Circuit, Encrypted
from mpcseg.ckks.parameters import TARGET_SCALE
from mpcseg.ckks.sign import evaluate_sign
from mpcseg.ckks.simulation import ClearBackend
from mpcseg.reference.sign import sign_for

if TYPE_CHECKING:
    from mpcseg.ckks.planner import Plan


@dataclass(frozen=True)
class Precision:
    """Error of the encrypted computation against the same one in the clear.

    Attributes:
        stage: distance, sign or weight.
        rms: root mean square error.
        largest: largest error.
    """

    stage: str
    rms: float
    largest: float

    @property
    def bits(self) -> float:
        """-log2 of the root mean square error."""
        return -math.log2(self.rms)


class SimulatedRound:
    """One block's round, with the noise that CKKS would add, or without any.

    Args:
        plan: of the study.
        sign: of the round.
        seed: of the data.
        n_records: of the block.
        noise: where the noise is drawn; None for none.
    """

    def __init__(
        self,
        plan: Plan,
        sign: tuple[int, ...],
        *,
        seed: int = 0,
        n_records: int = 1,
        noise: np.random.Generator | None = None,
    ) -> None:
        parameters, d = plan.parameters, plan.n_features
        rng = np.random.default_rng(seed)
        self._backend = ClearBackend(parameters, noise)
        self.circuit = Circuit(parameters, self._backend)
        self._plan = plan
        self._sign = sign
        self._level = plan.start_level(sign)
        data = rng.uniform(-1.0, 1.0, (d, n_records))
        self._features = [
            Encrypted(self._backend.encrypt(x, TARGET_SCALE), parameters.n_levels, TARGET_SCALE)
            for x in data
        ]
        # Those that decide on the first cluster: the other ones are no different.
        self._normals = rng.normal(0.0, 1.0, (plan.n_clusters - 1, d))
        self._n_records = n_records

    def _hyperplane(self, pair: int) -> list[Encrypted]:
        normal = self._normals[pair] / np.abs(self._normals[pair]).sum()
        u_scale, v_scale = assignment.hyperplane_scales(self._plan.parameters, self._level)
        entries = [(u, u_scale) for u in normal] + [(0.0, v_scale)]
        return [
            Encrypted(
                self._backend.encrypt_symmetric(np.full(self._n_records, value), scale),
                self._level,
                scale,
            )
            for value, scale in entries
        ]

    def _distance(self, pair: int) -> Encrypted:
        lowered = [self.circuit.lower(x, self._level) for x in self._features]
        return assignment.distance_difference(self.circuit, lowered, self._hyperplane(pair))

    def sign(self, pair: int = 0) -> Encrypted:
        """On which side of a pair's hyperplane the records are."""
        return evaluate_sign(self.circuit, self._distance(pair), sign_for(self._sign))

    def _weight(self, signs: Sequence[Encrypted]) -> Encrypted:
        factors = assignment.signs_of_cluster(self.circuit, 0, self._plan.n_clusters, signs)
        return assignment.assignment_weight(self.circuit, factors)

    def _signs(self) -> list[Encrypted]:
        return [self.sign(pair) for pair in range(self._plan.n_clusters - 1)]

    def release_scale(self) -> float:
        """Scale of a released sum."""
        (product, *_) = self.products([self.sign()] * (self._plan.n_clusters - 1), profile=False)
        return self.circuit.finish(product).scale

    def stages(self) -> dict[str, NDArray[np.float64]]:
        """Slots after each stage, for the first cluster."""
        signs = self._signs()
        return {
            "distance": self._distance(0).payload,
            "sign": signs[0].payload,
            "weight": self._weight(signs).payload,
        }

    def products(self, signs: Sequence[Encrypted], *, profile: bool) -> list[Encrypted]:
        """One cluster's weighted products of one block."""
        column = self.circuit.lower(self._features[0], SUM_LEVEL)
        n_columns = self._plan.n_columns("profile" if profile else "lloyd")
        return assignment.weighted_products(self.circuit, self._weight(signs), [column] * n_columns)

    def squares(self) -> None:
        """The x_j² of one block, and those of numeric columns."""
        numeric = self._features[:1] * self._plan.columns.n_numeric
        assignment.squares(self.circuit, [*self._features, *numeric])

    def admission(self, *, norm: bool) -> None:
        """All that is done to one upload before it is admitted."""
        circuit, rho, columns = self.circuit, np.ones(1, np.complex128), self._plan.columns
        features = [*self._features, *self._features[:1] * columns.n_numeric]
        rhos = [rho] * len(features)
        for feature in features:
            admission.coordinate_power(circuit, feature, rho)
        if norm:
            admission.norm_power(circuit, self._features, 1.0, rho)
        admission.magnitudes(circuit, features, rhos)
        presence = Encrypted(np.ones(1), SUM_LEVEL, TARGET_SCALE)
        for _ in range(1 + columns.n_labels):
            admission.presence_product(circuit, presence, rho, rho, slice(0, 1))
        groups = [([presence] * count, rho) for count in columns.groups]
        admission.padding_product(circuit, features, presence, rhos, rhos, groups)


def compare(stage: str, exact: NDArray[np.float64], noisy: NDArray[np.float64]) -> Precision:
    """How far a stage with noise is from the same one without."""
    error = noisy - exact
    return Precision(stage, float(np.sqrt(np.mean(error**2))), float(np.abs(error).max()))
