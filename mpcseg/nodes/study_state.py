"""The order of a study as the compute node holds it: a state machine without IO.

Keys, then blocks, then rounds, then results, then the end (docs/protocol.md sections 1, 3 and 5).
Every method is one thing that a node or an organisation asks for, raises when it is not its turn,
and changes nothing then. Each may be repeated: asking again for what has been done is no error, so
that a reply may be lost.

Runs on: compute node. Nothing here knows gRPC, files or clocks.
"""

from __future__ import annotations

from mpcseg.errors import MpcsegError, ParameterMismatchError, ProtocolError
from mpcseg.nodes.membership import Membership
from mpcseg.nodes.roles import Caller, Role
from mpcseg.nodes.round_book import Budget, RoundBook
from mpcseg.nodes.study_course import Phase, StudyCourse
from mpcseg.nodes.study_rules import (
    BLOCK_KINDS,
    KEY_KINDS,
    SAME_STUDY,
    Claims,
    RoundOrder,
    StudyRules,
    block_names,
    manifest_of,
)
from mpcseg.study.closing import KeyDestroyed
from mpcseg.wire import events
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName


class StudyState(StudyCourse):
    """The study, from the first Join to its end.

    Args:
        rules: what the agreement fixes.
        membership: the sessions of its nodes.
        budget: refuses a round that would overspend.

    Attributes:
        membership: the sessions of its nodes.
        n_blocks: how many blocks each party that is ready has.
    """

    def __init__(self, rules: StudyRules, membership: Membership, budget: Budget) -> None:
        super().__init__(rules, RoundBook(rules, budget))
        self.membership = membership
        self.n_blocks: dict[Caller, int] = {}
        self._attestation: events.KeyAttestation | None = None
        self._manifests: dict[Caller, bytes] = {}
        self._senders: dict[bytes, Caller] = {}
        self._blobs: dict[Caller, dict[BlobName, BlobHeader]] = {
            caller: {} for caller in (rules.key, *rules.parties)
        }
        self._complete_since: float | None = None

    # --- sessions ------------------------------------------------------------------------

    def join(self, caller: Caller, claims: Claims, now: float) -> tuple[str, bool]:
        """Let a node in; returns its session and whether it starts anew.

        A party that comes back as another process before its blocks are complete, and does not
        say that it resumes, starts anew: its records are shuffled and encrypted afresh, and must
        not be mixed with earlier ones.

        Raises:
            ParameterMismatchError: the node runs another study, parameter set or version.
            DuplicateNodeError: a live process has this identity.
            ProtocolError: another process of the key node, without the secret key, comes after
                the keys were made.
        """
        # Whoever comes back may be late for nothing but the news that all is done.
        (self.verify_not_over if claims.resumes else self.verify_running)()
        self.rules.verify_claims(caller, claims)
        self.membership.verify_single(caller, claims.instance, now)
        is_new = self.membership.session_instance(caller) != claims.instance
        anew = is_new and not claims.resumes
        if anew and caller.role is Role.KEY and self.phase is not Phase.KEYS:
            raise ProtocolError(
                f"{caller} was started anew, and the secret key went with the old process",
                "Stop all nodes and run the study again.",
            )
        token = self.membership.join(caller, claims.instance, now)
        if anew:
            self.forget(caller)
        return token, anew

    def forget(self, caller: Caller) -> None:
        """A node starts anew: what it has sent counts no more, unless it has committed it."""
        if caller not in self.n_blocks:
            self._blobs[caller].clear()
            self._senders = {d: who for d, who in self._senders.items() if who != caller}

    def verify_study(self, organisation: str, study_digest: str) -> None:
        """Check that a call is for this study: every call, with or without a session.

        Raises:
            ParameterMismatchError: it is for another one.
        """
        if study_digest != self.rules.study_digest:
            raise ParameterMismatchError(
                f"{organisation} made a call for another study", SAME_STUDY
            )

    def verify_call(self, organisation: str, study_digest: str, token: str) -> Caller:
        """Check what every call of a session begins with, and return who makes it.

        Raises:
            ParameterMismatchError: the call is for another study.
            UnknownSessionError: no node of the organisation has joined.
            DuplicateNodeError: the session is not one of the organisation's.
            MpcsegError: the study was aborted; the reason.
        """
        self.verify_study(organisation, study_digest)
        if self.suspended is not None:
            raise self.suspended
        if self.error is not None:
            raise self.error
        return self.membership.caller_of(organisation, token)

    def watch_opened(self, caller: Caller) -> None:
        """Note that a node listens."""
        told = self.membership.watch_opened(caller)
        if told is not None and self.is_running:
            self.events.append(told)

    def complete_since(self, moment: float) -> None:
        """The last round was done at this moment of the clock that `tick` reads."""
        self._complete_since = moment

    def tick(self, now: float) -> None:
        """Close when the retention is over; give up on nodes that stayed away for too long."""
        if self.phase is Phase.OVER:
            return
        if self.rounds.is_complete:
            if self._complete_since is None:
                self._complete_since = now
            if now - self._complete_since > self.rules.retention:
                self.expire()
        if not self.is_running:
            return
        needed = [self.rules.key, *(p for p in self.rules.parties if p not in self.n_blocks)]
        try:
            self.events += self.membership.absences(needed, now)
        except MpcsegError as error:
            self.abort(error)

    # --- blobs ---------------------------------------------------------------------------

    def admit(self, caller: Caller, header: BlobHeader) -> bool:
        """Decide about an upload before it is read; False if it has arrived before.

        Raises:
            ProtocolError: this node may not send such a blob, or not now, or another party's.
            BlobTooLargeError: it belongs to a block over the allowed number.
        """
        self.verify_not_over()
        self.rules.verify_sender(caller, header.name)
        known = self._blobs[caller].get(header.name)
        if known == header:
            return False
        self.verify_running()
        self._verify_turn(caller, header.name)
        if known is not None:
            raise ProtocolError(
                f"{caller} sent {header.name} before, with other content",
                "A blob may be repeated, never replaced.",
            )
        if self._senders.get(header.sha256, caller) != caller:
            # Whose it is, is nobody's business.
            raise ProtocolError(
                f"{caller} sent as {header.name} what another party has encrypted",
                "Every encryption is fresh: two that are equal are one and its copy.",
            )
        return True

    def accept(self, caller: Caller, token: str, header: BlobHeader) -> bool:
        """Enter a blob that is complete and checked; False if another upload was faster.

        Raises as ``verify_call`` and ``admit`` do: the study may have moved on meanwhile.
        """
        self.verify_call(caller.name, self.rules.study_digest, token)
        return self.enter(caller, header)

    def enter(self, caller: Caller, header: BlobHeader) -> bool:
        """Enter a blob that is complete and checked; False if it is there. Raises as ``admit``."""
        if not self.admit(caller, header):
            return False
        self._blobs[caller][header.name] = header
        if header.name.kind in BLOCK_KINDS:
            self._senders[header.sha256] = caller
        return True

    def lose(self, caller: Caller, header: BlobHeader) -> None:
        """A blob that came is not there: its node is to send it again."""
        del self._blobs[caller][header.name]
        self._senders.pop(header.sha256, None)

    def blobs_of(self, caller: Caller) -> list[BlobHeader]:
        """What of a node's own is here and need not be sent again."""
        return list(self._blobs[caller].values())

    def is_committed(self, caller: Caller, name: BlobName) -> bool:
        """Whether the study rests on a blob that is here; if not, it can be sent again."""
        match name.kind:
            case BlobKind.PUBLIC_KEY | BlobKind.RELINEARISATION_KEYS:
                return self._attestation is not None
            case BlobKind.HYPERPLANE:
                return self.rounds.is_idle
            case BlobKind.RESULT:
                return self.key_destroyed is not None
            case _:
                return caller in self.n_blocks

    def held(self) -> list[tuple[Caller, BlobHeader]]:
        """Every blob that is here and belongs to a node, in order."""
        return [(who, header) for who, blobs in self._blobs.items() for header in blobs.values()]

    def admit_download(self, caller: Caller, name: BlobName) -> BlobHeader:
        """Decide about a download and return the blob's header.

        Raises:
            ProtocolError: this node may not have the blob, or there is no such blob now.
        """
        if caller.role is Role.PARTY and name == BlobName(BlobKind.PUBLIC_KEY):
            if self._attestation is None:
                raise ProtocolError("the public key is not here yet")
            return self._blobs[self.rules.key][name]
        release = self.rounds.header(name)
        if caller.role is Role.KEY and release is not None:
            return release
        raise ProtocolError(f"{caller} may not have {name}, or it is not there now")

    def admit_result(self, organisation: str, recipient: str) -> BlobHeader:
        """Decide about fetching sealed results and return their header.

        Args:
            organisation: who asks, by its certificate.
            recipient: whose results it asks for.

        Raises:
            ProtocolError: it is no recipient, asks for those of another one, or comes too early.
            StudyClosedError: the results are deleted.
            MpcsegError: the study was aborted; the reason.
        """
        if organisation not in self.rules.recipients:
            raise ProtocolError(
                f"{organisation} receives no results of this study",
                "The agreement names who receives what: mpcseg study show FILE",
            )
        if recipient != organisation:
            raise ProtocolError(f"{organisation} asked for results that are not sealed to it")
        self.verify_not_over()
        if self.phase is not Phase.RESULTS:
            raise ProtocolError(
                f"there are no results yet: the study is {self.phase.value}",
                "Fetch them when the study is finished.",
            )
        item = self.rules.recipients.index(recipient)
        return self._blobs[self.rules.key][BlobName(BlobKind.RESULT, item=item)]

    # --- steps ---------------------------------------------------------------------------

    def publish_keys(self, caller: Caller, attestation: events.KeyAttestation) -> bool:
        """The key node vouches for its uploaded keys; False if it has done so before.

        The signature is checked before. Raises ``ProtocolError`` if a key is missing or the
        attestation is for another one.
        """
        self.verify_running()
        self._verify_role(caller, Role.KEY, "publish keys")
        if self._attestation == attestation:
            return False
        if self.phase is not Phase.KEYS:
            raise ProtocolError(f"{caller} has published other keys before")
        blobs = self._blobs[caller]
        if any(BlobName(kind) not in blobs for kind in KEY_KINDS):
            raise ProtocolError("the keys were published before both were uploaded")
        if blobs[BlobName(BlobKind.PUBLIC_KEY)].sha256 != attestation.public_key_sha256:
            raise ProtocolError("the attestation is not for the public key that was uploaded")
        self._attestation = attestation
        self.phase = Phase.BLOCKS
        self.events.append(events.KeysReady(attestation))
        return True

    def commit(self, caller: Caller, n_blocks: int, manifest_sha256: bytes) -> bool:
        """A party says that its blocks are complete; False if it has said so before.

        Raises:
            ProtocolError: not its turn, a blob is missing or left over, or the digest of all
                digests differs.
        """
        self.verify_running()
        self._verify_role(caller, Role.PARTY, "commit blocks")
        if caller in self.n_blocks:
            if (self.n_blocks[caller], self._manifests[caller]) != (n_blocks, manifest_sha256):
                raise ProtocolError(f"{caller} has committed other blocks before")
            return False
        self.verify_phase(Phase.BLOCKS, "blocks are committed")
        blobs = self._blobs[caller]
        rules = self.rules
        is_possible = n_blocks <= len(blobs)  # before so many names are made
        names = block_names(n_blocks, rules.n_features, rules.columns) if is_possible else []
        if n_blocks < 1 or set(names) != set(blobs):
            raise ProtocolError(
                f"{caller} committed {n_blocks} blocks; its {len(blobs)} blobs are not those"
            )
        if manifest_of([blobs[name].sha256 for name in names]) != manifest_sha256:
            raise ProtocolError(f"{caller} committed other blobs than those that arrived")
        self.n_blocks[caller] = n_blocks
        self._manifests[caller] = manifest_sha256
        self.events.append(events.PartyReady(caller.name))
        if len(self.n_blocks) == len(self.rules.parties):
            self.phase = Phase.ROUNDS
            self.events.append(events.AllPartiesReady(sum(self.n_blocks.values())))
        return True

    def open_round(self, caller: Caller, order: RoundOrder) -> bool:
        """The key node asks for the next round; False if it has asked for this one before.

        Raises:
            ProtocolError: not the key node, not the next round, the one before is still running,
                more rounds than agreed, a sign polynomial that was not planned, or the secret key
                is destroyed.
            BudgetError: the round would spend more than was agreed.
        """
        self.verify_running()
        self._verify_role(caller, Role.KEY, "open rounds")
        if order in self.rounds.orders:
            return False
        self.verify_phase(Phase.ROUNDS, "a round is opened")
        if self.key_destroyed is not None:
            raise ProtocolError("a round was asked for after the secret key was destroyed")
        self.rounds.open(order)
        self._blobs[caller] = {
            name: header for name, header in self._blobs[caller].items() if name.kind in KEY_KINDS
        }
        return True

    def round_progress(self, index: int, done: int, total: int) -> None:
        """Tell how far a round is, at most a hundred times."""
        if self.phase is Phase.ROUNDS:
            told = self.rounds.progress(index, done, total)
            if told is not None:
                self.events.append(told)

    def release(self, index: int, headers: list[BlobHeader]) -> None:
        """A round's masked slot sums are ready for the key node."""
        self.verify_phase(Phase.ROUNDS, f"round {index} was released")
        self.events.append(self.rounds.release(index, headers))

    def finish(self, caller: Caller, statement: KeyDestroyed) -> bool:
        """The sealed results are here and the secret key is destroyed; False if said before.

        The statement's signature is checked before.

        Raises:
            ProtocolError: not the key node, the profile round is not done, or a recipient's
                results are missing.
        """
        self._verify_role(caller, Role.KEY, "finish the study")
        if self.phase is Phase.RESULTS and self.key_destroyed == statement:
            return False
        self.verify_running()
        if not self.rounds.is_complete:
            raise ProtocolError("the study was finished before its profile round was done")
        if not self._has_results:
            raise ProtocolError("the study was finished before all sealed results were uploaded")
        self.destroyed(statement)
        return True

    def report_destroyed(self, caller: Caller, statement: KeyDestroyed) -> None:
        """The key node has destroyed its secret key, however the study ended; also afterwards.

        The statement's signature is checked before; the first one counts.

        Raises:
            ProtocolError: not the key node.
        """
        self._verify_role(caller, Role.KEY, "say that the secret key is destroyed")
        self.destroyed(statement)

    def destroyed(self, statement: KeyDestroyed) -> None:
        """The secret key is no more; with all sealed results here, that finishes the study.

        The first statement counts. Which of its two calls the key node has said it with makes no
        difference, so that the log, which has the statement, says all.
        """
        self.key_destroyed = self.key_destroyed or statement
        if self.phase is Phase.ROUNDS and self.rounds.is_complete and self._has_results:
            self.phase = Phase.RESULTS
            self.events.append(events.ResultsReady())

    @property
    def _has_results(self) -> bool:
        results = (BlobName(BlobKind.RESULT, item=i) for i in range(len(self.rules.recipients)))
        return all(name in self._blobs[self.rules.key] for name in results)

    @property
    def attestation(self) -> events.KeyAttestation | None:
        """The key node's word for its keys; None before."""
        return self._attestation

    @property
    def awaits_destruction(self) -> bool:
        """Whether the key node has a secret key and has not said yet that it is destroyed."""
        return self._attestation is not None and self.key_destroyed is None

    def verify_complete(self, caller: Caller) -> None:
        """Check that all blocks are complete: before, the log's size tells whose came when.

        Raises:
            ProtocolError: they are not.
        """
        if self.phase in (Phase.KEYS, Phase.BLOCKS):
            raise ProtocolError(f"{caller} exchanges checkpoints before all blocks are complete")

    # --- checks --------------------------------------------------------------------------

    def _verify_role(self, caller: Caller, role: Role, what: str) -> None:
        if caller.role is not role:
            raise ProtocolError(f"{caller} may not {what}")

    def _verify_turn(self, caller: Caller, name: BlobName) -> None:
        what, order = f"{name} was sent", None
        if name.kind in KEY_KINDS:
            self.verify_phase(Phase.KEYS, what)
        elif name.kind in BLOCK_KINDS:
            self.verify_phase(Phase.BLOCKS, what)
            if caller in self.n_blocks:
                raise ProtocolError(f"{caller} sent {name} after it committed its blocks")
        elif name.kind is BlobKind.RESULT:
            self.verify_phase(Phase.ROUNDS, what)
            if not self.rounds.is_complete:
                raise ProtocolError(f"{what} before the last round was done")
        else:
            self.verify_phase(Phase.ROUNDS, what)
            order = self.rounds.verify_hyperplane_wanted(what)
        self.rules.verify_place(caller, name, order)
