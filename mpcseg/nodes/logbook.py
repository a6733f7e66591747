"""What nodes write into their audit logs when they begin and about blobs. Runs on: every node."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

from mpcseg import __version__
from mpcseg.audit.records import (
    Began,
    Decrypted,
    NodeRole,
    Received,
    RecoveryKind,
    Released,
    Sent,
)
from mpcseg.ckks.serialization import BLOB_HEAD_BYTES, SEAL_VERSION, stated_shape
from mpcseg.nodes.planning import StudyPlan
from mpcseg.wire.names import BlobHeader


def began(plan: StudyPlan, *, resumes: bool = False, recovery: RecoveryKind | None = None) -> Began:
    """Say that a process begins, with what, and whether it goes on with the run before it."""
    return Began(
        resumes=resumes,
        recovery=recovery,
        version=__version__,
        tenseal=importlib.metadata.version("tenseal"),
        seal=".".join(map(str, SEAL_VERSION)),
        parameter_set=plan.circuit.parameters.name,
        parameter_digest=plan.digest,
    )


def head_of(path: Path) -> bytes:
    """The first bytes of a blob's file: what says the shape of a ciphertext."""
    with path.open("rb") as file:
        return file.read(BLOB_HEAD_BYTES)


def sent(header: BlobHeader, start: bytes, peer: str, role: NodeRole) -> Sent:
    """Say that a blob goes to a node.

    Args:
        header: of the blob.
        start: its first bytes, `BLOB_HEAD_BYTES` at least where there are so many.
        peer: the node's organisation.
        role: of the node.
    """
    return Sent(**_fields(header, start), peer=peer, peer_role=role)


def received(header: BlobHeader, start: bytes, peer: str, role: NodeRole) -> Received:
    """Say that a blob came from a node, and was what it had to be; as `sent`."""
    return Received(**_fields(header, start), peer=peer, peer_role=role)


def released(header: BlobHeader, start: bytes) -> Released:
    """Say that the key node may fetch a slot sum."""
    return Released(**_fields(header, start))


def decrypted(header: BlobHeader, start: bytes, *, own_noise: bool) -> Decrypted:
    """Say that a slot sum is decrypted."""
    return Decrypted(**_fields(header, start), own_noise=own_noise)


def _fields(header: BlobHeader, start: bytes) -> dict[str, Any]:
    shape = stated_shape(start)
    return {
        "blob": str(header.name),
        "kind": header.name.kind.value,
        "round": header.name.round,
        "n_bytes": header.length,
        "sha256": header.sha256.hex(),
        "level": shape.level if shape else None,
        "seeded": bool(shape and shape.seeded),
    }
