"""What a study's agreement says about the order of things, as checks without state.

Runs on: compute node. Nothing here knows gRPC, files or clocks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from mpcseg.ckks.packing import SlotRange
from mpcseg.errors import BlobTooLargeError, ParameterMismatchError, ProtocolError
from mpcseg.nodes.planning import StudyPlan
from mpcseg.nodes.roles import Caller, Role
from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout
from mpcseg.reference.hyperplanes import cluster_pairs
from mpcseg.reference.rounds import SCOUT_KINDS, RoundKind, ScoutTerms
from mpcseg.study.spec import StudySpec
from mpcseg.wire.conversions import PROTOCOL_VERSION
from mpcseg.wire.names import BlobKind, BlobName

KEY_KINDS = (BlobKind.PUBLIC_KEY, BlobKind.RELINEARISATION_KEYS)
BLOCK_KINDS = (BlobKind.FEATURE, BlobKind.PRESENCE, BlobKind.COLUMN)

FIRST_KINDS: tuple[RoundKind, ...] = ("admission", "moments")
"""How the rounds of every study begin; nothing else comes before, and neither comes again."""

_SECONDS_PER_DAY = 86_400.0
SAME_STUDY = (
    "All nodes must have the same agreement. Compare the digest that `mpcseg study show FILE` "
    "shows."
)
SAME_VERSION = "Install the same version of mpcseg on all nodes."

# What a message quotes of another node's words.
_VERSION_CHARACTERS = 64
_SHOWN_STAGES = 8


@dataclass(frozen=True)
class Claims:
    """What a node says that it runs, at Join.

    ``instance`` names its process; ``resumes`` says that the process goes on with what an earlier
    one, or this one before the compute node was started anew, has sent.
    """

    protocol_version: int
    software_version: str
    study_digest: str
    parameter_digest: str
    instance: str
    resumes: bool = False


@dataclass(frozen=True)
class RoundOrder:
    """What the key node asks for.

    Attributes:
        kind: of the round.
        index: 0 for the admission, 1 for the moments, then 2, 3, ...
        sign: degrees of the sign polynomial; empty for admission and moments.
        n_clusters: k, where the agreement leaves it open; 0 where it does not, and for admission
            and moments.
    """

    kind: RoundKind
    index: int
    sign: tuple[int, ...]
    n_clusters: int = 0

    @property
    def takes_hyperplanes(self) -> bool:
        """Whether the round assigns records to clusters."""
        return self.kind not in FIRST_KINDS


@dataclass(frozen=True)
class StudyRules:
    """What the agreement fixes for the order of a study.

    Attributes:
        study_digest: hex SHA-256 of the agreement.
        parameter_digest: hex SHA-256 of parameter set and noise.
        compute: the compute node's organisation.
        key: the key node.
        parties: the party nodes.
        n_features: features per block (d).
        n_clusters: clusters (k); where the agreement leaves them open, the most of them.
        n_rounds: Lloyd rounds at most.
        scouting: how the number of clusters is chosen; None where it is agreed.
        blunt: degrees of the sign polynomial that a round may ask for.
        sharp: likewise.
        max_blocks: blocks that one party may upload.
        slot_ranges: each party's place in a shared block; None where it has blocks of its own.
        recipients: the organisations that results are sealed to, in the agreement's order.
        retention: seconds after the last round after which ciphertexts and results are deleted.
        columns: profile columns.
    """

    study_digest: str
    parameter_digest: str
    compute: str
    key: Caller
    parties: tuple[Caller, ...]
    n_features: int
    n_clusters: int
    n_rounds: int
    blunt: tuple[int, ...]
    sharp: tuple[int, ...]
    max_blocks: int
    slot_ranges: tuple[SlotRange | None, ...]
    recipients: tuple[str, ...]
    retention: float
    scouting: ScoutTerms | None = None
    columns: ColumnLayout = NO_COLUMNS

    @property
    def most_rounds(self) -> int:
        """Rounds at most, admission, moments and profile included."""
        scouting = len(self.scouting.sequence) if self.scouting else 0
        return len(FIRST_KINDS) + scouting + self.n_rounds + 1

    def clusters_of(self, order: RoundOrder) -> int:
        """Clusters of a round (k)."""
        return order.n_clusters or self.n_clusters

    def n_pairs(self, order: RoundOrder) -> int:
        """Pairs of clusters, hence hyperplanes of a round."""
        return len(cluster_pairs(self.clusters_of(order))) if order.takes_hyperplanes else 0

    def blocks_at_most(self, party: Caller) -> int:
        """How many blocks a party may upload: one, where it shares its block with others."""
        return self.max_blocks if self.slot_ranges[self.parties.index(party)] is None else 1

    def verify_claims(self, caller: Caller, claims: Claims) -> None:
        """Check that a node runs the same as the compute node.

        Raises:
            ParameterMismatchError: another version, study or parameter set.
            ProtocolError: its version is not a short printable text.
        """
        version = claims.software_version
        if len(version) > _VERSION_CHARACTERS or not version.isprintable():
            raise ProtocolError(f"{caller} gives a software version that cannot be shown")
        if claims.protocol_version != PROTOCOL_VERSION:
            raise ParameterMismatchError(
                f"{caller} speaks protocol version {claims.protocol_version} "
                f"(mpcseg {version}), the compute node {PROTOCOL_VERSION}",
                SAME_VERSION,
            )
        if claims.study_digest != self.study_digest:
            raise ParameterMismatchError(f"{caller} runs another study", SAME_STUDY)
        if claims.parameter_digest != self.parameter_digest:
            raise ParameterMismatchError(
                f"{caller} plans another parameter set than the compute node", SAME_VERSION
            )

    def verify_sender(self, caller: Caller, name: BlobName) -> None:
        """Check that a node of this role sends such blobs at all.

        Raises:
            ProtocolError: it does not.
        """
        of_key = (*KEY_KINDS, BlobKind.HYPERPLANE, BlobKind.RESULT)
        if name.kind not in (of_key if caller.role is Role.KEY else BLOCK_KINDS):
            raise ProtocolError(f"{caller} may not send a blob of kind {name.kind.value}")

    def verify_place(self, caller: Caller, name: BlobName, order: RoundOrder | None) -> None:
        """Check that a blob's numbers lie within the study's shape.

        Args:
            caller: who sends it.
            name: which blob.
            order: the open round, for hyperplanes.

        Raises:
            BlobTooLargeError: it belongs to a block over the allowed number.
            ProtocolError: there is no such place.
        """
        rounds, items, parts = 1, 1, 1
        if name.kind in BLOCK_KINDS:
            place = self.slot_ranges[self.parties.index(caller)]
            items = self.blocks_at_most(caller)
            if name.item >= items:
                raise BlobTooLargeError(
                    f"{caller} sends more blocks than the {items} it may",
                    "Raise max_blocks of the compute node (--max-blocks)."
                    if place is None
                    else "Agree on a larger most_records for it.",
                )
        if name.kind is BlobKind.FEATURE:
            parts = self.n_features
        if name.kind is BlobKind.COLUMN:
            parts = self.columns.n_vectors
        if name.kind is BlobKind.RESULT:
            items = len(self.recipients)
        last = True
        if name.kind is BlobKind.HYPERPLANE:
            if order is None:
                raise ProtocolError(f"{caller} sent {name}, and no round is open")
            rounds, items, parts = order.index + 1, self.n_pairs(order), self.n_features + 1
            last = name.round == order.index
        if not (last and name.round < rounds and name.item < items and name.part < parts):
            raise ProtocolError(f"{caller} sent {name}, which has no place in this study now")

    def verify_next(self, earlier: Sequence[RoundOrder], order: RoundOrder) -> None:
        """Check what kind of round may follow those before.

        Raises:
            ProtocolError: not this one; or more rounds than agreed; or a sign not planned.
        """
        due = FIRST_KINDS[order.index] if order.index < len(FIRST_KINDS) else None
        if order.kind != due and (due is not None or order.kind in FIRST_KINDS):
            raise ProtocolError(
                "the admission round is the first one, the moments round the second, "
                "and neither comes again"
            )
        if due is not None:
            if order.sign or order.n_clusters:
                raise ProtocolError(f"the {order.kind} round takes no sign polynomial")
            return
        self._verify_sign(order)
        self._verify_clusters(earlier, order)
        if any(one.kind == "profile" for one in earlier):
            raise ProtocolError("the profile round is the last one")
        done = sum(one.kind == "lloyd" for one in earlier)
        if order.kind == "lloyd" and done >= self.n_rounds:
            raise ProtocolError(f"more than the agreed {self.n_rounds} rounds were asked for")

    def _verify_sign(self, order: RoundOrder) -> None:
        planned = {"scout": (self.blunt,), "appraisal": (self.sharp,)}
        if order.sign not in planned.get(order.kind, (self.blunt, self.sharp)):
            stages = len(order.sign)
            sign = order.sign if stages <= _SHOWN_STAGES else f"of {stages} stages"
            raise ProtocolError(f"a round was asked for with the sign {sign}, not planned")

    def _verify_clusters(self, earlier: Sequence[RoundOrder], order: RoundOrder) -> None:
        """Check that numbers of clusters are tried out as agreed, and then one of them is used."""
        if self.scouting is None:
            if order.kind in SCOUT_KINDS or order.n_clusters:
                raise ProtocolError("the agreement fixes the number of clusters; none is chosen")
            return
        sequence, at = self.scouting.sequence, order.index - len(FIRST_KINDS)
        if at < len(sequence) or order.kind in SCOUT_KINDS:
            if at >= len(sequence) or (order.kind, order.n_clusters) != sequence[at]:
                raise ProtocolError("numbers of clusters are not tried out in the agreed order")
        elif order.n_clusters not in self.scouting.candidates:
            raise ProtocolError("a round was asked for with a number of clusters not agreed")
        elif at > len(sequence) and order.n_clusters != earlier[-1].n_clusters:
            raise ProtocolError("the number of clusters was changed after it was chosen")


def block_names(
    n_blocks: int, n_features: int, columns: ColumnLayout = NO_COLUMNS
) -> list[BlobName]:
    """Return the blobs of a party's blocks, in manifest order.

    For each block its features, presence, and the vectors of its profile columns.
    """
    return [
        name
        for block in range(n_blocks)
        for name in (
            *(BlobName(BlobKind.FEATURE, item=block, part=j) for j in range(n_features)),
            BlobName(BlobKind.PRESENCE, item=block),
            *(BlobName(BlobKind.COLUMN, item=block, part=j) for j in range(columns.n_vectors)),
        )
    ]


def manifest_of(digests: Sequence[bytes]) -> bytes:
    """Return the SHA-256 over digests in manifest order."""
    return hashlib.sha256(b"".join(digests)).digest()


def study_rules(spec: StudySpec, plan: StudyPlan, max_blocks: int) -> StudyRules:
    """What the agreement fixes for the order of a study."""
    return StudyRules(
        study_digest=spec.digest,
        parameter_digest=plan.digest,
        compute=spec.compute.name,
        key=Caller(spec.key.name, Role.KEY),
        parties=tuple(Caller(card.name, Role.PARTY) for card in spec.parties),
        n_features=spec.n_features,
        n_clusters=spec.most_clusters,
        n_rounds=spec.n_rounds,
        scouting=spec.scouting,
        blunt=plan.circuit.blunt,
        sharp=plan.circuit.sharp,
        max_blocks=max_blocks,
        slot_ranges=plan.circuit.slot_ranges,
        recipients=spec.recipients,
        retention=spec.retention_days * _SECONDS_PER_DAY,
        columns=spec.column_layout,
    )
