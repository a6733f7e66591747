"""Small real studies for the node tests: real identities, real ciphertexts, real TLS."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mpcseg.errors import MpcsegError
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.compute import serve_compute
from mpcseg.nodes.planning import plan_of
from mpcseg.nodes.progress import SilentProgress
from mpcseg.study.cohort import Cohort
from mpcseg.study.identity import Identity, new_identity
from mpcseg.study.spec import FeatureSpec, NodeCard, PartyCard, StudySpec


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

    def wait(self, condition: Callable[[Recorder], object], seconds: float = 30.0) -> None:
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


def make_nodes(
    folder: Path,
    *,
    n_parties: int = 2,
    n_clusters: int = 2,
    most_records: int | None = None,
) -> Nodes:
    def identity(name: str) -> Identity:
        return new_identity(name, folder / name, ["127.0.0.1", "localhost"])

    compute, key, stranger = identity("hub"), identity("keeper"), identity("stranger")
    parties = [identity(f"party-{letter}") for letter in "abcdef"[:n_parties]]
    spec = StudySpec(
        name="trial",
        n_clusters=n_clusters,
        n_rounds=2,
        epsilon="none",
        features=tuple(FeatureSpec(name=f"x{j}", lower=-1, upper=1) for j in range(2)),
        compute=card(compute),
        key=card(key),
        parties=tuple(
            PartyCard(
                name=party.name, certificate_pem=party.certificate_pem, most_records=most_records
            )
            for party in parties
        ),
    )
    return Nodes(spec, compute, key, parties, stranger)


def card(identity: Identity) -> NodeCard:
    return NodeCard(name=identity.name, certificate_pem=identity.certificate_pem)


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

    def join(self, seconds: float = 60.0) -> Any:
        """Return what the node returned, or raise what it raised."""
        outcome = self._outcome(seconds)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def error(self, seconds: float = 60.0) -> MpcsegError:
        outcome = self._outcome(seconds)
        assert isinstance(outcome, MpcsegError), outcome
        return outcome

    def _outcome(self, seconds: float) -> Any:
        self.thread.join(seconds)
        assert not self.thread.is_alive(), self.progress.messages
        assert not [text for text in self.progress.messages if text.startswith("internal error")]
        (outcome,) = self.outcome
        return outcome


def run(node: Callable[..., Any], *arguments: Any, **options: Any) -> Running:
    """Start a node in a thread; ``progress`` is the last positional argument of all of them."""
    progress = Recorder()
    outcome: list[Any] = []

    def target() -> None:
        try:
            outcome.append(node(*arguments, progress, **options))
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


def connect(
    nodes: Nodes, identity: Identity, address: str, *, spec: StudySpec | None = None, **options: Any
) -> ComputeClient:
    """Return a client that has not joined yet."""
    spec = spec or nodes.spec
    options = {
        "parameter_digest": plan_of(nodes.spec).digest,
        "progress": Recorder(),
        "patience": 1.0,
        **options,
    }
    return ComputeClient(spec, identity, address, **options)
