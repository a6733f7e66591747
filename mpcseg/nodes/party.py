"""A party node: encrypts its records, sends them, and waits for the study to have results.

docs/protocol.md sections 1 and 2. Records leave it as ciphertexts only.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from pathlib import Path

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import BlocksCommitted, KeysVouched
from mpcseg.ckks.encryption import BlockEncryptor
from mpcseg.ckks.packing import Block, pack_blocks
from mpcseg.customers.cohort import Cohort
from mpcseg.errors import KeyFingerprintError, ProtocolError, SignatureError
from mpcseg.memory import peak_rss_mb
from mpcseg.nodes import logbook
from mpcseg.nodes.blob_checks import BlobChecks
from mpcseg.nodes.party_course import Shuffle, UploadCourse, course_of, key_of
from mpcseg.nodes.planning import plan_of
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import Role
from mpcseg.nodes.session import StudySession, study_session
from mpcseg.nodes.study_rules import block_names, manifest_of
from mpcseg.nodes.summary import PartySummary
from mpcseg.nodes.transport import verify_identity
from mpcseg.nodes.upload_line import UploadLine
from mpcseg.study.card import verify_signature
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire.blobs import header_of
from mpcseg.wire.events import (
    KEYS_PURPOSE,
    AllPartiesReady,
    KeysReady,
    ResultsReady,
    attested_bytes,
)
from mpcseg.wire.names import BlobKind, BlobName


def run_party(  # noqa: PLR0913  a node is started with all of these
    spec: StudySpec,
    identity: Identity,
    address: str,
    cohort: Cohort,
    progress: Progress,
    *,
    audit: Path,
    patience: float = 60.0,
    key_fingerprint: str | None = None,
    restart: bool = False,
    proxy: str | None = None,
    max_upload_mbit: float | None = None,
) -> PartySummary:
    """Take part in a study with one organisation's records. Runs on a party node.

    A party that was stopped or killed and is started again with the same records goes on at the
    first blob that the compute node does not have.

    Args:
        spec: the study.
        identity: this node's own.
        address: "host:port" of the compute node.
        cohort: the records, scaled; shape (n, d).
        progress: shown encryption, upload and rounds.
        audit: folder of this node's audit log; made if absent.
        patience: seconds for which to keep trying when the compute node does not answer.
        key_fingerprint: SHA-256 (hex) that the public key must have, if it was agreed on some
            other way; the key node's signature is checked in any case.
        restart: send everything again, whatever an earlier process has sent; blocks that are
            complete stay as they are.
        proxy: URL of the HTTP proxy on the way, as in `mpcseg.nodes.route.proxy_for`.
        max_upload_mbit: megabits per second that this node sends with at most; None for no limit.

    Raises:
        ConfigError: the identity is not that of a party of the study.
        DataError: the records are others than those of which a part is sent already.
        TooManyRecordsError: more records than the study allows this party.
        KeyFingerprintError: the public key is not the one that the key node vouches for.
        NodeError: the study cannot go on; says why.
    """
    began = time.monotonic()
    shuffle = Shuffle(audit, spec, identity, anew=restart)
    # Before anybody is met: whatever is wrong with the records is this party's own affair.
    blocks = prepare(spec, identity, cohort, shuffle.seed)
    with AuditLog(audit, spec, identity, "party") as log:
        course = course_of(log.earlier) if shuffle.is_kept else UploadCourse()
        resumes = shuffle.is_kept and bool(log.earlier)
        if resumes and not course.committed:
            shuffle.verify_same(blocks)
        with (
            study_session(
                spec,
                identity,
                Role.PARTY,
                address,
                log,
                progress,
                patience=patience,
                resumes=resumes,
                proxy=proxy,
                max_upload_mbit=max_upload_mbit,
            ) as session,
            shuffle.until_end(),
        ):
            sender = _Sender(spec, session, course, progress)
            if session.joined.committed:
                _verify_own_word(log)
                progress.message("this party's blocks are complete already; waiting for the end")
            else:
                if resumes:
                    progress.message("going on with an upload that was interrupted")
                    shuffle.verify_same(blocks)
                else:
                    shuffle.keep(blocks)
                public_key = _fetch_public_key(spec, session, course, key_fingerprint)
                sender.seconds["keys"] = time.monotonic() - began
                encryptor = BlockEncryptor(
                    session.plan.circuit.parameters, public_key, spec.column_layout
                )
                sender.send(blocks, encryptor, resumes=resumes)
            sent = time.monotonic()
            session.watcher.wait_for(AllPartiesReady)
            session.client.exchange_checkpoints()
            session.watcher.wait_for(ResultsReady)
            ended = time.monotonic()
            session.client.exchange_last_checkpoints()
    return PartySummary(
        seconds={**sender.seconds, "wait": ended - sent, "total": ended - began},
        bytes_sent=dict(session.client.bytes_sent),
        bytes_received=dict(session.client.bytes_received),
        peak_rss_mb=peak_rss_mb(),
        n_records=cohort.n_records,
        n_blocks=sender.n_blocks,
        n_clipped=dict(zip(spec.feature_names, cohort.n_clipped, strict=True)),
        n_shortened=cohort.n_shortened,
        n_read=cohort.n_read,
        n_duplicates=cohort.n_duplicates,
        n_without_consent=cohort.n_without_consent,
        n_opted_out=cohort.n_opted_out,
    )


def _verify_own_word(log: AuditLog) -> None:
    """Check that this node has committed the blocks that the compute node calls complete.

    Raises:
        ProtocolError: its log has no word of it; what stands there in its name is somebody else's.
    """
    if not any(isinstance(entry.record, BlocksCommitted) for entry in log.earlier):
        raise ProtocolError(
            "the compute node says that this party's blocks are complete, and this node's audit "
            "log does not",
            "If the log was lost, put it back. Otherwise ask whose blocks those are, and do not go "
            "on.",
        )


def prepare(
    spec: StudySpec, identity: Identity, cohort: Cohort, seed: bytes | None = None
) -> list[Block]:
    """Pack the records as they would be encrypted; sends nothing. Runs on a party node.

    Args:
        spec: the study.
        identity: the party's own.
        cohort: the records.
        seed: of the order; None for one that nobody can make again.

    Raises:
        ConfigError: the identity is not that of a party of the study.
        SignatureError: the study has another card in its name.
        TooManyRecordsError: more records than the study allows this party.
    """
    verify_identity(spec, identity, Role.PARTY)
    plan = plan_of(spec)
    own = [party.name for party in spec.parties].index(identity.name)
    return pack_blocks(
        cohort.records,
        plan.parameters.slots,
        plan.slot_ranges[own],
        seed=seed,
        columns=cohort.columns,
    )


def _fetch_public_key(
    spec: StudySpec, session: StudySession, course: UploadCourse, key_fingerprint: str | None
) -> bytes:
    """Wait for the public key, fetch it, and check that the key node vouches for it."""
    attestation = session.watcher.wait_for(KeysReady).attestation
    signed = attested_bytes(spec.digest, session.plan.digest, attestation.public_key_sha256)
    try:
        verify_signature(spec.key, KEYS_PURPOSE, signed, attestation.signature)
    except SignatureError:
        raise KeyFingerprintError(
            f"the public key on offer is not signed by '{spec.key.name}', which runs the key node",
            _ASK,
        ) from None
    name = BlobName(BlobKind.PUBLIC_KEY)
    parameters = session.plan.circuit.parameters
    checks = BlobChecks(parameters, spec.most_clusters, spec.n_features, spec.column_layout)
    public_key = session.client.download(name, checks.limit(name))
    fingerprint = hashlib.sha256(public_key).digest()
    if fingerprint != attestation.public_key_sha256:
        raise KeyFingerprintError(
            f"the public key on offer is not the one that key node {spec.key.name} signed",
            _ASK,
        )
    if key_fingerprint is not None and fingerprint.hex() != key_fingerprint.lower():
        raise KeyFingerprintError(
            "the public key does not have the fingerprint that this party's configuration expects",
            "Compare the fingerprint with the key node's operator, by telephone.",
        )
    if course.public_key != fingerprint.hex():
        course.use_key(fingerprint.hex())
        header = header_of(name, public_key)
        session.client.log.append(
            KeysVouched(public_key=fingerprint.hex(), signature=attestation.signature),
            logbook.received(header, public_key, spec.compute.name, "compute"),
        )
    return public_key


_ASK = "Do not go on; ask the operators of the compute node and the key node."


class _Sender:
    """Encrypts blocks and sends them, the one while the other.

    Args:
        spec: the study.
        session: this party's.
        course: what an earlier process has sent.
        progress: shown encryption and upload.
    """

    def __init__(
        self, spec: StudySpec, session: StudySession, course: UploadCourse, progress: Progress
    ) -> None:
        self._spec = spec
        self._session = session
        self._course = course
        self._progress = progress
        self._there: dict[BlobName, bytes] = {}
        self.seconds: dict[str, float] = {"keys": 0.0, "encrypt": 0.0, "upload": 0.0}
        self.n_blocks = 0

    def send(self, blocks: Sequence[Block], encryptor: BlockEncryptor, *, resumes: bool) -> None:
        """Send what the compute node does not have of all blocks, and commit them.

        Args:
            blocks: all of them.
            encryptor: with the study's public key.
            resumes: an earlier process has sent a part.
        """
        client = self._session.client
        names = block_names(len(blocks), self._spec.n_features, self._spec.column_layout)
        looked_in = "" if resumes else client.session
        while True:
            if client.session != looked_in:
                # Another process of the compute node, too, says what it has.
                looked_in = client.session
                self._look(names)
            missing = [name for name in names if name not in self._there]
            if missing:
                self._send(missing, blocks, encryptor)
            elif client.session == looked_in:
                break
        manifest = manifest_of([self._there[name] for name in names])
        if self._course.committed != manifest.hex():
            committed = BlocksCommitted(
                party=client.identity.name, n_blocks=len(blocks), manifest=manifest.hex()
            )
            client.log.append(committed)
        client.commit(len(blocks), manifest)
        self.n_blocks = len(blocks)

    def _look(self, names: Sequence[BlobName]) -> None:
        """Ask the compute node what it has; it counts as far as this party's log says the same."""
        self._there.clear()
        for header in self._session.client.list_blobs():
            self._course.verify_sent(header)
            self._there[header.name] = header.sha256
        self._progress.message(
            f"the compute node has {len(self._there)} of {len(names)} ciphertexts already"
        )

    def _send(
        self, names: Sequence[BlobName], blocks: Sequence[Block], encryptor: BlockEncryptor
    ) -> None:
        self._progress.start("encrypt", len(names), "ciphertexts")
        self._progress.start("upload", len(names), "ciphertexts")
        try:
            with UploadLine(self._session.client, self._sent) as line:
                for name in names:
                    began = time.monotonic()
                    row = name.part + self._first_row(name.kind)
                    blob = encryptor.encrypt_row(blocks[name.item], row)
                    self.seconds["encrypt"] += time.monotonic() - began
                    self._progress.advance("encrypt")
                    header = header_of(name, blob)
                    self._there[name] = header.sha256
                    self._course.sent.add(key_of(header))
                    line.send(name, blob)
                    self._session.watcher.verify_running()
        finally:
            self._progress.finish("encrypt")
            self._progress.finish("upload")

    def _first_row(self, kind: BlobKind) -> int:
        """Where in a block the rows of this kind begin."""
        d = self._spec.n_features
        return {BlobKind.FEATURE: 0, BlobKind.PRESENCE: d, BlobKind.COLUMN: d + 1}[kind]

    def _sent(self, seconds: float) -> None:
        self.seconds["upload"] += seconds
        self._progress.advance("upload")
