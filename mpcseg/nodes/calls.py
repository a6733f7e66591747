"""What the compute node's calls have in common: whose they are, and that they stand in the log.

Runs on: compute node, on its event loop: disk and checks go to threads, evaluation to the engine's
processes, so that health checks are answered at any time. What must change together with the state,
such as an entry of the audit log, is written on the loop itself; that takes milliseconds.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import Record, RefusalsOmitted, Refused
from mpcseg.errors import MpcsegError, StorageError, UnknownCertificateError
from mpcseg.nodes.answering import Answering, Context
from mpcseg.nodes.blob_checks import BlobChecks
from mpcseg.nodes.blob_store import BlobStore
from mpcseg.nodes.changes import Changes
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.resume import Resumed
from mpcseg.nodes.roles import Caller
from mpcseg.nodes.rounds import RoundRunner, failure
from mpcseg.nodes.study_rules import block_names
from mpcseg.nodes.study_state import StudyState
from mpcseg.nodes.summary import Traffic
from mpcseg.nodes.transport import Roster
from mpcseg.nodes.upload_gate import QUOTA_FACTOR, ByteQuota, UploadGate
from mpcseg.study.spec import StudySpec

MOST_REFUSALS = 1000
"""Refused calls that are written into the log: a member who floods the node fills no disk."""


class StudyCalls(Answering):
    """What every group of calls of a study works on.

    Args:
        spec: the study.
        state: of the study.
        store: where blobs are kept.
        checks: what blobs must look like.
        rounds: runs what the key node asks for.
        changes: wakes those who watch.
        record: resolves to the closing record, once the study is over and everything deleted.
        roster: who may call.
        log: the compute node's audit log: what is not in it does not happen.
        progress: the compute node's own.
        resumed: what earlier processes of this run have put on record.
        gate: gives uploads their turns, those of other studies too.

    Attributes:
        traffic: payload bytes so far.
        told: callers that know that their part is over.
    """

    def __init__(  # noqa: PLR0913  a service is made of all of these
        self,
        spec: StudySpec,
        state: StudyState,
        store: BlobStore,
        checks: BlobChecks,
        rounds: RoundRunner,
        changes: Changes,
        record: asyncio.Future[bytes],
        *,
        roster: Roster,
        log: AuditLog,
        progress: Progress,
        resumed: Resumed,
        gate: UploadGate,
    ) -> None:
        super().__init__(spec.digest, progress)
        self._spec = spec
        self._roster = roster
        self._state = state
        self._store = store
        self._checks = checks
        self._rounds = rounds
        self._changes = changes
        self._record = record
        self._log = log
        self._sent = resumed.sent
        self._handing = asyncio.Lock()
        self._gate = gate
        self._quota = ByteQuota(self._most_bytes)
        self._left: Counter[Caller] = Counter()
        self._n_noted = MOST_REFUSALS if resumed.silent else resumed.n_refused
        self.traffic = Traffic(progress)
        self._began = time.monotonic()
        self.told: set[Caller] = set()

    def _most_bytes(self, party: Caller) -> int:
        """How many bytes a party may send in all."""
        rules = self._state.rules
        block = sum(map(self._checks.limit, block_names(1, rules.n_features, rules.columns)))
        return QUOTA_FACTOR * rules.blocks_at_most(party) * block

    def _note(self, *records: Record) -> None:
        """Write down a step that the study has taken; without an entry it does not go on.

        Raises:
            StorageError: it cannot be written; this process takes no further step.
        """
        try:
            self._log.append(*records)
        except StorageError as error:
            self._suspend(error)
            raise

    def _suspend(self, error: MpcsegError) -> None:
        self._state.suspend(error)
        self._changes.happened()

    def unforeseen(self, error: Exception) -> MpcsegError:
        """Return what an error that is no ``MpcsegError`` means.

        Of a study that has ended meanwhile, files are simply gone.
        """
        return self.ended() or failure(error, self._store.root, self.progress)

    def refuse(self, call: str, error: MpcsegError, context: Context) -> None:
        """Count a refused call, say why, and write it down; a flood of them not for ever.

        An error of this node's own disk ends this process, and not the study.
        """
        super().refuse(call, error, context)
        if isinstance(error, StorageError):
            self._suspend(error)
        if self._n_noted >= MOST_REFUSALS or self._state.suspended is not None:
            return
        self._n_noted += 1
        try:
            peer = self._roster.organisation(context.auth_context())
        except UnknownCertificateError:
            peer = ""
        records: list[Record] = [Refused(peer=peer, call=call, code=error.code)]
        if self._n_noted == MOST_REFUSALS:
            records.append(RefusalsOmitted())
        try:
            self._log.append(*records)
        except StorageError as failed:
            # The call is refused in any case; with a log that cannot be written nothing goes on.
            self._suspend(failed)

    def ended(self) -> MpcsegError | None:
        """Return why there is no study any more; None while there is."""
        try:
            self._state.verify_not_over()
        except MpcsegError as error:
            return error
        return None

    def _organisation(self, request: Any, context: Context) -> str:
        """Return who is calling, after the checks that calls without a session begin with."""
        organisation = self._roster.organisation(context.auth_context())
        self._state.verify_study(organisation, request.study_digest)
        return organisation

    def _verified(self, request: Any, context: Context) -> Caller:
        """Return who is calling, after the checks that calls of a session begin with."""
        organisation = self._roster.organisation(context.auth_context())
        return self._state.verify_call(organisation, request.study_digest, request.session)
