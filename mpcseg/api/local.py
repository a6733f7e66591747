"""A whole study in this process: real keys, ciphertexts, TLS and files, one thread for each node.

For trials on data that one person may see anyway. The nodes are those of a real study and speak to
each other over the loopback; but as they share one process, which has every party's records and the
secret key, nothing is kept from whoever runs it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from mpcseg.customers.cohort import Cohort
from mpcseg.demo.children import CONSEQUENCES
from mpcseg.demo.workspace import COMPUTE_NAME, KEY_NAME, LOOPBACK, StudyShape, trial_spec
from mpcseg.errors import (
    ConfigError,
    MpcsegError,
    NodeError,
    StudyClosedError,
)
from mpcseg.nodes.compute import serve_compute
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.progress import NamedProgress, Progress, SeveralProgress, SilentProgress
from mpcseg.nodes.requests import close_study, fetch_results
from mpcseg.nodes.summary import ComputeSummary, KeySummary, PartySummary
from mpcseg.study.identity import Identity, new_identity
from mpcseg.study.results import Results, open_results
from mpcseg.study.spec import FeatureSpec, StudySpec

# All nodes are started together, so that a silent one has a defect.
_PATIENCE_SECONDS = 60.0
_CLOSING_SECONDS = 5.0
# How often a wait lets Ctrl-C through.
_GLANCE_SECONDS = 0.5

_CONSEQUENCES = (*CONSEQUENCES, StudyClosedError)


@dataclass(frozen=True)
class LocalStudy:
    """What is left of a study in this process.

    Attributes:
        spec: what was agreed on.
        n_rounds: Lloyd rounds made, which every node of a study sees.
        results: what each party received and opened, by its name.
        parties: what each party node measured.
        compute: what the compute node measured.
        key: what the key node measured, without the sums that it decrypted and all that it made
            of them: of these, there is what the parties received.
    """

    spec: StudySpec = field(repr=False)
    n_rounds: int
    results: Mapping[str, Results] = field(repr=False)
    parties: Mapping[str, PartySummary]
    compute: ComputeSummary
    key: KeySummary


def run_local_study(
    features: tuple[FeatureSpec, ...],
    cohorts: Mapping[str, Cohort],
    shape: StudyShape,
    *,
    workers: int,
    progress: Progress | None = None,
) -> LocalStudy:
    """Run every node of a study in threads of this process, from the keys to the closing record.

    All files are in a folder of their own, for this user only, and gone when this returns.

    Args:
        features: what is clustered on.
        cohorts: each party's records, by its name.
        shape: what else is agreed on.
        workers: worker processes of the compute node.
        progress: told what compute and key node report, under their names; None for nobody.

    Raises:
        ConfigError: no study can be like that, a party has the name of another node, or a script
            calls this outside ``if __name__ == "__main__":``.
        PlanError: no parameter set can carry it.
        NodeError: a node failed; the error of the node that failed first.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # This process is a worker of the study that the script has just begun.
        raise ConfigError(
            "a worker process runs the script that began the study once more",
            "Begin it where only the script itself comes: if __name__ == '__main__':",
        )
    taken = next((name for name in (COMPUTE_NAME, KEY_NAME) if name in cohorts), None)
    if taken is not None:
        raise ConfigError(
            f"a party is named '{taken}', as is another node of a local study",
            "Give the party another name.",
        )
    with tempfile.TemporaryDirectory(prefix="mpcseg-local-") as name:
        folder = Path(name)
        identities = {
            node: new_identity(node, folder / node, [LOOPBACK] if node == COMPUTE_NAME else [])
            for node in (COMPUTE_NAME, KEY_NAME, *cohorts)
        }
        n_records = {party: cohort.n_records for party, cohort in cohorts.items()}
        spec = trial_spec("local-study", features, n_records, shape, identities)
        return _Study(spec, identities, folder, progress or SilentProgress()).run(cohorts, workers)


Outcome = TypeVar("Outcome")


class _Node(Generic[Outcome]):
    """A node in a thread of its own.

    Args:
        name: of its organisation.
        work: runs it.
    """

    def __init__(self, name: str, work: Callable[[], Outcome]) -> None:
        self.name = name
        self._work = work
        self._outcome: Outcome | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"mpcseg {name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._outcome = self._work()
        except BaseException as error:  # whatever it is, it is raised where the node is waited for
            self.error = error

    @property
    def has_ended(self) -> bool:
        return not self._thread.is_alive()

    def join(self) -> None:
        """Wait for its end, in steps that let Ctrl-C through."""
        while not self.has_ended:
            self._thread.join(_GLANCE_SECONDS)

    @property
    def outcome(self) -> Outcome:
        """What it returned; it must have ended well."""
        if self._outcome is None:
            raise NodeError(f"node {self.name} has not ended well")
        return self._outcome


@dataclass
class _Listening(SilentProgress):
    """Waits for the compute node's address."""

    address: str = ""
    heard: threading.Event = field(default_factory=threading.Event)

    def event(self, kind: str, **facts: object) -> None:
        if kind == "listening":
            self.address = str(facts["address"])
            self.heard.set()


class _Study:
    """One study while it runs.

    Args:
        spec: of it.
        identities: of all organisations.
        folder: for everybody's files.
        progress: told what the nodes report.
    """

    def __init__(
        self, spec: StudySpec, identities: Mapping[str, Identity], folder: Path, progress: Progress
    ) -> None:
        self._spec, self._identities, self._folder = spec, identities, folder
        self._progress = progress
        self._address = ""
        self._nodes: list[_Node[Any]] = []

    def run(self, cohorts: Mapping[str, Cohort], workers: int) -> LocalStudy:
        """Run all nodes, fetch what each party receives, and close the study."""
        spec, own = self._spec, self._identities
        listening = _Listening()
        told = SeveralProgress([listening, self._told(COMPUTE_NAME)])
        storage = self._folder / "storage"

        def serve() -> ComputeSummary:
            return serve_compute(
                spec, own[COMPUTE_NAME], f"{LOOPBACK}:0", storage, workers, told,
                patience=_PATIENCE_SECONDS,
            )  # fmt: skip

        def decrypt() -> KeySummary:
            output, progress = self._folder / "key", self._told(KEY_NAME)
            return run_key(
                spec, own[KEY_NAME], self._address, output, progress, patience=_PATIENCE_SECONDS
            )

        def take_part(name: str, cohort: Cohort) -> Callable[[], PartySummary]:
            audit = self._folder / "audit"
            return lambda: run_party(
                spec, own[name], self._address, cohort, SilentProgress(), audit=audit,
                patience=_PATIENCE_SECONDS,
            )  # fmt: skip

        compute = self._start(COMPUTE_NAME, serve)
        try:
            while not (compute.has_ended or listening.heard.wait(_GLANCE_SECONDS)):
                pass
            self._address = listening.address
            if self._address:  # else it has failed
                key = self._start(KEY_NAME, decrypt)
                parties = [
                    self._start(name, take_part(name, cohort)) for name, cohort in cohorts.items()
                ]
                self._verify_well([key, *parties])
                results = {node.name: self._results(node.name) for node in parties}
                close_study(spec, own[KEY_NAME], self._address, SilentProgress())
            self._verify_well([compute])
        finally:
            self._end(compute)
        found = key.outcome.result
        return LocalStudy(
            spec,
            0 if found is None else found.n_iter,
            results,
            {node.name: node.outcome for node in parties},
            compute.outcome,
            replace(key.outcome, result=None, sealed={}),
        )

    def _start(self, name: str, work: Callable[[], Outcome]) -> _Node[Outcome]:
        node = _Node(name, work)
        self._nodes.append(node)
        return node

    def _verify_well(self, nodes: Sequence[_Node[Any]]) -> None:
        """Wait until nodes have ended, and raise why the first of all that failed did so.

        Which is not always the first that was noticed: others fail because it has gone.
        """
        for node in nodes:
            node.join()
        if not any(node.error for node in nodes):
            return
        # What the compute node says is why another one stopped the study: that one comes first.
        errors = [node.error for node in [*self._nodes[1:], self._nodes[0]] if node.error]
        causes = [error for error in errors if not isinstance(error, _CONSEQUENCES)]
        raise [*causes, *errors][0]

    def _told(self, name: str) -> Progress:
        return NamedProgress(self._progress, name)

    def _results(self, name: str) -> Results:
        sealed = fetch_results(
            self._spec,
            self._identities[name],
            self._address,
            SilentProgress(),
            audit=self._folder / "audit",
            patience=_PATIENCE_SECONDS,
        )
        return open_results(self._spec, self._identities[name], sealed)

    def _end(self, compute: _Node[ComputeSummary]) -> None:
        """End what still runs, after an error or Ctrl-C: a closed study ends all its nodes."""
        if self._address and not compute.has_ended:
            key = self._identities[KEY_NAME]
            with contextlib.suppress(MpcsegError):  # it may end by itself meanwhile
                close_study(
                    self._spec, key, self._address, SilentProgress(), patience=_CLOSING_SECONDS
                )
        for node in self._nodes:
            node.join()
