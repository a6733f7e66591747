"""A study without nodes: its state, its clock, and every operation by name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mpcseg.errors import BudgetError
from mpcseg.nodes.membership import Membership
from mpcseg.nodes.roles import Caller, Role
from mpcseg.nodes.study_rules import (
    BLOCK_KINDS,
    Claims,
    RoundOrder,
    StudyRules,
    block_names,
    manifest_of,
)
from mpcseg.nodes.study_state import StudyState
from mpcseg.reference.rounds import RoundKind
from mpcseg.study.closing import Action, KeyDestroyed, SignedRequest
from mpcseg.wire import events
from mpcseg.wire.conversions import PROTOCOL_VERSION
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName

KEY = Caller("keeper", Role.KEY)
A, B = Caller("a", Role.PARTY), Caller("b", Role.PARTY)
SHARP, BLUNT = (7, 15), (7, 7)
RULES = StudyRules(
    study_digest="s" * 64,
    parameter_digest="p" * 64,
    compute="hub",
    key=KEY,
    parties=(A, B),
    n_features=2,
    n_clusters=3,
    n_rounds=2,
    blunt=BLUNT,
    sharp=SHARP,
    max_blocks=4,
    slot_ranges=(None, None),
    recipients=("a", "hub"),
    retention=1000.0,
)
CLAIMS = Claims(PROTOCOL_VERSION, "0.1.0", "s" * 64, "p" * 64, "process 1")
ADMISSION = RoundOrder("admission", 0, ())
MOMENTS = RoundOrder("moments", 1, ())
DESTROYED = KeyDestroyed(40, "2025-03-31T12:00:00Z", b"signed")


def header(name: BlobName, content: bytes = b"") -> BlobHeader:
    return BlobHeader(name, 100, hashlib.sha256(str(name).encode() + content).digest())


def block_blob(caller: Caller, name: BlobName) -> BlobHeader:
    """A blob of a party's block: every party's encryptions are its own."""
    return header(name, caller.name.encode() if name.kind in BLOCK_KINDS else b"")


PUBLIC = header(BlobName(BlobKind.PUBLIC_KEY))
RELINEARISATION = header(BlobName(BlobKind.RELINEARISATION_KEYS))
ATTESTATION = events.KeyAttestation(PUBLIC.sha256, b"signed")


def asked(
    organisation: str, action: Action = "close", time: str = "2025-03-31T12:00:00Z"
) -> SignedRequest:
    return SignedRequest(organisation, action, time, b"signed")


@dataclass
class Purse:
    """A budget for so many rounds; some may be paid for already."""

    n_left: int = 1000
    paid: set[int] = field(default_factory=set)

    def spending(self, index: int) -> object | None:
        return index if index in self.paid else None

    def verify_affordable(self, kind: RoundKind, sign: tuple[int, ...] = ()) -> None:
        if self.n_left == 0:
            raise BudgetError(f"no {kind} round with the sign {sign} can be paid for")


@dataclass
class Study:
    """A state and a clock, with each operation as a method that the tables below name."""

    now: float = 0.0
    rules: StudyRules = RULES
    purse: Purse = field(default_factory=Purse)
    sessions: dict[Caller, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        membership = Membership(patience=30.0, arrival=100.0)
        self.state = StudyState(self.rules, membership, self.purse)

    def join(self, caller: Caller, **claims: object) -> bool:
        token, anew = self.state.join(caller, replace(CLAIMS, **claims), self.now)
        self.sessions[caller] = token
        return anew

    def enter(self, caller: Caller, **claims: object) -> None:
        self.join(caller, **claims)
        self.watch(caller)

    def watch(self, caller: Caller) -> None:
        self.state.watch_opened(caller)

    def lose(self, caller: Caller) -> None:
        self.state.membership.watch_closed(caller, self.sessions[caller], self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.state.tick(self.now)

    def call(self, caller: Caller, digest: str = RULES.study_digest, session: str = "") -> Caller:
        return self.state.verify_call(caller.name, digest, session or self.sessions[caller])

    def upload(self, caller: Caller, blob: BlobHeader | BlobName) -> None:
        announced = blob if isinstance(blob, BlobHeader) else block_blob(caller, blob)
        if self.state.admit(caller, announced):
            self.state.accept(caller, self.sessions[caller], announced)

    def publish(self, attestation: events.KeyAttestation = ATTESTATION) -> None:
        self.state.publish_keys(KEY, attestation)

    def blocks(self, caller: Caller, n_blocks: int) -> None:
        for name in block_names(n_blocks, RULES.n_features):
            self.upload(caller, name)

    def commit(self, caller: Caller, n_blocks: int, manifest: bytes | None = None) -> None:
        if manifest is None:
            names = block_names(n_blocks, RULES.n_features)
            manifest = manifest_of([block_blob(caller, name).sha256 for name in names])
        self.state.commit(caller, n_blocks, manifest)

    def open(self, order: RoundOrder, caller: Caller = KEY) -> None:
        self.state.open_round(caller, order)

    def release(self, index: int) -> None:
        names = [BlobName(BlobKind.RELEASE, round=index, item=item) for item in range(3)]
        self.state.release(index, [header(name) for name in names])

    def round(self, order: RoundOrder) -> None:
        self.open(order)
        self.release(order.index)

    def fetch(self, caller: Caller, name: BlobName) -> None:
        self.state.admit_download(caller, name)

    def results(self) -> None:
        for item in range(len(self.rules.recipients)):
            self.upload(KEY, result(item))

    def finish(self, caller: Caller = KEY, statement: KeyDestroyed = DESTROYED) -> bool:
        return self.state.finish(caller, statement)


Operation = Callable[[Study], object]


def lloyd(index: int, sign: tuple[int, ...] = SHARP) -> RoundOrder:
    return RoundOrder("lloyd", index, sign)


def profile(index: int) -> RoundOrder:
    return RoundOrder("profile", index, SHARP)


def feature(block: int, part: int = 0, round_: int = 0) -> BlobName:
    return BlobName(BlobKind.FEATURE, round_, block, part)


def result(item: int) -> BlobName:
    return BlobName(BlobKind.RESULT, item=item)


def hyperplane(round_: int, pair: int = 0, part: int = 0) -> BlobName:
    return BlobName(BlobKind.HYPERPLANE, round_, pair, part)


def keys(study: Study) -> None:
    """Everybody has joined and the keys are published."""
    for caller in (KEY, A, B):
        study.enter(caller)
    study.upload(KEY, PUBLIC)
    study.upload(KEY, RELINEARISATION)
    study.publish()


def collected(study: Study) -> None:
    """Everybody's blocks are complete: two of a, one of b."""
    keys(study)
    study.blocks(A, 2)
    study.commit(A, 2)
    study.blocks(B, 1)
    study.commit(B, 1)


def started(study: Study) -> None:
    """Admission and moments are released."""
    collected(study)
    study.round(ADMISSION)
    study.round(MOMENTS)


def computed(study: Study) -> None:
    """Every round is released."""
    started(study)
    study.round(lloyd(2))
    study.round(profile(3))


def finished(study: Study) -> None:
    """The results are there."""
    computed(study)
    study.results()
    study.finish()
