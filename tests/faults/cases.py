"""The fault matrix: what is done to which node in which phase of a study."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from tests.faults.cluster import Cluster, Node, Stuck

Target = Literal["party", "compute", "worker", "key"]
Fault = Literal["kill", "terminate", "freeze", "cut", "full"]
Phase = Literal["keys", "upload", "moments", "round", "last round", "results"]

TARGETS: tuple[Target, ...] = ("party", "compute", "worker", "key")
FAULTS: tuple[Fault, ...] = ("kill", "terminate", "freeze", "cut", "full")
PHASES: tuple[Phase, ...] = ("keys", "upload", "moments", "round", "last round", "results")

_FAULTS_OF_WORKERS = ("kill", "terminate", "freeze")
_PHASES_OF_WORKERS = ("moments", "round", "last round")

FROZEN_SECONDS = 30.0
# Longer than a connection may be silent before keep-alive gives it up.
_CUT_SECONDS = 25.0
# Within which a node whose disk is full should have noticed and stopped.
_FULL_SECONDS = 15.0
_STOPPING_SECONDS = 30.0


@dataclass(frozen=True)
class Case:
    """One cell of the matrix."""

    target: Target
    fault: Fault
    phase: Phase

    def __str__(self) -> str:
        return f"{self.fault}-{self.target}-{self.phase.replace(' ', '-')}"


def all_cases() -> list[Case]:
    """Every cell that there is.

    Workers have no network and no disk of their own, and live while rounds are evaluated.
    """
    return [
        Case(target, fault, phase)
        for phase in PHASES
        for target in TARGETS
        for fault in FAULTS
        if target != "worker" or (fault in _FAULTS_OF_WORKERS and phase in _PHASES_OF_WORKERS)
    ]


def arrived(cluster: Cluster, phase: Phase, last: int) -> bool:
    """Whether the study has come to a phase, as far as its nodes say.

    Args:
        cluster: the study.
        phase: which one.
        last: index of the profile round.
    """
    compute, key = cluster.compute, cluster.key
    reached: dict[Phase, Callable[[], bool]] = {
        "keys": lambda: compute.has_said("joined", role="key"),
        "upload": lambda: cluster.parties[0].has_begun("upload"),
        "moments": lambda: compute.has_said("round", index=0),
        "round": lambda: compute.has_begun("round 2"),
        "last round": lambda: compute.has_begun(f"round {last}"),
        "results": lambda: key.has_said("round", index=last),
    }
    return reached[phase]()


def inject(cluster: Cluster, case: Case) -> None:
    """Do to the target what the case says, and undo what an operator would undo."""
    node = {"party": cluster.parties[0], "key": cluster.key}.get(case.target, cluster.compute)
    if case.target == "worker":
        _to_workers(node, case.fault)
    elif case.fault == "kill":
        node.signal(signal.SIGKILL)
    elif case.fault == "terminate":
        terminate(cluster, node)
    elif case.fault == "freeze":
        node.signal(signal.SIGSTOP)
        _tend_for(cluster, FROZEN_SECONDS)
        node.signal(signal.SIGCONT)
    elif case.fault == "cut":
        node.host.cut()
        _tend_for(cluster, _CUT_SECONDS)
        node.host.mend()
    else:
        _fill(cluster, node)


def _to_workers(node: Node, fault: Fault) -> None:
    numbers = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "freeze": signal.SIGSTOP}
    workers = node.workers()
    assert workers, "no worker process was found"
    for pid in workers:
        os.kill(pid, numbers[fault])
    if fault == "freeze":
        time.sleep(FROZEN_SECONDS)
        for pid in workers:
            os.kill(pid, signal.SIGCONT)


def terminate(cluster: Cluster, node: Node) -> None:
    """A graceful stop must be one: soon, and with the status that says so."""
    process = node.process
    node.held = True
    node.signal(signal.SIGTERM)
    cluster.until(lambda: node.process is None, f"{node.name} stops", _STOPPING_SECONDS)
    node.held = False
    if process is not None and not node.has_ended_well:  # by itself, just before
        if node.statuses[-1] == -signal.SIGKILL:
            raise Stuck(f"{node.name} did not stop gracefully")
        node.start()


def _fill(cluster: Cluster, node: Node) -> None:
    """Fill the disk; whether the node stops or had nothing to write, free it and go on."""
    node.held = True
    node.host.fill()
    deadline = time.monotonic() + _FULL_SECONDS
    while node.process is not None and time.monotonic() < deadline:
        cluster.tend()
        time.sleep(0.1)
    node.host.free()
    node.held = False
    if node.process is None and not node.has_ended_well:
        node.start()


def _tend_for(cluster: Cluster, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        cluster.tend()
        time.sleep(0.1)
