"""Blobs over real gRPC and TLS: what is not right is refused and leaves nothing behind."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import grpc
import numpy as np
import pytest
import tenseal
import tenseal.sealapi as seal

from mpcseg.audit.log import log_path
from mpcseg.audit.log_file import read_log
from mpcseg.audit.records import Received, Sent
from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.serialization import save_to_bytes
from mpcseg.errors import (
    BlobTooLargeError,
    DigestMismatchError,
    DuplicateNodeError,
    MalformedBlobError,
    MpcsegError,
    ParameterMismatchError,
    ProtocolError,
    ReorderedStreamError,
    SecretKeyRefusedError,
    SignatureError,
    TruncatedStreamError,
    UnknownSessionError,
)
from mpcseg.nodes import blob_calls
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.planning import plan_of
from mpcseg.nodes.transport import open_channel
from mpcseg.wire import conversions as convert
from mpcseg.wire.blobs import chunks_of, header_of
from mpcseg.wire.events import KEYS_PURPOSE
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName, Chunk
from mpcseg.wire.status import from_call
from mpcseg.wire.v1 import blob_pb2, compute_pb2_grpc
from tests.nodes.material import Material
from tests.nodes.studies import Nodes, connect, start_compute

FEATURE = BlobName(BlobKind.FEATURE)
PUBLIC_KEY = BlobName(BlobKind.PUBLIC_KEY)


@dataclass
class Line:
    """A node's way to the compute node, below the client that would send everything right."""

    stub: compute_pb2_grpc.ComputeNodeStub
    study_digest: str
    session: str

    def send(self, header: BlobHeader, chunks: list[Chunk]) -> blob_pb2.UploadReply:
        opening = blob_pb2.UploadRequest(
            header=blob_pb2.UploadHeader(
                study_digest=self.study_digest,
                session=self.session,
                blob=convert.header_to_wire(header),
            )
        )
        pieces = [blob_pb2.UploadRequest(chunk=convert.chunk_to_wire(piece)) for piece in chunks]
        return self.stream([opening, *pieces])

    def stream(self, requests: Iterable[blob_pb2.UploadRequest]) -> blob_pb2.UploadReply:
        try:
            return self.stub.Upload(iter(requests), timeout=20)
        except grpc.RpcError as error:
            raise from_call(error) or error from None


def stalled(opening: blob_pb2.UploadRequest) -> Iterator[blob_pb2.UploadRequest]:
    """A client that begins an upload and then says nothing."""
    yield opening
    time.sleep(5.0)


@dataclass
class Bench:
    """A compute node that has its keys, and the lines of a party and the key node to it."""

    address: str
    storage: Path
    key: ComputeClient
    party: ComputeClient
    party_line: Line
    key_line: Line
    party_channel: grpc.Channel

    def kept(self, owner: str) -> list[str]:
        return sorted(path.name for path in (self.storage / "study" / owner).glob("*"))

    def left_over(self) -> list[Path]:
        return list(self.storage.rglob("*.part"))


@pytest.fixture(scope="module")
def bench(
    nodes: Nodes, material: Material, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    storage = tmp_path_factory.mktemp("bench")
    running, address = start_compute(nodes, storage, max_blocks=2, patience=600.0)
    with (
        connect(nodes, nodes.key, address) as key,
        connect(nodes, nodes.parties[0], address) as party,
        open_channel(nodes.spec, nodes.key, address) as key_channel,
        open_channel(nodes.spec, nodes.parties[0], address) as party_channel,
    ):
        digest = nodes.spec.digest
        key_line = Line(compute_pb2_grpc.ComputeNodeStub(key_channel), digest, key.join().session)
        party_line = Line(
            compute_pb2_grpc.ComputeNodeStub(party_channel), digest, party.join().session
        )
        for blob, error in secret_keys(plan_of(nodes.spec).parameters):
            with pytest.raises(error):
                key.upload(PUBLIC_KEY, blob)
        material.publish(key)
        yield Bench(address, storage, key, party, party_line, key_line, party_channel)
        key.abort(MpcsegError("the tests are done"))
    assert "the tests are done" in running.error().message
    assert not (storage / "study").exists()


def secret_keys(parameters: ParameterSet) -> Iterator[tuple[bytes, type[MpcsegError]]]:
    generator = seal.KeyGenerator(parameters.ring.context)
    yield save_to_bytes(generator.secret_key().save), SecretKeyRefusedError
    context = tenseal.context(
        tenseal.SCHEME_TYPE.CKKS, 4096, coeff_mod_bit_sizes=[36, 36, 36], n_threads=1
    )
    yield context.serialize(save_secret_key=True), SecretKeyRefusedError
    yield context.serialize(save_secret_key=False), MalformedBlobError


def test_secret_keys_are_refused_and_the_right_keys_kept(bench: Bench) -> None:
    assert bench.kept("key-keeper") == ["public-key", "relinearisation-keys"]
    assert bench.left_over() == []


@dataclass
class Case:
    """A way in which a party's stream can be wrong."""

    chunks: Callable[[list[Chunk]], list[Chunk]] = lambda chunks: chunks
    announce: Callable[[BlobHeader], BlobHeader] = lambda header: header
    error: type[MpcsegError] = MpcsegError


CASES = {
    "truncated": Case(chunks=lambda c: c[:-1], error=TruncatedStreamError),
    "nothing but a header": Case(chunks=lambda _: [], error=TruncatedStreamError),
    "reordered": Case(chunks=lambda c: [c[1], c[0]], error=ReorderedStreamError),
    "a chunk left out": Case(chunks=lambda c: c[1:], error=ReorderedStreamError),
    "goes on": Case(
        chunks=lambda c: [*c, Chunk(c[-1].offset + len(c[-1].data), b"more")],
        error=BlobTooLargeError,
    ),
    "changed on the way": Case(
        chunks=lambda c: [Chunk(0, b"?" + c[0].data[1:]), *c[1:]], error=DigestMismatchError
    ),
    "announced over its limit": Case(
        announce=lambda h: replace(h, length=h.length + 1), error=BlobTooLargeError
    ),
    "announced too short": Case(
        announce=lambda h: replace(h, length=h.length - 1), error=MalformedBlobError
    ),
    "announced for a block over the limit": Case(
        announce=lambda h: replace(h, name=replace(FEATURE, item=2)), error=BlobTooLargeError
    ),
    "announced as a feature that is not there": Case(
        announce=lambda h: replace(h, name=replace(FEATURE, part=2)), error=ProtocolError
    ),
    "announced as presence": Case(
        announce=lambda h: replace(h, name=BlobName(BlobKind.PRESENCE)), error=BlobTooLargeError
    ),
    "a hyperplane from a party": Case(
        announce=lambda h: replace(h, name=BlobName(BlobKind.HYPERPLANE)), error=ProtocolError
    ),
    "a key from a party": Case(announce=lambda h: replace(h, name=PUBLIC_KEY), error=ProtocolError),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_wrong_stream_is_refused_and_leaves_nothing(
    bench: Bench, material: Material, case: Case
) -> None:
    blob = material.block[FEATURE]
    chunks = list(chunks_of(blob))
    assert len(chunks) > 1
    before = bench.kept("party-party-a")
    with pytest.raises(case.error) as caught:
        bench.party_line.send(case.announce(header_of(FEATURE, blob)), case.chunks(chunks))
    assert type(caught.value) is case.error
    assert bench.kept("party-party-a") == before
    assert bench.left_over() == []


def test_residues_that_are_no_ciphertext_are_refused(bench: Bench, material: Material) -> None:
    blob = material.block[FEATURE]
    words = np.frombuffer(blob[-400:], "<u4").copy()
    words[7] = 2**32 - 1  # over every prime
    broken = blob[:-400] + words.tobytes()
    with pytest.raises(MalformedBlobError):
        bench.party.upload(FEATURE, broken)
    assert str(FEATURE) not in bench.kept("party-party-a")


def test_a_presence_at_the_scale_of_nothing_is_refused(bench: Bench, material: Material) -> None:
    name = BlobName(BlobKind.PRESENCE)
    blob = bytearray(material.block[name])
    blob[16:24] = np.float64(2.0).tobytes()
    with pytest.raises(MalformedBlobError):
        bench.party.upload(name, bytes(blob))


@pytest.mark.parametrize(
    ("requests", "error"),
    [
        pytest.param([], ProtocolError, id="empty stream"),
        pytest.param(
            [blob_pb2.UploadRequest(chunk=blob_pb2.BlobChunk(data=b"x"))],
            ProtocolError,
            id="no header",
        ),
        pytest.param(
            [blob_pb2.UploadRequest(header=blob_pb2.UploadHeader())],
            ParameterMismatchError,
            id="no study",
        ),
    ],
)
def test_a_stream_that_does_not_begin_right_is_refused(
    bench: Bench, requests: list[blob_pb2.UploadRequest], error: type[MpcsegError]
) -> None:
    with pytest.raises(error):
        bench.party_line.stream(requests)


def test_a_session_serves_only_the_certificate_it_was_given_to(
    bench: Bench, material: Material
) -> None:
    blob = material.block[FEATURE]
    borrowed = replace(bench.key_line, session=bench.party_line.session)
    with pytest.raises(DuplicateNodeError):
        borrowed.send(header_of(FEATURE, blob), list(chunks_of(blob)))


def test_a_node_without_a_study_or_a_session_is_refused(bench: Bench, material: Material) -> None:
    blob = material.block[FEATURE]
    for line, error in (
        (replace(bench.party_line, study_digest="0" * 64), ParameterMismatchError),
        (replace(bench.party_line, session=""), UnknownSessionError),
    ):
        with pytest.raises(error):
            line.send(header_of(FEATURE, blob), list(chunks_of(blob)))


def test_blocks_do_not_come_from_the_key_node(bench: Bench, material: Material) -> None:
    with pytest.raises(ProtocolError, match="may not send"):
        bench.key.upload(FEATURE, material.block[FEATURE])


def test_downloads_are_for_those_they_are_meant_for(bench: Bench, material: Material) -> None:
    limit = len(material.public_key)
    assert bench.party.download(PUBLIC_KEY, limit) == material.public_key
    with pytest.raises(BlobTooLargeError):
        bench.party.download(PUBLIC_KEY, limit - 1)
    for client, name in (
        (bench.party, BlobName(BlobKind.RELINEARISATION_KEYS)),
        (bench.party, FEATURE),
        (bench.party, BlobName(BlobKind.RELEASE)),
        (bench.key, BlobName(BlobKind.RELEASE)),
        (bench.key, FEATURE),
    ):
        with pytest.raises(ProtocolError):
            client.download(name, 10**8)


def test_an_attestation_by_somebody_else_is_refused(
    bench: Bench, material: Material, nodes: Nodes
) -> None:
    right = material.attestation()
    forged = nodes.parties[0].sign(KEYS_PURPOSE, b"whatever")
    with pytest.raises(SignatureError):
        bench.key.publish_keys(replace(right, signature=forged))


def test_a_blob_that_has_arrived_is_not_sent_again(bench: Bench, material: Material) -> None:
    name = replace(FEATURE, item=1)
    blob = material.block[FEATURE]
    header, chunks = header_of(name, blob), list(chunks_of(blob))
    assert not bench.party_line.send(header, chunks).already_there
    assert bench.party_line.send(header, []).already_there
    other = bytearray(blob)
    other[-1] ^= 1
    with pytest.raises(ProtocolError, match="with other content"):
        bench.party_line.send(header_of(name, bytes(other)), list(chunks_of(bytes(other))))
    assert (bench.storage / "study" / "party-party-a" / str(name)).read_bytes() == blob


def test_an_upload_that_falls_silent_is_given_up(
    bench: Bench, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blob_calls, "CHUNK_SECONDS", 0.5)
    header = header_of(FEATURE, material.block[FEATURE])
    opening = blob_pb2.UploadRequest(
        header=blob_pb2.UploadHeader(
            study_digest=bench.party_line.study_digest,
            session=bench.party_line.session,
            blob=convert.header_to_wire(header),
        )
    )
    before = bench.kept("party-a")
    with pytest.raises(TruncatedStreamError, match="silent"):
        bench.party_line.stream(stalled(opening))
    assert bench.kept("party-a") == before
    assert not bench.left_over()


def test_a_stream_of_bytes_that_are_no_messages_is_refused_in_words(bench: Bench) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        bench.party_channel.stream_unary(
            "/mpcseg.v1.ComputeNode/Upload", request_serializer=bytes, response_deserializer=bytes
        )(iter([b"\xff\xff\xff"]), timeout=20)
    assert isinstance(from_call(caught.value), ProtocolError)


def test_an_upload_that_another_one_overtakes_is_not_in_the_log(
    bench: Bench, material: Material, nodes: Nodes
) -> None:
    """Two uploads of one name at a time: the log speaks of the one that counts."""
    presence = BlobName(BlobKind.PRESENCE, item=1)
    (slow,) = (blob for name, blob in material.block.items() if name.kind is BlobKind.PRESENCE)
    fast = slow[:-4] + bytes(4)

    def late() -> Iterator[blob_pb2.UploadRequest]:
        line = bench.party_line
        yield blob_pb2.UploadRequest(
            header=blob_pb2.UploadHeader(
                study_digest=line.study_digest,
                session=line.session,
                blob=convert.header_to_wire(header_of(presence, slow)),
            )
        )
        line.send(header_of(presence, fast), list(chunks_of(fast)))
        for chunk in chunks_of(slow):
            yield blob_pb2.UploadRequest(chunk=convert.chunk_to_wire(chunk))

    with pytest.raises(ProtocolError, match="with other content"):
        bench.party_line.stream(late())
    received = _received(bench, nodes, presence)
    assert received == [hashlib.sha256(fast).hexdigest()]


def test_the_log_does_not_grow_when_a_blob_is_fetched_again(bench: Bench, nodes: Nodes) -> None:
    for _ in range(5):
        bench.party.download(PUBLIC_KEY, 1 << 24)
    log = read_log(log_path(bench.storage, nodes.spec, "compute", nodes.compute.name), nodes.spec)
    sent = [e.record for e in log.entries if isinstance(e.record, Sent)]
    assert len([record for record in sent if record.peer == nodes.parties[0].name]) == 1


def _received(bench: Bench, nodes: Nodes, name: BlobName) -> list[str]:
    log = read_log(log_path(bench.storage, nodes.spec, "compute", nodes.compute.name), nodes.spec)
    records = [e.record for e in log.entries if isinstance(e.record, Received)]
    return [record.sha256 for record in records if record.blob == str(name)]
