"""A whole compute node under fire: spoilt calls over real TLS, from members of the study.

python -m tests.fuzz.node running-node SECONDS FOLDER

The node is a process of its own. Whoever calls has a certificate of the study and a session; what
is sent in them is spoilt, as messages and as bytes, and so is what is sent instead of gRPC.
"""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mpcseg import __version__
from mpcseg.ckks.key_material import load_public_key, load_relinearisation_keys
from mpcseg.errors import MpcsegError
from mpcseg.nodes.compute import serve_compute
from mpcseg.nodes.planning import plan_of, study_plan
from mpcseg.nodes.transport import open_channel
from mpcseg.study.identity import Identity
from mpcseg.wire import conversions as convert
from mpcseg.wire.blobs import chunks_of, header_of
from mpcseg.wire.names import BlobKind, BlobName
from mpcseg.wire.status import from_call
from mpcseg.wire.v1 import blob_pb2, compute_pb2, session_pb2
from tests.fuzz.mutation import change_message, edited, mutate_bytes, mutate_script
from tests.fuzz.outcome import Watch
from tests.nodes.material import Material, make_material
from tests.nodes.processes import NodeProcess, spawn
from tests.nodes.studies import Nodes, connect, make_nodes

_SERVICE = compute_pb2.DESCRIPTOR.services_by_name["ComputeNode"]
_ENDING = ("Abort", "CloseStudy", "Withdraw")
"""Calls that may end the study by right: they get no session, or no signature, that holds."""

_CALL_SECONDS = 20.0
_SECONDS_PER_NODE = 60.0
_QUIET_SECONDS = 0.05  # of a watch, which ends by itself with the study only


@dataclass
class _Caller:
    """An organisation of the study, and its session."""

    own: Identity
    channel: grpc.Channel
    session: str


class NodeUnderFire:
    """A compute node in a process, and callers who misbehave.

    Args:
        folder: for the node.
        nodes: the study.
        material: real keys and a real block of it.
        seed: of all that is sent.
        published: whether the keys are there already, so that blocks are looked at.

    Attributes:
        answers: how often each kind of answer came, by error code or gRPC status.
        findings: what must not be, with the bytes that brought it about.
    """

    def __init__(
        self, folder: Path, nodes: Nodes, material: Material, seed: int, *, published: bool
    ) -> None:
        self._nodes, self._material, self._published = nodes, material, published
        self._parameters = plan_of(nodes.spec).parameters
        self._random = random.Random(seed)
        limits = {"patience": 86_400.0, "arrival": 86_400.0}
        address = ("127.0.0.1:0", folder / "storage", 1)
        self.node: NodeProcess = spawn(
            folder / "node", serve_compute, nodes.spec, nodes.compute, *address, **limits
        )
        self._address = self.node.wait_line("event listening")
        self._callers = [self._caller(nodes.key), self._caller(nodes.parties[0])]
        self._blobs = {
            **material.block,
            BlobName(BlobKind.PUBLIC_KEY): material.public_key,
            BlobName(BlobKind.RELINEARISATION_KEYS): material.relinearisation_keys,
        }
        self.answers: Counter[str] = Counter()
        self.findings: dict[str, bytes] = {}
        if published:
            self._publish()

    def _caller(self, own: Identity) -> _Caller:
        channel = open_channel(self._nodes.spec, own, self._address)
        return _Caller(own, channel, self._joined(own))

    def _joined(self, own: Identity) -> str:
        with connect(self._nodes, own, self._address) as client:
            return client.join().session

    # --- calls ---------------------------------------------------------------------------

    def fire(self) -> bool:
        """Send one thing that is wrong; returns whether the node took it for right."""
        kind = self._random.randrange(100)
        if kind < 3:
            self._garbage(inside_tls=kind > 0)
            return False
        caller = self._random.choice(self._callers)
        if kind < 25:
            return self._call(caller, _SERVICE.methods_by_name["Upload"], self._upload(caller))
        method = self._random.choice(_SERVICE.methods)
        return self._call(caller, method, iter([self._request(method, caller)]))

    def _request(self, method: MethodDescriptor, caller: _Caller) -> bytes:
        message = GetMessageClass(method.input_type)()
        for _ in range(self._random.choice((0, 1, 2, 4, 8))):
            change_message(self._random, message)
        for name, value in (
            ("study_digest", self._nodes.spec.digest),
            ("session", caller.session),
            ("protocol_version", convert.PROTOCOL_VERSION),
            ("software_version", __version__),
            ("parameter_digest", study_plan(self._nodes.spec).digest),
        ):
            # Else nothing would get past the first checks.
            if name in method.input_type.fields_by_name and self._random.random() < 0.95:
                setattr(message, name, value)
        if method.name in _ENDING and "session" in method.input_type.fields_by_name:
            message.session = message.session[:-1]  # type: ignore[attr-defined]
        return self._perhaps_spoilt(message)

    def _perhaps_spoilt(self, message: Message) -> bytes:
        data = message.SerializeToString()
        return mutate_bytes(self._random, data) if self._random.random() < 0.2 else data

    def _upload(self, caller: _Caller) -> Iterator[bytes]:
        """A stream that is nearly an upload: another blob, header, order, or end than announced."""
        source = self._random
        keys = [name for name in self._blobs if name not in self._material.block]
        own = keys if caller is self._callers[0] else [*self._material.block]
        name = source.choice(own if source.random() < 0.9 else list(self._blobs))
        blob = self._blobs[name]
        if source.random() < 0.6:
            blob = self._spoilt(name, blob)
        header = blob_pb2.UploadHeader(
            study_digest=self._nodes.spec.digest,
            session=caller.session,
            blob=convert.header_to_wire(header_of(name, blob)),
        )
        if source.random() < 0.3:
            change_message(source, header)
        messages: list[Message] = [blob_pb2.UploadRequest(header=header)]
        messages += [
            blob_pb2.UploadRequest(chunk=convert.chunk_to_wire(chunk)) for chunk in chunks_of(blob)
        ]
        match source.randrange(8):
            case 0:
                source.shuffle(messages)
            case 1:
                messages.pop()
            case 2:
                messages.insert(source.randrange(len(messages)), source.choice(messages))
            case 3:
                change_message(source, source.choice(messages))
        return iter(
            [
                self._perhaps_spoilt(m) if source.random() < 0.1 else m.SerializeToString()
                for m in messages
            ]
        )

    def _spoilt(self, name: BlobName, blob: bytes) -> bytes:
        """A blob after an edit; keys that are still keys would take the place of the real ones."""
        changed = edited(blob, mutate_script(self._random, b""))
        loads = {
            BlobKind.PUBLIC_KEY: load_public_key,
            BlobKind.RELINEARISATION_KEYS: load_relinearisation_keys,
        }
        if name.kind in loads:
            with contextlib.suppress(MpcsegError):
                loads[name.kind](self._parameters, changed)
                return blob
        return changed

    def _call(self, caller: _Caller, method: MethodDescriptor, requests: Iterator[bytes]) -> bool:
        sent = list(requests)
        kind = "stream" if method.client_streaming else "unary"
        answer = "stream" if method.server_streaming else "unary"
        call: Any = getattr(caller.channel, f"{kind}_{answer}")(
            f"/{_SERVICE.full_name}/{method.name}",
            request_serializer=bytes,
            response_deserializer=bytes,
        )
        is_watch = method.name == "Watch"
        seconds = _QUIET_SECONDS if is_watch else _CALL_SECONDS
        try:
            reply = call(iter(sent) if method.client_streaming else sent[0], timeout=seconds)
            if method.server_streaming:
                list(reply)
        except grpc.RpcError as error:
            self._note(method.name, error, b"".join(sent)[:4096], is_watch)
            return False
        if method.name == "Join":  # in another process's name, as far as the node can tell
            caller.session = session_pb2.JoinReply.FromString(reply).session
        self.answers["accepted"] += 1
        return True

    def _note(self, method: str, error: grpc.RpcError, sent: bytes, is_watch: bool) -> None:
        ours = from_call(error)
        code = error.code().name  # type: ignore[attr-defined]
        self.answers[ours.code if ours else code] += 1
        if ours is not None:
            if type(ours) is MpcsegError:
                self.findings.setdefault(f"{method}: {ours.message}", sent)
        # UNKNOWN is gRPC's answer to bytes that are no message of the kind.
        elif code not in ("UNKNOWN", "RESOURCE_EXHAUSTED", "CANCELLED") and not is_watch:
            self.findings.setdefault(f"{method}: {code}", sent)

    def _garbage(self, *, inside_tls: bool) -> None:
        """Bytes that are no gRPC, before the handshake or after it."""
        host, _, port = self._address.rpartition(":")
        data = self._random.randbytes(self._random.choice((1, 24, 3000)))
        if self._random.random() < 0.5:
            data = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + mutate_bytes(self._random, data)
        with (
            contextlib.suppress(OSError),
            socket.create_connection((host, int(port)), 5.0) as raw,
            contextlib.closing(self._handshaken(raw) if inside_tls else raw) as line,
        ):
            line.settimeout(0.2)
            line.sendall(data)
            line.recv(4096)
        self.answers["garbage"] += 1

    def _handshaken(self, raw: socket.socket) -> socket.socket:
        own = self._callers[1].own
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        with tempfile.NamedTemporaryFile() as file:
            file.write(own.certificate_pem + own.private_key_pem)
            file.flush()
            context.load_cert_chain(file.name)
        return context.wrap_socket(raw)

    # --- is it still there? ---------------------------------------------------------------

    @property
    def lives(self) -> bool:
        """Whether the node's process runs and its health check answers."""
        if not self.node.process.is_alive():
            return False
        stub = health_pb2_grpc.HealthStub(self._callers[0].channel)
        reply = stub.Check(health_pb2.HealthCheckRequest(), timeout=_CALL_SECONDS)
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    def serve_honest_ones(self) -> None:
        """Have the key node publish its keys and a party upload and commit a block."""
        if not self._published:
            self._publish()
        with connect(self._nodes, self._nodes.parties[1], self._address) as party:
            party.join()
            self._material.encrypted_afresh().send_block(party)

    def _publish(self) -> None:
        with connect(self._nodes, self._nodes.key, self._address, patience=10.0) as key:
            key._session = self._callers[0].session
            self._material.publish(key)

    def internal_errors(self) -> list[str]:
        """What the node itself took for a defect of mpcseg."""
        lines = self.node.report.read_text().splitlines()
        return [line for line in lines if line.startswith("message internal error")]

    def close(self) -> None:
        """End the node."""
        for caller in self._callers:
            caller.channel.close()
        self.node.process.kill()
        self.node.process.join()


def main(name: str, seconds: float, output: Path) -> None:
    """Fire for some time at one node after the other; a study in between shows that each lives."""
    watch = Watch(name, output)
    nodes = make_nodes()
    material = make_material(nodes)
    answers: Counter[str] = Counter()
    ends, seed = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        seed += 1
        with tempfile.TemporaryDirectory() as folder:
            fired = NodeUnderFire(Path(folder), nodes, material, seed, published=seed % 2 == 0)
            try:
                _fire_at(fired, watch, min(ends, time.monotonic() + _SECONDS_PER_NODE))
            except Exception as error:
                watch.keep(f"{type(error).__name__}: {error}", str(seed).encode())
            finally:
                fired.close()
        answers += fired.answers
    watch.save()
    for answer, count in answers.most_common():
        print(f"{answer}: {count}")  # noqa: T201
    print(f"nodes: {seed}")  # noqa: T201


def _fire_at(fired: NodeUnderFire, watch: Watch, stops: float) -> None:
    while time.monotonic() < stops:
        watch.count(fired.fire())
        if not fired.node.process.is_alive():
            raise AssertionError("the node died")
    if not fired.lives:
        raise AssertionError("the node does not answer")
    fired.serve_honest_ones()
    for what, sent in fired.findings.items():
        watch.keep(what, sent)
    for line in fired.internal_errors():
        watch.keep(line, b"")


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]))
