"""The order of a study as the compute node holds it: a state machine without IO.

Keys, then blocks, then rounds, then the end (docs/protocol.md sections 1, 3 and 5). Every method
is one thing that a node asks for, raises when it is not its turn, and changes nothing then. Each
may be repeated: asking again for what has been done is no error, so that a reply may be lost.

Runs on: compute node. Nothing here knows gRPC, files or clocks.
"""

from __future__ import annotations

from enum import Enum

from mpcseg.errors import (
    MpcsegError,
    ParameterMismatchError,
    ProtocolError,
    StudyAbortedError,
)
from mpcseg.nodes.membership import Membership
from mpcseg.nodes.roles import Caller, Role
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
from mpcseg.wire import events
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName


class Phase(Enum):
    """How far the study is."""

    KEYS = "waiting for the keys"
    BLOCKS = "collecting blocks"
    ROUNDS = "computing"
    OVER = "over"


class StudyState:
    """The study, from the first Join to its end.

    Args:
        rules: what the agreement fixes.
        membership: the sessions of its nodes.

    Attributes:
        phase: how far the study is.
        events: everything that nodes have been told, in order.
        error: why the study was aborted; None as long as it was not.
        n_blocks: how many blocks each party that is ready has.
    """

    def __init__(self, rules: StudyRules, membership: Membership) -> None:
        self.rules = rules
        self.membership = membership
        self.phase = Phase.KEYS
        self.events: list[events.Event] = []
        self.error: MpcsegError | None = None
        self.n_blocks: dict[Caller, int] = {}
        self._attestation: events.KeyAttestation | None = None
        self._manifests: dict[Caller, bytes] = {}
        self._blobs: dict[Caller, dict[BlobName, BlobHeader]] = {
            caller: {} for caller in (rules.key, *rules.parties)
        }
        self._orders: list[RoundOrder] = []
        self._releases: dict[BlobName, BlobHeader] = {}
        self._released = 0
        self._hundredth = -1

    # --- sessions ------------------------------------------------------------------------

    def join(self, caller: Caller, claims: Claims, now: float) -> tuple[str, bool]:
        """Let a node in; returns its session and whether it starts anew.

        A party that comes back as another process before its blocks are complete starts anew:
        its records are shuffled and encrypted afresh, and must not be mixed with earlier ones.

        Raises:
            ParameterMismatchError: the node runs another study, parameter set or version.
            DuplicateNodeError: a live process has this identity.
            ProtocolError: another process of the key node comes back after the keys were made.
        """
        self._verify_running()
        self.rules.verify_claims(caller, claims)
        self.membership.verify_single(caller, claims.instance, now)
        anew = self.membership.is_new_process(caller, claims.instance)
        if anew and caller.role is Role.KEY and self.phase is not Phase.KEYS:
            raise ProtocolError(
                f"{caller} was started anew, and the secret key went with the old process",
                "Stop all nodes and run the study again.",
            )
        token = self.membership.join(caller, claims.instance, now)
        if anew and caller not in self.n_blocks:
            self._blobs[caller].clear()
        return token, anew

    def verify_call(self, caller: Caller, study_digest: str, token: str) -> None:
        """Check what every call but Join begins with.

        Raises:
            ParameterMismatchError: the call is for another study.
            DuplicateNodeError: the session is not the caller's.
            MpcsegError: the study was aborted; the reason.
        """
        if self.error is not None:
            raise self.error
        if study_digest != self.rules.study_digest:
            raise ParameterMismatchError(f"{caller} made a call for another study", SAME_STUDY)
        self.membership.verify_session(caller, token)

    def watch_opened(self, caller: Caller, token: str) -> None:
        """Note that a node listens."""
        told = self.membership.watch_opened(caller, token)
        if told is not None and self.phase is not Phase.OVER:
            self.events.append(told)

    def tick(self, now: float) -> None:
        """Give up on nodes that stayed away for too long."""
        if self.phase is Phase.OVER:
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
            ProtocolError: this node may not send such a blob, or not now.
            BlobTooLargeError: it belongs to a block over the allowed number.
        """
        self._verify_running()
        self.rules.verify_sender(caller, header.name)
        known = self._blobs[caller].get(header.name)
        if known == header:
            return False
        self._verify_turn(caller, header.name)
        if known is not None:
            raise ProtocolError(
                f"{caller} sent {header.name} before, with other content",
                "A blob may be repeated, never replaced.",
            )
        return True

    def accept(self, caller: Caller, token: str, header: BlobHeader) -> bool:
        """Enter a blob that is complete and checked; False if another upload was faster.

        Raises as ``verify_call`` and ``admit`` do: the study may have moved on meanwhile.
        """
        self.verify_call(caller, self.rules.study_digest, token)
        if not self.admit(caller, header):
            return False
        self._blobs[caller][header.name] = header
        return True

    def admit_download(self, caller: Caller, name: BlobName) -> BlobHeader:
        """Decide about a download and return the blob's header.

        Raises:
            ProtocolError: this node may not have the blob, or there is no such blob now.
        """
        if caller.role is Role.PARTY and name == BlobName(BlobKind.PUBLIC_KEY):
            if self._attestation is None:
                raise ProtocolError("the public key is not here yet")
            return self._blobs[self.rules.key][name]
        if caller.role is Role.KEY and name in self._releases:
            return self._releases[name]
        raise ProtocolError(f"{caller} may not have {name}, or it is not there now")

    # --- steps ---------------------------------------------------------------------------

    def publish_keys(self, caller: Caller, attestation: events.KeyAttestation) -> bool:
        """The key node vouches for its uploaded keys; False if it has done so before.

        The signature is checked before. Raises ``ProtocolError`` if a key is missing or the
        attestation is for another one.
        """
        self._verify_running()
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
        self._verify_running()
        self._verify_role(caller, Role.PARTY, "commit blocks")
        if caller in self.n_blocks:
            if (self.n_blocks[caller], self._manifests[caller]) != (n_blocks, manifest_sha256):
                raise ProtocolError(f"{caller} has committed other blocks before")
            return False
        self._verify_phase(Phase.BLOCKS, "blocks are committed")
        blobs = self._blobs[caller]
        names = block_names(n_blocks, self.rules.n_features) if n_blocks <= len(blobs) else []
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
            self.events.append(events.AllPartiesReady())
        return True

    def open_round(self, caller: Caller, order: RoundOrder) -> bool:
        """The key node asks for the next round; False if it has asked for this one before.

        Raises:
            ProtocolError: not the key node, not the next round, the one before is still running,
                more rounds than agreed, or a sign polynomial that was not planned.
        """
        self._verify_running()
        self._verify_role(caller, Role.KEY, "open rounds")
        if order in self._orders:
            return False
        self._verify_phase(Phase.ROUNDS, "a round is opened")
        if order.index != len(self._orders) or self._released != len(self._orders):
            raise ProtocolError(
                f"round {order.index} was asked for after {len(self._orders)} rounds, "
                f"of which {self._released} are done"
            )
        self.rules.verify_next(self._orders, order)
        self._orders.append(order)
        self._releases.clear()
        self._blobs[caller] = {
            name: header for name, header in self._blobs[caller].items() if name.kind in KEY_KINDS
        }
        self._hundredth = -1
        return True

    def round_progress(self, index: int, done: int, total: int) -> None:
        """Tell how far a round is, at most a hundred times."""
        hundredth = 100 * done // max(total, 1)
        if self.phase is Phase.ROUNDS and hundredth > self._hundredth:
            self._hundredth = hundredth
            self.events.append(events.RoundProgress(index, done, total))

    def release(self, index: int, headers: list[BlobHeader]) -> None:
        """A round's masked slot sums are ready for the key node."""
        if self.phase is not Phase.ROUNDS or index != len(self._orders) - 1:
            raise ProtocolError(f"round {index} was released out of order")
        self._released = index + 1
        self._releases = {header.name: header for header in headers}
        self.events.append(events.ReleaseReady(index, len(headers)))

    def finish(self, caller: Caller) -> None:
        """The key node has what it needs.

        Raises:
            ProtocolError: not the key node, or the profile round is not done.
        """
        self._verify_role(caller, Role.KEY, "finish the study")
        if self.phase is Phase.OVER and self.error is None:
            return
        self._verify_running()
        if not self._orders or self._orders[-1].kind != "profile" or not self._is_idle:
            raise ProtocolError("the study was finished before its profile round was done")
        self.phase = Phase.OVER
        self.events.append(events.StudyFinished())

    def abort_by(self, caller: Caller, reason: MpcsegError) -> None:
        """A node stops the study for everybody, if it is not over already."""
        self.abort(StudyAbortedError(f"{caller} stopped the study: {reason.message}", reason.hint))

    def abort(self, error: MpcsegError) -> None:
        """Stop the study for everybody with this error; the first one counts."""
        if self.phase is not Phase.OVER:
            self.phase = Phase.OVER
            self.error = error
            self.events.append(events.StudyAborted(error))

    # --- checks --------------------------------------------------------------------------

    @property
    def _is_idle(self) -> bool:
        return self._released == len(self._orders)

    def _verify_running(self) -> None:
        if self.error is not None:
            raise self.error
        if self.phase is Phase.OVER:
            raise ProtocolError("the study is finished")

    def _verify_role(self, caller: Caller, role: Role, what: str) -> None:
        if caller.role is not role:
            raise ProtocolError(f"{caller} may not {what}")

    def _verify_phase(self, phase: Phase, what: str) -> None:
        if self.phase is not phase:
            raise ProtocolError(f"{what} out of place: the study is {self.phase.value}")

    def _verify_turn(self, caller: Caller, name: BlobName) -> None:
        what = f"{name} was sent"
        if name.kind in KEY_KINDS:
            self._verify_phase(Phase.KEYS, what)
        elif name.kind in BLOCK_KINDS:
            self._verify_phase(Phase.BLOCKS, what)
            if caller in self.n_blocks:
                raise ProtocolError(f"{caller} sent {name} after it committed its blocks")
        else:
            self._verify_phase(Phase.ROUNDS, what)
            if self._is_idle or self._orders[-1].kind == "moments":
                raise ProtocolError(f"{what}, but no round that takes it is open")
        self.rules.verify_place(caller, name, len(self._orders) - 1)
