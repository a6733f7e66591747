"""Chooses parameters and predicts a study before a key exists (docs/protocol.md sections 8, 9).

Nothing here is a formula for a circuit: the circuits themselves are run in the clear, with the
noise that CKKS would add, and their operations counted.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import rfc8785

from mpcseg.ckks.assignment import SUM_LEVEL, start_level
from mpcseg.ckks.costs import CostModel, Counts
from mpcseg.ckks.encryption import PRESENCE_SHAPE, feature_shape
from mpcseg.ckks.packing import SlotRange, allot_slots
from mpcseg.ckks.parameters import (
    BOTTOM_PRIMES,
    ParameterSet,
    max_levels,
    parameter_set,
)
from mpcseg.ckks.serialization import CiphertextShape, ciphertext_bytes, partial_bytes
from mpcseg.ckks.simulated_round import Precision, SimulatedRound, compare
from mpcseg.ckks.slot_sum import SLOT_SUM_SHAPE
from mpcseg.errors import PlanError
from mpcseg.reference.admission import CONVENTION
from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout
from mpcseg.reference.hyperplanes import DOMAIN_SLACK, cluster_pairs
from mpcseg.reference.rounds import (
    RoundKind,
    ScoutTerms,
    block_groups,
    scout_sample,
    sums_shape,
)
from mpcseg.reference.sign import sign_for

SHARP = (7, 15)
"""Sign of the late rounds and the profile. Sharper ones gain nothing in inertia (section 9)."""

BLUNT = (7, 7)
"""Sign of the early rounds: one level and three key switches fewer."""

_SAMPLE = 4096
"""Records of the simulation."""


class Costs(Protocol):
    """Seconds of operations: :class:`CostModel` or measured ones."""

    def total(self, counts: Counts) -> float:
        """Of many operations."""


@dataclass(frozen=True)
class Plan:
    """A study's parameters and what they will cost. Any node; every node makes the same one.

    Attributes:
        parameters: smallest set that carries the circuits.
        n_clusters: k; where it is chosen in the study, the largest it can be.
        n_features: d.
        n_rounds: Lloyd rounds at most.
        n_blocks: blocks of all parties, those that several share counted once.
        n_uploads: blocks that cross the wire.
        slot_ranges: each party's place in a shared block, or None.
        sharp: sign of late rounds and profile.
        blunt: sign of early rounds.
        scouting: how the number of clusters is chosen; None where it is agreed.
        columns: profile columns.
    """

    parameters: ParameterSet
    n_clusters: int
    n_features: int
    n_rounds: int
    n_blocks: int
    n_uploads: int
    slot_ranges: tuple[SlotRange | None, ...]
    sharp: tuple[int, ...] = SHARP
    blunt: tuple[int, ...] = BLUNT
    scouting: ScoutTerms | None = None
    columns: ColumnLayout = NO_COLUMNS

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that nodes must plan alike: ring, circuits, polynomials."""
        signs = [
            (sign, [stage.tolist() for stage in sign_for(sign).stages])
            for sign in (self.sharp, self.blunt)
        ]
        ranges = [place and (place.group, place.start, place.length) for place in self.slot_ranges]
        domain = (DOMAIN_SLACK, *CONVENTION)
        columns = (self.columns.n_numeric, self.columns.groups, self.columns.n_parties)
        content: Any = (
            self.parameters.digest, self.n_clusters, self.n_features, signs, ranges, domain,
            columns,
        )  # fmt: skip
        if self.scouting:
            content += (self.scouting.sequence,)
        return hashlib.sha256(rfc8785.dumps(content)).hexdigest()

    @cached_property
    def scouts(self) -> tuple[tuple[RoundKind, tuple[int, ...], Plan], ...]:
        """Rounds that choose the number of clusters: kind, sign, and a plan of their size.

        Empty where the number is agreed.
        """
        if self.scouting is None:
            return ()
        n_blocks = len(scout_sample(range(self.n_blocks), self.n_parties))
        return tuple(
            (
                kind,
                self.sharp if kind == "appraisal" else self.blunt,
                replace(self, n_clusters=k, n_blocks=n_blocks, scouting=None, columns=NO_COLUMNS),
            )
            for kind, k in self.scouting.sequence
        )

    def scout_seconds(self, costs: Costs | None = None) -> float:
        """Of evaluation of all scout and appraisal rounds on one core."""
        alike = Counter(self.scouts)
        return math.fsum(
            number * plan.round_seconds(sign, costs, profile=kind == "appraisal")
            for (kind, sign, plan), number in alike.items()
        )

    @property
    def n_pairs(self) -> int:
        """Pairs of clusters."""
        return len(cluster_pairs(self.n_clusters))

    def start_level(self, sign: tuple[int, ...]) -> int:
        """Level at which a round with this sign begins."""
        return start_level(self.n_clusters, sign)

    @cached_property
    def key_switches_per_pair(self) -> int:
        """Of distance and sharp sign, for one pair and one block."""
        simulation = SimulatedRound(self, self.sharp)
        simulation.sign()
        return _key_switches(simulation.circuit.counts)

    def block_counts(self, sign: tuple[int, ...], *, profile: bool = False) -> Counts:
        """Operations on one block in one round: of one pair, one cluster, times their numbers."""
        pair, cluster, once = (SimulatedRound(self, sign) for _ in range(3))
        cluster.products([pair.sign()] * (self.n_clusters - 1), profile=profile)
        if profile:
            once.squares()
        counts: Counter[tuple[str, int]] = Counter(once.circuit.counts)
        for part, times in ((pair, self.n_pairs), (cluster, self.n_clusters)):
            counts.update({operation: n * times for operation, n in part.circuit.counts.items()})
        return counts

    def admission_counts(self, *, norm: bool = False) -> Counts:
        """Operations on one upload, once a study; ``norm`` for a radius under the square root of d.

        Their releases are as many as :meth:`n_sums` says.
        """
        simulation = SimulatedRound(self, self.sharp)
        simulation.admission(norm=norm)
        return simulation.circuit.counts

    def release_counts(self, columns: int) -> Counts:
        """Operations on the sums over all blocks, once a round."""
        return Counter(
            {
                ("relinearise", SUM_LEVEL): columns,
                ("rescale", SUM_LEVEL): columns,
                ("mask", 0): columns,
            }
        )

    def n_sums(self, kind: RoundKind) -> int:
        """Values that a round of this kind decrypts."""
        return math.prod(self._shape(kind))

    def _shape(self, kind: RoundKind) -> tuple[int, ...]:
        return sums_shape(kind, self.n_clusters, self.n_features, self.n_parties, self.columns)

    def n_columns(self, kind: RoundKind) -> int:
        """Of these, for each cluster or party."""
        return self._shape(kind)[-1]

    @property
    def n_parties(self) -> int:
        """Parties, each of which is admitted by itself."""
        return len(self.slot_ranges)

    @property
    def decrypted_values(self) -> int:
        """Values that the whole study decrypts at most; nothing else ever is."""
        first = self.n_sums("admission") + self.n_sums("moments")
        scouts = sum(plan.n_sums(kind) for kind, _, plan in self.scouts)
        return first + scouts + self.n_rounds * self.n_sums("lloyd") + self.n_sums("profile")

    def round_seconds(
        self, sign: tuple[int, ...], costs: Costs | None = None, *, profile: bool = False
    ) -> float:
        """Of evaluation on one core."""
        costs = costs or CostModel(self.parameters)
        per_block = costs.total(self.block_counts(sign, profile=profile))
        releases = costs.total(self.release_counts(self.n_sums("profile" if profile else "lloyd")))
        return self.n_blocks * per_block + releases

    def admission_seconds(self, costs: Costs | None = None, *, norm: bool = False) -> float:
        """Of the admission round on one core."""
        costs = costs or CostModel(self.parameters)
        releases = costs.total(self.release_counts(self.n_sums("admission")))
        return self.n_uploads * costs.total(self.admission_counts(norm=norm)) + releases

    def hyperplane_seconds(self, sign: tuple[int, ...]) -> float:
        """Of one core of the key node, each round."""
        one = CostModel(self.parameters).seconds("encrypt_hyperplane", self.start_level(sign))
        return self.n_pairs * (self.n_features + 1) * one

    @cached_property
    def most_records(self) -> int:
        """Records over all parties that a slot sum has room for; the two bottom primes bound it."""
        q0, q1 = self.parameters.primes[:BOTTOM_PRIMES]
        scale = SimulatedRound(self, self.sharp).release_scale()
        return int(q0 * q1 / 2 / (scale * 2.0 / self.parameters.poly_modulus_degree))

    @property
    def upload_bytes_per_block(self) -> int:
        """From a party to the compute node, once a study."""
        high = ciphertext_bytes(self.parameters, feature_shape(self.parameters))
        low = ciphertext_bytes(self.parameters, PRESENCE_SHAPE)
        n_high = self.n_features + self.columns.n_numeric
        return n_high * high + (1 + self.columns.n_labels) * low

    def hyperplane_bytes(self, sign: tuple[int, ...]) -> int:
        """From the key node to the compute node, each round."""
        shape = CiphertextShape(self.start_level(sign), seeded=True)
        return self.n_pairs * (self.n_features + 1) * ciphertext_bytes(self.parameters, shape)

    def release_bytes(self, columns: int) -> int:
        """From the compute node to the key node, each round."""
        return columns * ciphertext_bytes(self.parameters, SLOT_SUM_SHAPE)

    def evidence_bytes(self, kind: RoundKind, *, norm: bool = False) -> int:
        """Partial sums of one round, which the compute node keeps until the study is closed.

        Args:
            kind: of the round.
            norm: whether admission tests an agreed radius too.
        """
        low = partial_bytes(self.parameters, 0, 2)
        product = partial_bytes(self.parameters, SUM_LEVEL, 3)
        d = self.n_features
        if kind == "admission":
            return self.n_uploads * ((d + self.columns.n_numeric + norm + 1) * low + 2 * product)
        groups = len(block_groups(self.n_blocks))
        if kind == "moments":
            return groups * ((1 + d) * low + d * (d + 1) // 2 * product)
        return groups * self.n_sums(kind) * product

    def kept_bytes(self, *, norm: bool = False) -> int:
        """Of all rounds, on the compute node's disk until the study is closed: what a replay needs.

        Hyperplanes, partial sums and releases; uploads and keys come on top.

        Args:
            norm: whether admission tests an agreed radius too.
        """
        lloyd: list[RoundKind] = ["lloyd"] * self.n_rounds
        kinds: list[RoundKind] = ["admission", "moments", *lloyd, "profile"]
        planes = (self.n_rounds + 1) * self.hyperplane_bytes(self.sharp)
        scouts = sum(
            plan.hyperplane_bytes(sign)
            + plan.evidence_bytes(kind)
            + plan.release_bytes(plan.n_sums(kind))
            for kind, sign, plan in self.scouts
        )
        return (
            planes
            + scouts
            + sum(
                self.evidence_bytes(kind, norm=norm) + self.release_bytes(self.n_sums(kind))
                for kind in kinds
            )
        )

    def precision(self, sign: tuple[int, ...] | None = None, seed: int = 0) -> list[Precision]:
        """Predicted errors of distance, sign and weight, by simulation of the noise."""
        sign = sign or self.sharp
        exact, noisy = (
            SimulatedRound(self, sign, seed=seed, n_records=_SAMPLE, noise=noise).stages()
            for noise in (None, np.random.default_rng(seed + 1))
        )
        return [compare(stage, exact[stage], noisy[stage]) for stage in exact]


def plan_study(  # noqa: PLR0913  the terms of an agreement
    *,
    n_clusters: int,
    n_features: int,
    n_rounds: int,
    scouting: ScoutTerms | None = None,
    records_per_party: Sequence[int] = (),
    most_records: Sequence[int | None] = (),
    parameter_set_name: str = "planned",
    columns: ColumnLayout = NO_COLUMNS,
) -> Plan:
    """Choose the smallest parameter set that carries a study. Any node, before a key exists.

    Args:
        n_clusters: k, 2 at least.
        n_features: d, 1 at least.
        n_rounds: Lloyd rounds, 1 at least.
        scouting: how the number of clusters is chosen, if it is; ``n_clusters`` is the largest.
        records_per_party: expected numbers, for predictions only; without them, each party is
            planned with what it may bring at most, or with one block.
        most_records: what each party may bring at most as the study has it, or None; small
            parties share blocks.
        columns: profile columns.
        parameter_set_name: ``planned``, or a set that the study insists on.

    Raises:
        PlanError: no set, or not the one that was named, has enough levels.
    """
    if n_clusters < 2 or n_features < 1 or n_rounds < 1:
        raise PlanError("A study needs 2 clusters, 1 feature and 1 round at least.")
    needed = start_level(n_clusters, SHARP)
    if parameter_set_name == "planned":
        parameters = _smallest(needed, n_clusters)
    else:
        parameters = parameter_set(parameter_set_name)
        if parameters.n_levels < needed:
            raise PlanError(
                f"{parameters.name} has {parameters.n_levels} levels; "
                f"{n_clusters} clusters need {needed}.",
                "Write parameter_set = 'planned', which means "
                f"{_smallest(needed, n_clusters).name}.",
            )
    ranges = allot_slots(most_records or [None] * max(1, len(records_per_party)), parameters.slots)
    expected = records_per_party or [n or 1 for n in most_records] or [1]
    own = [
        math.ceil(n / parameters.slots)
        for n, place in zip(expected, ranges, strict=True)
        if place is None
    ]
    groups = {place.group for place in ranges if place is not None}
    return Plan(
        parameters,
        n_clusters,
        n_features,
        n_rounds,
        n_blocks=sum(own) + len(groups),
        n_uploads=sum(own) + len(ranges) - len(own),
        slot_ranges=ranges,
        scouting=scouting,
        columns=columns,
    )


def _smallest(n_levels: int, n_clusters: int) -> ParameterSet:
    for degree in (16384, 32768):
        if n_levels <= max_levels(degree):
            return ParameterSet(degree, n_levels)
    raise PlanError(
        f"No 128-bit secure parameter set has the {n_levels} levels "
        f"that {n_clusters} clusters need."
    )


def _key_switches(counts: Counts) -> int:
    return sum(n for (name, _), n in counts.items() if name == "relinearise")
