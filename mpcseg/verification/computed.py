"""What the compute node's audit log committed to: the digests that its evidence must have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mpcseg.errors import EvidenceError
from mpcseg.nodes.study_rules import RoundOrder
from mpcseg.study.spec import StudySpec
from mpcseg.wire.names import BlobHeader


@dataclass(frozen=True)
class ComputedRound:
    """One round, as the log has it.

    Attributes:
        order: kind, index and sign.
        hyperplanes: every entry of every pair's hyperplane, in the order of their names; empty
            for admission and moments.
        seed_commitment: hex, to the seed of the round's masks.
        manifest_sha256: hex, of the manifest of partial sums.
        releases: in the order of the round's sums.
    """

    order: RoundOrder
    hyperplanes: tuple[BlobHeader, ...]
    seed_commitment: str
    manifest_sha256: str
    releases: tuple[BlobHeader, ...]


@dataclass(frozen=True)
class ComputedStudy:
    """A study, as the log has it.

    Attributes:
        public_key: as received.
        relinearisation_keys: as received.
        blocks: by the party's name, every feature and presence that it uploaded.
        rounds: in their order.
    """

    public_key: BlobHeader
    relinearisation_keys: BlobHeader
    blocks: Mapping[str, tuple[BlobHeader, ...]]
    rounds: tuple[ComputedRound, ...]


def computed_study(log_path: Path, spec: StudySpec) -> ComputedStudy:  # noqa: ARG001
    """Read what the compute node's log commits to.

    Args:
        log_path: the log.
        spec: the agreement.

    Raises:
        EvidenceError: there is no log.
    """
    raise EvidenceError(
        f"there is no log of the compute node at {log_path}",
        "Ask the compute node's organisation for its audit log.",
    )
