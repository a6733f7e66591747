"""Small real studies for the node tests: real identities, real ciphertexts, real TLS."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import NodeRole
from mpcseg.customers.cohort import Cohort
from mpcseg.errors import MpcsegError
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.compute import serve_compute
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.progress import Progress, SeveralProgress, SilentProgress
from mpcseg.nodes.requests import close_study
from mpcseg.nodes.roles import Role
from mpcseg.nodes.summary import ComputeSummary, KeySummary, PartySummary
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from tests.organisations import identity, no_noise, study_spec


class Recorder(SilentProgress):
    """Keeps what a node reports."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.events: list[tuple[str, dict[str, object]]] = []
        self.tasks: dict[str, int] = {}
        self._changed = threading.Condition()

    def message(self, text: str) -> None:
        with self._changed:
            self.messages.append(text)
            self._changed.notify_all()

    def advance(self, task: str, amount: int = 1) -> None:
        with self._changed:
            self.tasks[task] = self.tasks.get(task, 0) + amount
            self._changed.notify_all()

    def event(self, kind: str, **facts: object) -> None:
        with self._changed:
            self.events.append((kind, facts))
            self._changed.notify_all()

    def facts(self, kind: str) -> list[dict[str, object]]:
        return [facts for name, facts in self.events if name == kind]

    def wait(self, condition: Callable[[Recorder], object], seconds: float = 90.0) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: bool(condition(self)), seconds), (
                self.messages,
                self.events,
            )


@dataclass
class Nodes:
    """A study and the identities of its nodes."""

    spec: StudySpec
    compute: Identity
    key: Identity
    parties: list[Identity]
    stranger: Identity


def make_nodes(*, n_parties: int = 2, most_records: int | None = None, **overrides: Any) -> Nodes:
    """A study of organisations with one role each, without noise unless asked for."""
    names = [f"party-{letter}" for letter in "abcdef"[:n_parties]]
    fields = {"privacy": no_noise(), "retention_days": 1.0, **overrides}
    spec = study_spec(parties=dict.fromkeys(names, most_records), **fields)
    parties = [identity(name) for name in names]
    return Nodes(spec, identity("hub"), identity("keeper"), parties, identity("stranger"))


def two_organisations(*, most_records: int | None = None, **overrides: Any) -> Nodes:
    """A study of two without a third: alder has key and party node, birch compute and party."""
    alder, birch = identity("alder"), identity("birch")
    fields = {"privacy": no_noise(), "retention_days": 1.0, **overrides}
    parties = dict.fromkeys(("alder", "birch"), most_records)
    spec = study_spec(compute="birch", key="alder", parties=parties, **fields)
    return Nodes(spec, birch, alder, [alder, birch], identity("stranger"))


def make_cohort(n: int, n_features: int, seed: int) -> Cohort:
    """Two well-separated groups."""
    rng = np.random.default_rng(seed)
    centers = np.where(rng.random((n, 1)) < 0.5, -0.5, 0.5)
    records = np.clip(centers + rng.normal(0, 0.1, (n, n_features)), -1, 1)
    return Cohort(records=records, n_clipped=(0,) * n_features, warnings=())


@dataclass
class Running:
    """A node in a thread of this process."""

    thread: threading.Thread
    progress: Recorder
    outcome: list[Any] = field(default_factory=list)

    def join(self, seconds: float = 180.0) -> Any:
        """Return what the node returned, or raise what it raised."""
        outcome = self._outcome(seconds)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def error(self, seconds: float = 180.0) -> MpcsegError:
        outcome = self._outcome(seconds)
        assert isinstance(outcome, MpcsegError), outcome
        return outcome

    def _outcome(self, seconds: float) -> Any:
        self.thread.join(seconds)
        assert not self.thread.is_alive(), self.progress.messages
        assert not [text for text in self.progress.messages if text.startswith("internal error")]
        (outcome,) = self.outcome
        return outcome


_SCRATCH = tempfile.TemporaryDirectory(prefix="mpcseg-tests-")


def audit_folder() -> Path:
    """A new folder for a node's audit log; gone when the tests end."""
    return Path(tempfile.mkdtemp(dir=_SCRATCH.name))


def run(node: Callable[..., Any], *arguments: Any, **options: Any) -> Running:
    """Start a node in a thread; ``progress`` is the last positional argument of all of them.

    An ``observer`` is a second one.
    """
    if node is run_party:
        options.setdefault("audit", audit_folder())
    progress = Recorder()
    observer = options.pop("observer", None)
    told = SeveralProgress([progress, observer]) if observer else progress
    outcome: list[Any] = []

    def target() -> None:
        try:
            outcome.append(node(*arguments, told, **options))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return Running(thread, progress, outcome)


def start_compute(nodes: Nodes, storage: Path, **options: Any) -> tuple[Running, str]:
    """Start a compute node and return it with its address."""
    options = {"patience": 5.0, "arrival": 60.0, **options}
    running = run(serve_compute, nodes.spec, nodes.compute, "127.0.0.1:0", storage, 1, **options)
    running.progress.wait(lambda p: p.facts("listening") or running.outcome)
    assert not running.outcome, running.outcome
    return running, str(running.progress.facts("listening")[0]["address"])


NODE_ROLES: dict[Role, NodeRole] = {Role.KEY: "key", Role.PARTY: "party", Role.COMPUTE: "compute"}


def connect(
    nodes: Nodes,
    own: Identity,
    address: str,
    *,
    role: Role | None = None,
    spec: StudySpec | None = None,
    **options: Any,
) -> ComputeClient:
    """Return a client that has not joined yet; its role is that of the identity in ``nodes``."""
    role = role or (Role.KEY if own is nodes.key else Role.PARTY)
    options = {
        "parameter_digest": study_plan(nodes.spec).digest,
        "progress": Recorder(),
        "log": AuditLog(audit_folder(), spec or nodes.spec, own, NODE_ROLES[role]),
        "patience": 1.0,
        **options,
    }
    return ComputeClient(spec or nodes.spec, own, role, address, **options)


def close(nodes: Nodes, address: str, by: Identity | None = None) -> bytes:
    """Close a study in the name of the key node's organisation; returns the closing record."""
    return close_study(nodes.spec, by or nodes.key, address, Recorder(), patience=1.0)


@dataclass
class Ran:
    """A whole study that has its results, whose compute node still serves them."""

    compute: Running
    address: str
    key: KeySummary
    parties: list[PartySummary]
    progress: list[Recorder]

    def closed(self, nodes: Nodes) -> ComputeSummary:
        """Close it, and return what the compute node measured."""
        close(nodes, self.address)
        summary = self.compute.join()
        assert isinstance(summary, ComputeSummary)
        return summary


Observe = Callable[[str, str], Progress]
"""Makes what a node reports to besides its recorder, from its organisation and its role."""


def run_study(
    nodes: Nodes,
    folder: Path,
    cohorts: list[Cohort],
    *,
    observe: Observe = lambda _name, _role: SilentProgress(),
    **options: Any,
) -> Ran:
    """Run every node of a study in threads, until its results are there."""
    options["observer"] = observe(nodes.compute.name, "compute")
    compute, address = start_compute(nodes, folder / "storage", **options)
    observer = observe(nodes.key.name, "key")
    key = run(run_key, nodes.spec, nodes.key, address, folder / "key", observer=observer)
    parties = [
        run(
            run_party,
            nodes.spec,
            own,
            address,
            cohort,
            audit=folder / "audit",
            observer=observe(own.name, "party"),
        )
        for own, cohort in zip(nodes.parties, cohorts, strict=True)
    ]
    return Ran(
        compute,
        address,
        key.join(),
        [party.join() for party in parties],
        [key.progress, *(party.progress for party in parties)],
    )
