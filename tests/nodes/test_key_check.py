"""Relinearisation keys at a running compute node: looked at last, and in another process."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from mpcseg.engine import key_check
from mpcseg.engine.key_check import KeyCheck
from mpcseg.errors import (
    BlobTooLargeError,
    DigestMismatchError,
    MalformedBlobError,
    MpcsegError,
    ParameterMismatchError,
    ProtocolError,
    TruncatedStreamError,
    UnknownSessionError,
)
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.transport import open_channel
from mpcseg.wire.blobs import chunks_of, header_of
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName
from mpcseg.wire.v1 import compute_pb2_grpc
from tests.nodes.material import Material
from tests.nodes.studies import Nodes, connect, start_compute
from tests.nodes.test_uploads import Line

KEYS = BlobName(BlobKind.RELINEARISATION_KEYS)


@dataclass
class Door:
    """A compute node without keys yet, and two who may knock."""

    key: ComputeClient
    key_line: Line
    party_line: Line
    folder: Path

    def kept(self) -> list[str]:
        return [path.name for path in (self.folder / "study" / "key-keeper").iterdir()]


@pytest.fixture(scope="module")
def door(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    storage = tmp_path_factory.mktemp("door")
    running, address = start_compute(nodes, storage, patience=600.0)
    party = nodes.parties[0]
    with (
        connect(nodes, nodes.key, address) as key,
        connect(nodes, party, address) as party_client,
        open_channel(nodes.spec, nodes.key, address) as key_channel,
        open_channel(nodes.spec, party, address) as party_channel,
    ):
        lines = [
            Line(compute_pb2_grpc.ComputeNodeStub(channel), nodes.spec.digest, one.join().session)
            for one, channel in ((key, key_channel), (party_client, party_channel))
        ]
        yield Door(key, *lines, storage)
        key.abort(MpcsegError("the tests are done"))
    assert "the tests are done" in running.error().message


def test_keys_are_looked_at_only_when_sender_length_and_digest_are_right(
    door: Door, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[Path] = []

    def note(_: KeyCheck, path: Path) -> None:
        looked_at.append(path)
        raise MalformedBlobError("They are no keys.")

    monkeypatch.setattr(KeyCheck, "verify", note)
    blob = material.relinearisation_keys
    right = header_of(KEYS, blob)
    wrong: tuple[tuple[Line, BlobHeader, bytes, type[MpcsegError]], ...] = (
        (door.party_line, right, blob, ProtocolError),
        (replace(door.key_line, session="0" * 32), right, blob, UnknownSessionError),
        (replace(door.key_line, study_digest="0" * 64), right, blob, ParameterMismatchError),
        (door.key_line, replace(right, length=10**9), blob, BlobTooLargeError),
        (door.key_line, right, blob[:-1], TruncatedStreamError),
        (door.key_line, right, blob + b"\0", BlobTooLargeError),
        (door.key_line, right, b"?" + blob[1:], DigestMismatchError),
    )
    for line, header, content, error in wrong:
        with pytest.raises(error):
            line.send(header, list(chunks_of(content)))
    assert looked_at == []
    with pytest.raises(MalformedBlobError, match="no keys"):
        door.key_line.send(right, list(chunks_of(blob)))
    assert len(looked_at) == 1
    assert door.kept() == []


def test_a_check_that_crashes_is_an_answer_to_the_sender_and_the_node_goes_on(
    door: Door, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(key_check, "check_keys", crash)
        with pytest.raises(MalformedBlobError, match="ended without an answer"):
            door.key.upload(KEYS, material.relinearisation_keys)
    assert door.kept() == []
    door.key.upload(KEYS, material.relinearisation_keys)
    assert door.kept() == [str(KEYS)]


def crash(*arguments: object) -> None:
    """What the checking process does instead."""
    os.kill(os.getpid(), signal.SIGSEGV)
