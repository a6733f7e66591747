"""What the compute node tells every node of the study, as values free of gRPC.

Events are numbered 1, 2, ... by their place in the study's list, so that a node that reconnects
asks for those it has not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

from mpcseg.errors import MpcsegError
from mpcseg.wire.names import Role


@dataclass(frozen=True)
class KeyAttestation:
    """The key node vouches for its public key.

    Attributes:
        public_key_sha256: digest of the public key's bytes, 32 bytes.
        signature: by the key node's organisation over ``attested_bytes``, for ``KEYS_PURPOSE``.
    """

    public_key_sha256: bytes
    signature: bytes


KEYS_PURPOSE = "keys"
"""What a key node's signature over its public key is for."""


def attested_bytes(study_digest: str, parameter_digest: str, public_key_sha256: bytes) -> bytes:
    """Return what the key node signs: study, parameters and public key, all by digest."""
    lines = ("public key v2", study_digest, parameter_digest, public_key_sha256.hex())
    return "\n".join(lines).encode("ascii")


@dataclass(frozen=True)
class KeysReady:
    """The public key can be downloaded."""

    attestation: KeyAttestation


@dataclass(frozen=True)
class PartyReady:
    """A party's blocks are complete."""

    party: str


@dataclass(frozen=True)
class AllPartiesReady:
    """Every party's blocks are complete, ``n_blocks`` in all; rounds may be opened."""

    n_blocks: int


@dataclass(frozen=True)
class RoundProgress:
    """How far the evaluation of a round is."""

    index: int
    tasks_done: int
    tasks: int


@dataclass(frozen=True)
class ReleaseReady:
    """A round's masked slot sums can be downloaded by the key node; ``count`` of them."""

    index: int
    count: int


@dataclass(frozen=True)
class NodeAbsent:
    """A node has gone away; after ``seconds_left`` more the study is aborted."""

    node: str
    role: Role
    seconds_left: float


@dataclass(frozen=True)
class NodeBack:
    """A node that was absent answers again."""

    node: str
    role: Role


@dataclass(frozen=True)
class ResultsReady:
    """The sealed results can be fetched, and the secret key is destroyed. Always the last event."""


@dataclass(frozen=True)
class StudyAborted:
    """The study has stopped for everybody. Always the last event."""

    error: MpcsegError


Event = (
    KeysReady
    | PartyReady
    | AllPartiesReady
    | RoundProgress
    | ReleaseReady
    | NodeAbsent
    | NodeBack
    | ResultsReady
    | StudyAborted
)
