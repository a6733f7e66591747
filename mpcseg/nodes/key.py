"""The key node: makes the keys, decides every round, and decrypts slot sums, nothing else.

docs/protocol.md sections 1, 4, 5 and 6. The secret key is in the memory of this process and, sealed
to this node's own identity, in its recovery folder (ADR 0017), so that the node can be killed and
go on. Both end as soon as the last sum is decrypted, or whatever else ends the study. The only
module outside ``mpcseg.ckks`` that reaches ``mpcseg.ckks.secret``.
"""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import KeysVouched
from mpcseg.ckks.secret import SecretKey
from mpcseg.errors import (
    BudgetError,
    MpcsegError,
    NodeError,
    OutputError,
    ProtocolError,
    RecoveryError,
    StudyAbortedError,
)
from mpcseg.memory import peak_rss_mb
from mpcseg.nodes.key_end import deliver, statement
from mpcseg.nodes.key_history import Start, blobs_there, start_of
from mpcseg.nodes.key_results import SEALED_FOLDER, keep_sealed, read_sealed
from mpcseg.nodes.key_rounds import LEDGER_FILE, KeyRounds
from mpcseg.nodes.key_schedule import schedule_of
from mpcseg.nodes.key_screen import show_round
from mpcseg.nodes.planning import StudyPlan, study_plan
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.records import open_ledger
from mpcseg.nodes.roles import Role
from mpcseg.nodes.session import StudySession, study_session
from mpcseg.nodes.summary import KeySummary
from mpcseg.nodes.transport import verify_identity
from mpcseg.privacy.ledger import Ledger
from mpcseg.study.former import FormerCentroids, verify_former_is_given
from mpcseg.study.identity import Identity
from mpcseg.study.outcome import StudyResult
from mpcseg.study.results import privacy_spent, seal_results
from mpcseg.study.spec import StudySpec
from mpcseg.wire.events import (
    KEYS_PURPOSE,
    AllPartiesReady,
    KeyAttestation,
    attested_bytes,
)
from mpcseg.wire.names import BlobKind, BlobName

_LAST_LOOK_SECONDS = 5.0
"""For a compute node that may still have the results of a run that is over."""


def run_key(  # noqa: PLR0913  a node is started with all of these
    spec: StudySpec,
    identity: Identity,
    address: str,
    output: Path,
    progress: Progress,
    *,
    patience: float = 60.0,
    proxy: str | None = None,
    keeps_recovery: bool = True,
    former: FormerCentroids | None = None,
) -> KeySummary:
    """Lead a study from its keys to its sealed results, or go on with it. Runs on the key node.

    Args:
        spec: the study.
        identity: this node's own.
        address: "host:port" of the compute node.
        output: folder for the privacy ledger, which survives the study, for what this node needs
            to go on, and for the sealed results; made if absent.
        progress: shown the keys and every round; "round" events hold shift and sizes, none of them
            of a segment that the agreement hides.
        patience: seconds for which to keep trying when the compute node does not answer.
        proxy: URL of the HTTP proxy on the way, as in `mpcseg.nodes.route.proxy_for`.
        keeps_recovery: keep the secret key sealed in ``output``; without it, a node that stops has
            lost it, and the study ends.
        former: where a study that follows another starts; the same again for one that goes on.

    Raises:
        ConfigError: the study starts from a former one's centroids, which are not given.
        BudgetError: an earlier run of this agreement has spent its privacy budget.
        AdmissionError: a party's records lie outside the agreed domain.
        TooFewRecordsError: fewer records than clusters, over all parties.
        ConstantFeatureError: a feature does not vary over all parties.
        OutputError: the folder cannot be written to.
        RecoveryError: what is kept is not what the log says; or nothing is, and the keys are out.
        StorageError: the disk is full, read-only or failing.
        NodeError: the study cannot go on; says why.
    """
    verify_identity(spec, identity, Role.KEY)
    verify_former_is_given(spec, former)
    ledger_file, noise = _folder(output) / LEDGER_FILE, study_plan(spec).noise
    with AuditLog(output, spec, identity, "key") as log:
        ledger = open_ledger(ledger_file, noise, spec, log.earlier, progress)
        start = start_of(spec, identity, output, log.earlier, keeps=keeps_recovery)
        start = replace(start, former=former)

        def take_part(start: Start, patience: float = patience) -> KeySummary:
            with _session(
                spec, identity, address, log, start, progress, patience, proxy
            ) as session:
                return _take_part(spec, identity, session, start, ledger, output, progress)

        def look_for_the_end(otherwise: MpcsegError) -> KeySummary:
            """Say once more how the run before ended, if the compute node still has its results."""
            if start.delivered is None:
                raise otherwise
            try:
                return take_part(start.delivered, min(patience, _LAST_LOOK_SECONDS))
            except NodeError:
                raise otherwise from None

        try:
            if not start.resumes:
                ledger.verify_study_affordable()
                ledger.begin_run(start.run.number)
        except BudgetError as error:
            return look_for_the_end(error)
        try:
            return take_part(start)
        except _FinishedError as error:
            return look_for_the_end(error)


def _take_part(
    spec: StudySpec,
    identity: Identity,
    session: StudySession,
    start: Start,
    ledger: Ledger,
    output: Path,
    progress: Progress,
) -> KeySummary:
    """Lead the study from wherever it is to its end."""
    began = time.monotonic()
    ledger.run = start.run.number
    node, result = None, None
    if start.results is None:
        with _secret_key(spec, identity, session, start, progress) as secret_key:
            node = _KeyNode(spec, identity, session, secret_key, start, ledger, output, progress)
            result = node.lead()
            sealed = seal_results(spec, identity, result, privacy_spent(spec, ledger))
            start.recovery.keep_results(keep_sealed(sealed, output / SEALED_FOLDER))
        n_decrypted = secret_key.decrypted_values
    else:
        sealed = read_sealed(output / SEALED_FOLDER, start.results)
        start.recovery.destroy_key()
        n_decrypted = start.run.n_decrypted
    said = statement(spec, identity, session.client, start.run, n_decrypted)
    deliver(spec, session.client, start, sealed, said)
    return KeySummary(
        seconds={**(node.seconds if node else {}), "total": time.monotonic() - began},
        seconds_per_round=tuple(node.seconds_per_round if node else ()),
        bytes_sent=dict(session.client.bytes_sent),
        bytes_received=dict(session.client.bytes_received),
        peak_rss_mb=peak_rss_mb(),
        decrypted_values=n_decrypted,
        result=result,
        sealed=sealed,
    )


class _FinishedError(ProtocolError):
    """The compute node has the results of the run that this node has brought to its end."""


@contextmanager
def _session(  # noqa: PLR0913, PLR0917  a session is made of all of these
    spec: StudySpec,
    identity: Identity,
    address: str,
    log: AuditLog,
    start: Start,
    progress: Progress,
    patience: float,
    proxy: str | None,
) -> Iterator[StudySession]:
    """The node's place in the study; says what happened where its keys are there and lost."""
    joined = False
    try:
        with study_session(
            spec,
            identity,
            Role.KEY,
            address,
            log,
            progress,
            patience=patience,
            resumes=start.resumes,
            recovery="sealed" if start.recovery.keeps else "none",
            proxy=proxy,
        ) as session:
            joined = True
            yield session
    except ProtocolError as error:
        if joined:
            raise
        if start.delivered is not None:
            raise _FinishedError(error.message, error.hint) from None
        if not start.lost:
            raise
        raise RecoveryError(
            "the keys of this study are at the compute node, and this node has not kept their "
            f"secret key: {error.message}",
            "Nobody can go on with them. Put back the recovery folder if there is one; else close "
            "the study (mpcseg study close), and start all nodes again.",
        ) from None


@contextmanager
def _secret_key(
    spec: StudySpec, identity: Identity, session: StudySession, start: Start, progress: Progress
) -> Iterator[SecretKey]:
    """The study's secret key; destroyed at the end of the block, whatever ends it.

    What is kept of it goes with it, unless this node was only stopped.
    """
    secret_key = _made(session.plan, start)
    recovery = start.recovery
    try:
        yield secret_key
    except BaseException as error:
        # Frames of the failed call may hold parts of the key.
        traceback.clear_frames(error.__traceback__)
        secret_key.destroy()
        stopped = isinstance(error, KeyboardInterrupt) or (
            isinstance(error, MpcsegError) and not error.ends_study
        )
        if stopped and recovery.has_key:
            progress.message("this process's copy of the secret key is destroyed, the sealed stays")
            raise
        recovery.clear()
        n_values = secret_key.decrypted_values
        session.client.report_destroyed(
            statement(spec, identity, session.client, start.run, n_values)
        )
        progress.message(_destroyed(secret_key.decrypted_values))
        if stopped:
            why = error.message if isinstance(error, MpcsegError) else "its operator stopped it"
            raise StudyAbortedError(
                f"the key node has lost its secret key: {why}, and no recovery was kept",
                'With recovery = "sealed" it would go on.',
            ) from None
        raise
    secret_key.destroy()
    recovery.destroy_key()
    progress.message(_destroyed(secret_key.decrypted_values))


def _made(plan: StudyPlan, start: Start) -> SecretKey:
    """A new secret key, or the one that an earlier process of this node has kept."""
    if not start.resumes:
        return SecretKey(plan.circuit.parameters)
    with start.recovery.key_words() as words:
        secret_key = SecretKey(plan.circuit.parameters, words)
    secret_key.decrypted_values = start.run.n_decrypted
    return secret_key


def _destroyed(n_values: int) -> str:
    return f"the secret key is destroyed, after {n_values:,} decrypted sums"


def _folder(output: Path) -> Path:
    try:
        output.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise OutputError(
            f"the folder {output} cannot be made: {error.strerror}",
            "Name a folder in which this user may write.",
        ) from None
    return output


class _KeyNode(KeyRounds):
    """The key node's way through a study: a new run, or what there is of one."""

    _secret_key: SecretKey

    def lead(self) -> StudyResult:
        """Take the study from wherever it is to its last round."""
        self.publish_keys()
        n_blocks = self.await_parties()
        self._start.note_former(self._session.client.log)
        schedule = schedule_of(self._spec, self._session.plan, n_blocks, self._start.former)
        self._session.client.exchange_checkpoints()
        while (request := schedule.request()) is not None:
            known = self._recovery.sums(request.index)
            if known is not None:
                schedule.receive(np.array(known).reshape(self._shape(request)))
                continue
            record = schedule.receive(self.run_round(request))
            seconds = self.seconds_per_round[-1]
            show_round(record, seconds, self._spec.release, self._progress)
        return schedule.result()

    def publish_keys(self) -> None:
        """Make the public and the relinearisation keys, upload them, and vouch for them."""
        began = time.monotonic()
        public_key, relinearisation_keys = self._public_keys()
        made = time.monotonic()
        client, there = self._session.client, blobs_there(self._session.client, self._start)
        for kind, blob in (
            (BlobKind.PUBLIC_KEY, public_key),
            (BlobKind.RELINEARISATION_KEYS, relinearisation_keys),
        ):
            if str(BlobName(kind)) not in there:
                client.upload(BlobName(kind), blob)
        digest = hashlib.sha256(public_key).digest()
        signed = attested_bytes(self._spec.digest, self._session.plan.digest, digest)
        signature = self._identity.sign(KEYS_PURPOSE, signed)
        if self._run.vouched is None:
            client.log.append(KeysVouched(public_key=digest.hex(), signature=signature))
        client.publish_keys(KeyAttestation(digest, signature))
        self._progress.event("keys", fingerprint=digest.hex())
        self.seconds["keys"] = made - began
        self.seconds["upload"] = time.monotonic() - made

    def _public_keys(self) -> tuple[bytes, bytes]:
        """Public key and relinearisation keys: new ones, kept before they are used, or the same."""
        if self._start.resumes:
            return self._recovery.public_blobs()
        self._progress.start("keys", 2, "keys")
        public_key = self._secret_key.public_key()
        self._progress.advance("keys")
        relinearisation_keys = self._secret_key.relinearisation_keys()
        self._progress.advance("keys")
        self._progress.finish("keys")
        if self._recovery.keeps:
            with self._secret_key.words() as words:
                self._recovery.keep_key(words, public_key, relinearisation_keys)
        return public_key, relinearisation_keys

    def await_parties(self) -> int:
        """Wait until every party's blocks are complete; returns how many blocks those are."""
        began = time.monotonic()
        self._progress.message("the keys are published; waiting for the parties' blocks")
        ready = self._session.watcher.wait_for(AllPartiesReady)
        self._progress.event("all_parties_ready")
        self.seconds["collect"] = time.monotonic() - began
        return ready.n_blocks
