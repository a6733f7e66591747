"""One real study from its agreement to its closing record, and everything that it leaves.

Run once in a test session: real ciphertexts, real TLS, noise of both nodes. Tests take copies.
"""

from __future__ import annotations

import copy
import functools
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from mpcseg.audit.log import AuditLog
from mpcseg.ckks.secret import SecretKey
from mpcseg.ckks.serialization import save_to_bytes
from mpcseg.customers.cohort import Cohort
from mpcseg.nodes.metrics import NodeMetrics
from mpcseg.nodes.progress import Progress, SeveralProgress
from mpcseg.nodes.requests import fetch_results
from mpcseg.nodes.study_state import StudyState
from mpcseg.report.structured_log import LogFile
from mpcseg.study.spec import StudySpec
from mpcseg.wire.events import NodeAbsent, NodeBack, RoundProgress
from tests.nodes.studies import Nodes, Recorder, close, make_cohort, run_study, two_organisations
from tests.organisations import write_study


@dataclass
class KeyNodesKnowledge:
    """What the key node alone knew.

    Attributes:
        values: decrypted sums and centroids, with all digits.
        residues: the first eight of the secret key for each prime, as they stand in memory.
        saved_key: the secret key as SEAL saves it.
    """

    values: list[float] = field(default_factory=list, repr=False)
    residues: list[bytes] = field(default_factory=list, repr=False)
    saved_key: bytes = field(default=b"", repr=False)

    def listen(self, key: SecretKey, value: float) -> None:
        if not self.values:
            generator = key._key.generator
            self.saved_key = save_to_bytes(generator.secret_key().save)
            self.residues = [row[:8].tobytes() for row in key._secret_residues()]
        self.values.append(value)


Snapshot = dict[str, Any]


def snapshot(state: StudyState) -> Snapshot:
    """All that a study's state has and that must outlive a process."""
    passing = (RoundProgress, NodeAbsent, NodeBack)
    return copy.deepcopy(
        {
            "phase": state.phase,
            "events": [event for event in state.events if not isinstance(event, passing)],
            "ending": state.ending,
            "key_destroyed": state.key_destroyed,
            "n_blocks": state.n_blocks,
            "attestation": state.attestation,
            "manifests": state._manifests,
            "senders": state._senders,
            "blobs": state._blobs,
            "orders": state.rounds.orders,
            "released": state.rounds._released,
            "releases": state.rounds._releases,
        }
    )


class Onlooker:
    """Looks at the compute node's state around each operation and after each entry of its log.

    In the node's event loop alone: there, log and state change together. Other threads of the node
    append too, and would see a state on its way: what they have written, the loop's next operation
    finds, and the state that it begins with is that of all these lengths.
    """

    OPERATIONS = (
        *("enter", "forget", "publish_keys", "commit", "open_round", "release"),
        *("finish", "destroyed", "withdraw", "close", "expire", "abort"),
    )

    def __init__(self) -> None:
        self.seen: list[tuple[int, Snapshot]] = []
        self._state: StudyState | None = None
        self._log: AuditLog | None = None
        self._loop: int | None = None
        self._size = 0

    def _look(self, *, since: bool = False) -> None:
        if self._state is None or self._log is None:
            return
        size, seen = len(self._log), snapshot(self._state)
        first = self._size + 1 if since else size
        self.seen += [(length, seen) for length in range(first, size + 1)]
        self._size = size

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch whatever compute node runs in this process."""
        with ExitStack() as patches:
            for name in self.OPERATIONS:
                patches.enter_context(patch.object(StudyState, name, self._operation(name)))
            patches.enter_context(patch.object(AuditLog, "append", self._append()))
            yield

    def _operation(self, name: str) -> Any:
        original = getattr(StudyState, name)

        def operation(state: StudyState, *arguments: Any) -> Any:
            self._state, self._loop = state, threading.get_ident()
            self._look(since=True)
            outcome = original(state, *arguments)
            self._look()
            return outcome

        return operation

    def _append(self) -> Any:
        original = AuditLog.append

        def append(log: AuditLog, *records: Any) -> None:
            original(log, *records)
            if log._role == "compute":
                self._log = log
                if threading.get_ident() == self._loop:
                    self._look()

        return append


@dataclass(frozen=True)
class FinishedStudy:
    """A study that is over.

    Attributes:
        nodes: its organisations: alder has key and party node, birch compute and party node.
        agreement: the file.
        storage: the compute node's folder as it was before the study was closed.
        left: what is there afterwards: ``storage``, ``key``, ``audit`` and ``closing.json``.
        known: to the key node alone.
        logs: the folder of the nodes' structured logs, named "role-organisation.log".
        metrics: what each of them counted, by the same names.
        snapshots: of the compute node's state, as the `Onlooker` saw it: how long the log was, and
            the state.
    """

    nodes: Nodes
    agreement: Path
    storage: Path
    left: Path
    known: KeyNodesKnowledge = field(repr=False)
    logs: Path
    metrics: dict[str, NodeMetrics]
    snapshots: list[tuple[int, Snapshot]] = field(repr=False)

    @property
    def spec(self) -> StudySpec:
        return self.nodes.spec


@functools.cache
def finished_study() -> FinishedStudy:
    """The study; its folders are shared, so whoever changes files takes a copy."""
    folder = Path(_FOLDER.name)
    # So much budget that the noise does not drown 360 records.
    nodes = two_organisations(
        privacy={"epsilon": 20.0}, n_rounds=1, profile_columns=COLUMNS, party_shares=True
    )
    agreement = write_study(folder / "trial.agreement", nodes.spec)
    left = folder / "left"
    known = KeyNodesKnowledge()

    def decrypt(key: SecretKey, *arguments: Any, **options: Any) -> float:
        value = _DECRYPT(key, *arguments, **options)
        known.listen(key, value)
        return value

    metrics: dict[str, NodeMetrics] = {}
    closing = ExitStack()
    (folder / "logs").mkdir()

    def observe(node: str, role: str) -> Progress:
        name = f"{role}-{node}"
        metrics[name] = NodeMetrics(node, role, folder)
        file = closing.enter_context(LogFile(folder / "logs" / f"{name}.log"))
        log = file.of(nodes.spec, node, role)
        return SeveralProgress([log, metrics[name].of(nodes.spec)])

    onlooker = Onlooker()
    watching = onlooker.watching()
    with closing, watching, patch.object(SecretKey, "decrypt_slot_sum", decrypt):
        ran = run_study(nodes, left, COHORTS, observe=observe)
        known.values += ran.key.result.cluster_centers.ravel().tolist()
        for own in nodes.parties:
            fetch_results(nodes.spec, own, ran.address, Recorder(), audit=left / "audit")
        shutil.copytree(left / "storage", folder / "storage")
        record = close(nodes, ran.address)
        ran.compute.join()
        (left / "closing.json").write_bytes(record)
    logs = folder / "logs"
    return FinishedStudy(
        nodes, agreement, folder / "storage", left, known, logs, metrics, onlooker.seen
    )


COLUMNS: list[dict[str, Any]] = [
    {"name": "visits", "kind": "numeric", "lower": -1, "upper": 1},
    {"name": "club", "kind": "category", "values": ["in", "out"], "other": "", "protected": True},
]
IN_CLUB = {-0.5: 0.3, 0.5: 0.75}
"""How many of the customers around each centre are in the club: in the first group too few."""


def _with_columns(cohort: Cohort, seed: int) -> Cohort:
    """Visits lie around half of the first feature."""
    rng = np.random.default_rng(seed)
    first = cohort.records[:, 0]
    visits = np.clip(first / 2 + rng.normal(0, 0.1, len(first)), -1, 1)
    club = rng.random(len(first)) < np.where(first > 0, IN_CLUB[0.5], IN_CLUB[-0.5])
    return replace(cohort, columns=np.column_stack([visits, club, ~club]).astype(np.float64))


COHORTS = [
    _with_columns(make_cohort(240, 2, 1), 1),
    _with_columns(make_cohort(120, 2, 2), 2),
]
_DECRYPT = SecretKey.decrypt_slot_sum
_FOLDER = tempfile.TemporaryDirectory(prefix="mpcseg-tests-")
