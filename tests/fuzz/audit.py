"""Targets: what a reviewer reads that nodes wrote: audit logs, entries, proofs, checkpoints."""

from __future__ import annotations

import contextlib
import functools
import json
import tempfile
from pathlib import Path

from mpcseg.audit.log import AuditLog
from mpcseg.audit.log_file import read_log
from mpcseg.audit.merkle import verify_consistency
from mpcseg.audit.records import Began, BlocksCommitted, Released, RoundOpened, Sent, parse_entry
from mpcseg.errors import LogError, ProtocolError
from mpcseg.verification.proof import prove_entry, verify_entry
from mpcseg.wire import conversions as convert
from mpcseg.wire.names import parse_name
from mpcseg.wire.v1 import audit_pb2
from tests.fuzz.mutation import mutate_bytes, mutate_json
from tests.fuzz.target import Target, in_file
from tests.organisations import identity, study_spec

_RECORDS = (
    Began(
        version="0.1.0",
        tenseal="0.3.18",
        seal="4.3",
        parameter_set="ckks-16384-9",
        parameter_digest="ab" * 32,
    ),
    Sent(
        blob="feature-00000-000",
        kind="feature",
        n_bytes=100,
        sha256="cd" * 32,
        level=9,
        peer="hub",
        peer_role="compute",
    ),
    BlocksCommitted(party="alder", n_blocks=1, manifest="ef" * 32),
    RoundOpened(round=2, kind="lloyd", sign=(7, 15)),
    Released(
        blob="release-0002-00000", kind="release", round=2, n_bytes=9, sha256="01" * 32, level=0
    ),
)


@functools.cache
def _log() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        with AuditLog(Path(folder), study_spec(), identity("alder"), "party") as log:
            log.append(*_RECORDS)
        return log.path.read_bytes()


def _read_log(data: bytes) -> None:
    found = read_log(in_file(data, "log.sqlite"), study_spec())
    assert [entry.number for entry in found.entries] == list(range(len(found.entries)))
    assert len(found.tree) == len(found.entries)


def _entry(data: bytes) -> None:
    assert parse_entry(data).canonical() == data


def _entries() -> list[bytes]:
    log = read_log(in_file(_log(), "log.sqlite"), study_spec())
    return [entry.canonical() for entry in log.entries]


def _proof(data: bytes) -> None:
    proven = verify_entry(study_spec(), data)
    assert proven.entry.number < proven.checkpoint.size


def _proofs() -> list[bytes]:
    log = read_log(in_file(_log(), "log.sqlite"), study_spec())
    return [prove_entry(log, number) for number in range(len(log.entries))]


def _checkpoint(data: bytes) -> None:
    message = audit_pb2.LeaveCheckpointRequest()
    try:
        message.ParseFromString(data)
    except Exception as error:  # protobuf's own, as gRPC would refuse it
        raise ProtocolError("no message") from error
    checkpoint = convert.checkpoint_from_wire(message.checkpoint)
    proof = convert.proof_from_wire(message.consistency)
    assert convert.checkpoint_from_wire(convert.checkpoint_to_wire(checkpoint)) == checkpoint
    with contextlib.suppress(LogError):  # of a root that nobody has
        verify_consistency(3, bytes(32), checkpoint.size, bytes.fromhex(checkpoint.root), proof)


def _checkpoints() -> list[bytes]:
    log = read_log(in_file(_log(), "log.sqlite"), study_spec())
    message = audit_pb2.LeaveCheckpointRequest(
        checkpoint=convert.checkpoint_to_wire(log.heads[-1]),
        consistency=log.tree.consistency_proof(3, 5),
    )
    return [message.SerializeToString()]


def _blob_name(data: bytes) -> None:
    try:
        text = json.loads(data)
        assert str(parse_name(text)) == text
    except (ValueError, TypeError, RecursionError) as error:
        raise ProtocolError("no name") from error


AUDIT_TARGETS = (
    Target("audit-log", _read_log, lambda: [_log()], tries=80),
    Target("log-entry", _entry, _entries, (mutate_json, mutate_bytes)),
    Target("entry-proof", _proof, _proofs, (mutate_json, mutate_bytes), tries=80),
    Target("checkpoint", _checkpoint, _checkpoints),
    Target("blob-name", _blob_name, lambda: [b'"feature-00002-005"', b'"public-key"']),
)
