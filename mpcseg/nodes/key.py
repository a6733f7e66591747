"""The key node: makes the keys, decides every round, and decrypts slot sums, nothing else.

docs/protocol.md sections 1, 4, 5 and 6. The secret key stays in the memory of this process and is
destroyed as soon as the last sum is decrypted, or whatever else ends the study. The only module
outside ``mpcseg.ckks`` that reaches ``mpcseg.ckks.secret``.
"""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import KeysVouched, Record, RoundOpened, RoundSpent, SecretKeyDestroyed
from mpcseg.ckks.assignment import start_level
from mpcseg.ckks.secret import SecretKey
from mpcseg.engine import release_scales
from mpcseg.errors import OutputError, ProtocolError
from mpcseg.memory import peak_rss_mb
from mpcseg.nodes import logbook
from mpcseg.nodes.blob_checks import BlobChecks
from mpcseg.nodes.events import tell_budget
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import Role
from mpcseg.nodes.session import StudySession, study_session
from mpcseg.nodes.summary import KeySummary
from mpcseg.nodes.transport import verify_identity
from mpcseg.nodes.upload_line import UploadLine
from mpcseg.privacy.ledger import Ledger, finite
from mpcseg.privacy.release import suppression, whole
from mpcseg.private import open_private
from mpcseg.reference.rounds import sums_shape
from mpcseg.study.closing import KeyDestroyed, now, sign_key_destroyed
from mpcseg.study.identity import Identity
from mpcseg.study.results import privacy_spent, seal_results
from mpcseg.study.schedule import RoundRecord, RoundRequest, Schedule
from mpcseg.study.spec import ReleaseTerms, StudySpec
from mpcseg.wire.blobs import header_of
from mpcseg.wire.events import (
    KEYS_PURPOSE,
    AllPartiesReady,
    KeyAttestation,
    ReleaseReady,
    attested_bytes,
)
from mpcseg.wire.names import BlobKind, BlobName

LEDGER_FILE = "ledger.json"
SEALED_FOLDER = "sealed"

_DOWNLOADS = 4
"""Releases on their way at a time: each costs a round trip."""


def run_key(
    spec: StudySpec,
    identity: Identity,
    address: str,
    output: Path,
    progress: Progress,
    *,
    patience: float = 60.0,
) -> KeySummary:
    """Lead a study from its keys to its sealed results. Runs on the key node.

    Args:
        spec: the study.
        identity: this node's own.
        address: "host:port" of the compute node.
        output: folder for the privacy ledger, which survives the study, and for the sealed
            results; made if absent.
        progress: shown the keys and every round; "round" events hold shift and sizes, none of them
            of a segment that the agreement hides.
        patience: seconds for which to keep trying when the compute node does not answer.

    Raises:
        BudgetError: an earlier run of this agreement has spent its privacy budget.
        AdmissionError: a party's records lie outside the agreed domain.
        TooFewRecordsError: fewer records than clusters, over all parties.
        ConstantFeatureError: a feature does not vary over all parties.
        OutputError: the folder cannot be written to.
        NodeError: the study cannot go on; says why.
    """
    began = time.monotonic()
    verify_identity(spec, identity, Role.KEY)
    plan = study_plan(spec)
    ledger = Ledger.load(_folder(output) / LEDGER_FILE, plan.noise, spec.digest)
    ledger.verify_study_affordable()
    with (
        AuditLog(output, spec, identity, "key") as log,
        study_session(
            spec, identity, Role.KEY, address, log, progress, patience=patience
        ) as session,
    ):
        with _secret_key(spec, identity, session, progress) as secret_key:
            node = _KeyNode(spec, identity, session, secret_key, ledger, output, progress)
            node.publish_keys()
            n_blocks = node.await_parties()
            session.client.exchange_checkpoints()
            schedule = Schedule(
                n_clusters=spec.n_clusters,
                n_rounds=spec.n_rounds,
                feature_names=spec.feature_names,
                # How many blocks a single party has is not the key node's to know.
                parties={party.name: n_blocks for party in spec.parties},
                slots=plan.circuit.parameters.slots,
                most_records=_most_records(spec, n_blocks * plan.circuit.parameters.slots),
                blunt=plan.circuit.blunt,
                sharp=plan.circuit.sharp,
                seed=spec.seed,
                noise=plan.noise,
            )
            while (request := schedule.request()) is not None:
                record = schedule.receive(node.run_round(request))
                _show(record, node.seconds_per_round[-1], spec.release, progress)
            result = schedule.result()
            sealed = seal_results(spec, identity, result, privacy_spent(spec, ledger))
            _keep(sealed, output / SEALED_FOLDER)
            node.upload_results(sealed)
        session.client.finish(_statement(spec, identity, session, secret_key))
        session.client.exchange_last_checkpoints()
    return KeySummary(
        seconds={**node.seconds, "total": time.monotonic() - began},
        seconds_per_round=tuple(node.seconds_per_round),
        bytes_sent=dict(session.client.bytes_sent),
        bytes_received=dict(session.client.bytes_received),
        peak_rss_mb=peak_rss_mb(),
        decrypted_values=secret_key.decrypted_values,
        result=result,
        sealed=sealed,
    )


def _most_records(spec: StudySpec, slots: int) -> int:
    """Records that all parties can have: as agreed, or as many as their blocks have slots."""
    agreed = [most for most in spec.most_records if most is not None]
    return min(sum(agreed), slots) if len(agreed) == len(spec.parties) else slots


@contextmanager
def _secret_key(
    spec: StudySpec, identity: Identity, session: StudySession, progress: Progress
) -> Iterator[SecretKey]:
    """The study's secret key; destroyed at the end of the block, whatever ends it."""
    secret_key = SecretKey(session.plan.circuit.parameters)
    try:
        yield secret_key
    except BaseException as error:
        # Frames of the failed call may hold parts of the key.
        traceback.clear_frames(error.__traceback__)
        secret_key.destroy()
        session.client.report_destroyed(_statement(spec, identity, session, secret_key))
        raise
    finally:
        secret_key.destroy()
        progress.message(
            f"the secret key is destroyed, after {secret_key.decrypted_values:,} decrypted sums"
        )


def _statement(
    spec: StudySpec, identity: Identity, session: StudySession, secret_key: SecretKey
) -> KeyDestroyed:
    """Put under this organisation's signature, and into its log, that the key is destroyed."""
    said = sign_key_destroyed(identity, spec.digest, secret_key.decrypted_values, now())
    session.client.log.append(SecretKeyDestroyed(**vars(said)))
    return said


def _folder(output: Path) -> Path:
    try:
        output.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise OutputError(
            f"the folder {output} cannot be made: {error.strerror}",
            "Name a folder in which this user may write.",
        ) from None
    return output


def _keep(sealed: Mapping[str, bytes], folder: Path) -> None:
    """Write the sealed results before they travel, so that a broken line costs no budget."""
    folder.mkdir(exist_ok=True, mode=0o700)
    for recipient, content in sealed.items():
        with open_private(folder / f"{recipient}.sealed") as file:
            file.write(content)


class _KeyNode:
    """The secret key and its place in the study."""

    def __init__(
        self,
        spec: StudySpec,
        identity: Identity,
        session: StudySession,
        secret_key: SecretKey,
        ledger: Ledger,
        output: Path,
        progress: Progress,
    ) -> None:
        self._spec = spec
        self._identity = identity
        self._session = session
        self._secret_key = secret_key
        self._ledger = ledger
        self._ledger_file = output / LEDGER_FILE
        self._progress = progress
        self._checks = BlobChecks(session.plan.circuit.parameters, spec.n_clusters, spec.n_features)
        self.seconds: dict[str, float] = {}
        self.seconds_per_round: list[float] = []

    def publish_keys(self) -> None:
        """Make the public and the relinearisation keys, upload them, and vouch for them."""
        began = time.monotonic()
        self._progress.start("keys", 2, "keys")
        public_key = self._secret_key.public_key()
        self._progress.advance("keys")
        relinearisation_keys = self._secret_key.relinearisation_keys()
        self._progress.advance("keys")
        self._progress.finish("keys")
        made = time.monotonic()
        client = self._session.client
        client.upload(BlobName(BlobKind.PUBLIC_KEY), public_key)
        client.upload(BlobName(BlobKind.RELINEARISATION_KEYS), relinearisation_keys)
        digest = hashlib.sha256(public_key).digest()
        signed = attested_bytes(self._spec.digest, self._session.plan.digest, digest)
        signature = self._identity.sign(KEYS_PURPOSE, signed)
        client.log.append(KeysVouched(public_key=digest.hex(), signature=signature))
        client.publish_keys(KeyAttestation(digest, signature))
        self._progress.event("keys", fingerprint=digest.hex())
        self.seconds["keys"] = made - began
        self.seconds["upload"] = time.monotonic() - made

    def await_parties(self) -> int:
        """Wait until every party's blocks are complete; returns how many blocks those are."""
        began = time.monotonic()
        self._progress.message("the keys are published; waiting for the parties' blocks")
        ready = self._session.watcher.wait_for(AllPartiesReady)
        self._progress.event("all_parties_ready")
        self.seconds["collect"] = time.monotonic() - began
        return ready.n_blocks

    def run_round(self, request: RoundRequest) -> NDArray[np.float64]:
        """Have one round computed and return its decrypted sums.

        Returns:
            admission: shape (n_parties, 3); moments: (1 + d + d(d+1)/2,); lloyd: (k, d+1);
            profile: (k, 2d+1).

        Raises:
            BudgetError: the round would spend more than was agreed; it is not asked for then.
        """
        began = time.monotonic()
        spec, index = self._spec, request.index
        self._ledger.verify_affordable(request.kind, request.sign)
        client = self._session.client
        client.log.append(RoundOpened(round=index, kind=request.kind, sign=request.sign))
        client.open_round(request.kind, index, request.sign)
        if request.hyperplanes is not None:
            self._send_hyperplanes(request, request.hyperplanes)
        ready = self._session.watcher.wait_for(ReleaseReady, lambda event: event.index == index)
        shape = sums_shape(request.kind, spec.n_clusters, spec.n_features, len(spec.parties))
        if ready.count != np.prod(shape):
            raise ProtocolError(
                f"round {index} has {ready.count} releases; {np.prod(shape)} were asked for"
            )
        # The compute node's log, with the digest of every release, is here under its signature
        # before anything is decrypted: what it did can be checked, and not be made up afterwards.
        client.exchange_checkpoints()
        # On disk before any of it is known.
        spent = self._ledger.spend(request.kind, index, request.sign)
        self._ledger.save(self._ledger_file)
        client.log.append(RoundSpent(round=index, rho=finite(spent.rho)))
        tell_budget(self._progress, self._ledger, spec, index)
        names = [BlobName(BlobKind.RELEASE, round=index, item=i) for i in range(ready.count)]
        with ThreadPoolExecutor(_DOWNLOADS, "download") as line:
            blobs = list(line.map(self._fetch, names))
        stds = self._stds(request)
        self._note(names, blobs, stds)
        sums = [
            self._secret_key.decrypt_slot_sum(blob, scale, own_std=std)
            for blob, scale, std in zip(blobs, self._scales(request), stds, strict=True)
        ]
        self.seconds_per_round.append(time.monotonic() - began)
        return np.array(sums).reshape(shape)

    def _note(self, names: list[BlobName], blobs: list[bytes], stds: list[float]) -> None:
        """Write down what came and what is decrypted now, before it is."""
        compute, records = self._spec.compute.name, list[Record]()
        for name, blob, std in zip(names, blobs, stds, strict=True):
            header = header_of(name, blob)
            records.append(logbook.received(header, blob, compute, "compute"))
            records.append(logbook.decrypted(header, blob, own_noise=std > 0))
        self._session.client.log.append(*records)

    def _scales(self, request: RoundRequest) -> list[float]:
        """The scales that the round's releases must state (section 6)."""
        plan = self._session.plan
        return release_scales(
            plan.circuit.parameters,
            request.kind,
            request.sign,
            n_clusters=self._spec.n_clusters,
            n_features=self._spec.n_features,
            n_parties=len(self._spec.parties),
            radius=plan.noise.radius,
        )

    def _stds(self, request: RoundRequest) -> list[float]:
        """Noise of this node's own on every sum (docs/protocol.md section 7)."""
        noise = self._session.plan.noise
        stds: list[float] = noise.stds(request.kind, request.sign).ravel().tolist()
        return stds if noise.own_draw else [0.0] * len(stds)

    def upload_results(self, sealed: Mapping[str, bytes]) -> None:
        """Hand every recipient's sealed results to the compute node, which cannot read them."""
        for item, recipient in enumerate(self._spec.recipients):
            self._session.client.upload(BlobName(BlobKind.RESULT, item=item), sealed[recipient])

    def _send_hyperplanes(self, request: RoundRequest, rows: NDArray[np.float64]) -> None:
        level = start_level(self._spec.n_clusters, request.sign)
        with UploadLine(self._session.client) as line:
            for pair, row in enumerate(rows):
                blobs = self._secret_key.encrypt_hyperplane(row, level)
                for part, blob in enumerate(blobs):
                    name = BlobName(BlobKind.HYPERPLANE, round=request.index, item=pair, part=part)
                    line.send(name, blob)
                self._session.watcher.verify_running()

    def _fetch(self, name: BlobName) -> bytes:
        return self._session.client.download(name, self._checks.limit(name))


def _show(record: RoundRecord, seconds: float, release: ReleaseTerms, progress: Progress) -> None:
    """Show a round to the key node's operator, who is told no more than the agreement allows.

    Segments that the agreement would hide are counted only, and all numbers are rounded.
    """
    digits = release.significant_digits
    facts: dict[str, object] = {"sizes": None}
    notes = list(record.notes)
    if record.sizes is not None:
        sizes = record.sizes.tolist()
        decided = suppression(sizes, record.n_records, release.smallest_segment)
        facts["sizes"] = [whole(sizes[index], digits) for index in sorted(decided.shown)]
        if decided.hidden:
            # Notes speak of single clusters, which may be the hidden ones.
            notes = [f"{len(decided.hidden)} segments not shown: {decided.reason}"]
    if record.n_records >= release.smallest_segment:
        facts["n_records"] = whole(record.n_records, digits)
    progress.event(
        "round",
        index=record.index,
        round_kind=record.kind,
        sign=record.sign,
        shift=None if record.shift is None else float(f"{record.shift:.{digits}g}"),
        **facts,
        notes=notes,
        seconds=round(seconds, 3),
    )
