"""A party node: encrypts its records, sends them, and waits for the study to have results.

docs/protocol.md sections 1 and 2. Records leave it as ciphertexts only.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import BlocksCommitted, KeysVouched
from mpcseg.ckks.encryption import BlockEncryptor
from mpcseg.ckks.packing import Block, pack_blocks
from mpcseg.errors import KeyFingerprintError, SignatureError
from mpcseg.memory import peak_rss_mb
from mpcseg.nodes import logbook
from mpcseg.nodes.blob_checks import BlobChecks
from mpcseg.nodes.planning import plan_of
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import Role
from mpcseg.nodes.session import StudySession, study_session
from mpcseg.nodes.study_rules import block_names, manifest_of
from mpcseg.nodes.summary import PartySummary
from mpcseg.nodes.transport import verify_identity
from mpcseg.nodes.upload_line import UploadLine
from mpcseg.study.card import verify_signature
from mpcseg.study.cohort import Cohort
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
) -> PartySummary:
    """Take part in a study with one organisation's records. Runs on a party node.

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

    Raises:
        ConfigError: the identity is not that of a party of the study.
        TooManyRecordsError: more records than the study allows this party.
        KeyFingerprintError: the public key is not the one that the key node vouches for.
        NodeError: the study cannot go on; says why.
    """
    began = time.monotonic()
    # Before anybody is met: whatever is wrong with the records is this party's own affair.
    blocks = prepare(spec, identity, cohort)
    verify_identity(spec, identity, Role.PARTY)
    with (
        AuditLog(audit, spec, identity, "party") as log,
        study_session(
            spec, identity, Role.PARTY, address, log, progress, patience=patience
        ) as session,
    ):
        sender = _Sender(spec, session, progress)
        if session.joined.committed:
            progress.message("this party's blocks are complete already; waiting for the end")
        else:
            public_key = _fetch_public_key(spec, session, key_fingerprint)
            sender.seconds["keys"] = time.monotonic() - began
            sender.send(blocks, BlockEncryptor(session.plan.circuit.parameters, public_key))
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


def prepare(spec: StudySpec, identity: Identity, cohort: Cohort) -> list[Block]:
    """Pack the records as they would be encrypted; sends nothing. Runs on a party node.

    Raises:
        ConfigError: the identity is not that of a party of the study.
        SignatureError: the study has another card in its name.
        TooManyRecordsError: more records than the study allows this party.
    """
    verify_identity(spec, identity, Role.PARTY)
    plan = plan_of(spec)
    own = [party.fingerprint for party in spec.parties].index(identity.fingerprint)
    return pack_blocks(cohort.records, plan.parameters.slots, plan.slot_ranges[own])


def _fetch_public_key(spec: StudySpec, session: StudySession, key_fingerprint: str | None) -> bytes:
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
    checks = BlobChecks(session.plan.circuit.parameters, spec.n_clusters, spec.n_features)
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
    session.client.log.append(
        KeysVouched(public_key=fingerprint.hex(), signature=attestation.signature),
        logbook.received(header_of(name, public_key), public_key, spec.compute.name, "compute"),
    )
    return public_key


_ASK = "Do not go on; ask the operators of the compute node and the key node."


class _Sender:
    """Encrypts blocks and sends them, the one while the other."""

    def __init__(self, spec: StudySpec, session: StudySession, progress: Progress) -> None:
        self._spec = spec
        self._session = session
        self._progress = progress
        self.seconds: dict[str, float] = {"keys": 0.0, "encrypt": 0.0, "upload": 0.0}
        self.n_blocks = 0

    def send(self, blocks: Sequence[Block], encryptor: BlockEncryptor) -> None:
        """Send all blocks and commit them."""
        names = block_names(len(blocks), self._spec.n_features)
        digests: list[bytes] = []
        self._progress.start("encrypt", len(names), "ciphertexts")
        self._progress.start("upload", len(names), "ciphertexts")
        try:
            with UploadLine(self._session.client, self._sent) as line:
                for name, blob in zip(names, self._encrypted(blocks, encryptor), strict=True):
                    digests.append(hashlib.sha256(blob).digest())
                    line.send(name, blob)
                    self._session.watcher.verify_running()
        finally:
            self._progress.finish("encrypt")
            self._progress.finish("upload")
        client, manifest = self._session.client, manifest_of(digests)
        committed = BlocksCommitted(
            party=client.identity.name, n_blocks=len(blocks), manifest=manifest.hex()
        )
        client.log.append(committed)
        client.commit(len(blocks), manifest)
        self.n_blocks = len(blocks)

    def _encrypted(self, blocks: Sequence[Block], encryptor: BlockEncryptor) -> Iterator[bytes]:
        for block in blocks:
            blobs = encryptor.encrypt(block)
            while True:
                began = time.monotonic()
                blob = next(blobs, None)
                self.seconds["encrypt"] += time.monotonic() - began
                if blob is None:
                    break
                self._progress.advance("encrypt")
                yield blob

    def _sent(self, seconds: float) -> None:
        self.seconds["upload"] += seconds
        self._progress.advance("upload")
