"""The key node: makes the keys, decides every round, and decrypts slot sums, nothing else.

docs/protocol.md sections 1, 4, 5 and 6. The secret key stays in the memory of this process. The
only module outside ``mpcseg.ckks`` that reaches ``mpcseg.ckks.secret``.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from mpcseg.ckks.assignment import start_level
from mpcseg.ckks.secret import SecretKey
from mpcseg.errors import ProtocolError
from mpcseg.memory import peak_rss_mb
from mpcseg.nodes.blob_checks import BlobChecks
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import Role
from mpcseg.nodes.session import StudySession, study_session
from mpcseg.nodes.summary import KeySummary
from mpcseg.nodes.upload_line import UploadLine
from mpcseg.reference.rounds import sums_shape
from mpcseg.study.identity import Identity
from mpcseg.study.schedule import RoundRecord, RoundRequest, Schedule
from mpcseg.study.spec import StudySpec
from mpcseg.wire.events import AllPartiesReady, KeyAttestation, ReleaseReady, attested_bytes
from mpcseg.wire.names import BlobKind, BlobName

_DOWNLOADS = 4
"""Releases on their way at a time: each costs a round trip."""


def run_key(
    spec: StudySpec,
    identity: Identity,
    address: str,
    progress: Progress,
    *,
    patience: float = 60.0,
) -> KeySummary:
    """Lead a study from its keys to its result. Runs on the key node.

    Args:
        spec: the study.
        identity: this node's own.
        address: "host:port" of the compute node.
        progress: shown the keys and every round; "round" events hold shift and sizes.
        patience: seconds for which to keep trying when the compute node does not answer.

    Raises:
        TooFewRecordsError: fewer records than clusters, over all parties.
        ConstantFeatureError: a feature does not vary over all parties.
        NodeError: the study cannot go on; says why.
    """
    began = time.monotonic()
    with study_session(spec, identity, Role.KEY, address, progress, patience=patience) as session:
        node = _KeyNode(spec, identity, session, progress)
        node.publish_keys()
        node.await_parties()
        schedule = Schedule(
            n_clusters=spec.n_clusters,
            n_rounds=spec.n_rounds,
            feature_names=spec.feature_names,
            blunt=session.plan.blunt,
            sharp=session.plan.sharp,
            seed=spec.seed,
        )
        while (request := schedule.request()) is not None:
            record = schedule.receive(node.run_round(request))
            _show(record, node.seconds_per_round[-1], progress)
        result = schedule.result()
        session.client.finish()
    return KeySummary(
        seconds={**node.seconds, "total": time.monotonic() - began},
        seconds_per_round=tuple(node.seconds_per_round),
        bytes_sent=dict(session.client.bytes_sent),
        bytes_received=dict(session.client.bytes_received),
        peak_rss_mb=peak_rss_mb(),
        decrypted_values=node.secret_key.decrypted_values,
        result=result,
    )


class _KeyNode:
    """The secret key and its place in the study."""

    def __init__(
        self, spec: StudySpec, identity: Identity, session: StudySession, progress: Progress
    ) -> None:
        self._spec = spec
        self._identity = identity
        self._session = session
        self._progress = progress
        self._parameters = session.plan.parameters
        self._checks = BlobChecks(self._parameters, spec.n_clusters, spec.n_features)
        self.seconds: dict[str, float] = {}
        self.seconds_per_round: list[float] = []
        began = time.monotonic()
        progress.start("keys", 3, "keys")
        self.secret_key = SecretKey(self._parameters)
        self._progress.advance("keys")
        self._public_key = self.secret_key.public_key()
        self._progress.advance("keys")
        self._relinearisation_keys = self.secret_key.relinearisation_keys()
        self._progress.advance("keys")
        progress.finish("keys")
        self.seconds["keys"] = time.monotonic() - began

    def publish_keys(self) -> None:
        """Upload the public and the relinearisation keys, and vouch for them."""
        began = time.monotonic()
        client = self._session.client
        client.upload(BlobName(BlobKind.PUBLIC_KEY), self._public_key)
        client.upload(BlobName(BlobKind.RELINEARISATION_KEYS), self._relinearisation_keys)
        digest = hashlib.sha256(self._public_key).digest()
        signed = attested_bytes(self._spec.digest, self._session.plan.digest, digest)
        client.publish_keys(KeyAttestation(digest, self._identity.sign(signed)))
        self._progress.event("keys", fingerprint=digest.hex())
        self.seconds["upload"] = time.monotonic() - began

    def await_parties(self) -> None:
        """Wait until every party's blocks are complete."""
        began = time.monotonic()
        self._progress.message("the keys are published; waiting for the parties' blocks")
        self._session.watcher.wait_for(AllPartiesReady)
        self._progress.event("all_parties_ready")
        self.seconds["collect"] = time.monotonic() - began

    def run_round(self, request: RoundRequest) -> NDArray[np.float64]:
        """Have one round computed and return its decrypted sums.

        Returns:
            moments: shape (1 + d + d(d+1)/2,); lloyd: (k, d+1); profile: (k, 2d+1).
        """
        began = time.monotonic()
        client, index = self._session.client, request.index
        client.open_round(request.kind, index, request.sign)
        if request.hyperplanes is not None:
            self._send_hyperplanes(request, request.hyperplanes)
        ready = self._session.watcher.wait_for(ReleaseReady, lambda event: event.index == index)
        shape = sums_shape(request.kind, self._spec.n_clusters, self._spec.n_features)
        if ready.count != np.prod(shape):
            raise ProtocolError(
                f"round {index} has {ready.count} releases; {np.prod(shape)} were asked for"
            )
        names = [BlobName(BlobKind.RELEASE, round=index, item=i) for i in range(ready.count)]
        with ThreadPoolExecutor(_DOWNLOADS, "download") as line:
            sums = [self.secret_key.decrypt_slot_sum(blob) for blob in line.map(self._fetch, names)]
        self.seconds_per_round.append(time.monotonic() - began)
        return np.array(sums).reshape(shape)

    def _send_hyperplanes(self, request: RoundRequest, rows: NDArray[np.float64]) -> None:
        level = start_level(self._spec.n_clusters, request.sign)
        with UploadLine(self._session.client) as line:
            for pair, row in enumerate(rows):
                blobs = self.secret_key.encrypt_hyperplane(row, level)
                for part, blob in enumerate(blobs):
                    name = BlobName(BlobKind.HYPERPLANE, round=request.index, item=pair, part=part)
                    line.send(name, blob)
                self._session.watcher.verify_running()

    def _fetch(self, name: BlobName) -> bytes:
        return self._session.client.download(name, self._checks.limit(name))


def _show(record: RoundRecord, seconds: float, progress: Progress) -> None:
    """Show a round to the key node's operator; decrypted numbers are rounded, as anywhere."""
    sizes, shift = record.sizes, record.shift
    progress.event(
        "round",
        index=record.index,
        round_kind=record.kind,
        sign=record.sign,
        shift=None if shift is None else float(f"{shift:.3g}"),
        n_records=record.n_records,
        sizes=None if sizes is None else [round(size) for size in sizes.tolist()],
        notes=record.notes,
        seconds=round(seconds, 3),
    )
