"""A study on canary records in real processes, and copies of all that it leaves anywhere."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpcseg.demo.children import MPCSEG, Children
from mpcseg.demo.commands import Commands
from mpcseg.demo.tables import DealtTables
from mpcseg.demo.workspace import NodeFolder, StudyShape, make_workspace
from mpcseg.nodes.progress import Progress
from mpcseg.study.identity import Identity, load_identity
from mpcseg.verification.exposure.memory import copy_memory, process_tree, stopped
from mpcseg.verification.exposure.relay import Relay

N_ROUNDS = 2
"""Lloyd rounds; with exact sums and two clear groups the study makes both."""

WORKERS = 1
"""Worker processes of the compute node; one, so that it is the one that works when it is killed."""

_STEPS = 5
# Admission and moments are rounds 0 and 1; the profile round ends the study.
_CRASH_ROUND = "round 1"
_LAST_ROUND = f"round {N_ROUNDS + 2}"

BLOCKS = "while blocks arrive"
ROUND = "in a round"
FINISHED = "after the last round"
SERVED = "after results are served"


class CanaryStudy:
    """The study and its copies.

    There is no noise: with a few dozen records the default would end the study early, and exact
    sums hide nothing.

    Args:
        folder: for everything; must be this user's alone.
        tables: the canary records.
        seed: of the starting centroids.
        programs: what runs a node's commands, by its name, where that is not mpcseg; tests plant
            leaks so.

    Attributes:
        workspace: the nodes' folders.
        memory: copies of memory by node and moment.
        disk: copies of the compute node's folder, by moment.
        crashed: the worker process that was killed, or None.
    """

    def __init__(
        self,
        folder: Path,
        tables: DealtTables,
        seed: int,
        programs: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        shape = StudyShape(n_clusters=2, n_rounds=N_ROUNDS, seed=seed, epsilon="none")
        self.workspace = make_workspace(folder / "nodes", tables, shape, workers=WORKERS)
        self.logs, self.wires, self._copies = (
            folder / name for name in ("logs", "wires", "copies")
        )
        for made in (self.logs, self._copies):
            made.mkdir(mode=0o700)
        self._programs = programs or {}
        self._commands = Commands(self.workspace)
        self._lines: dict[str, str] = {}
        self._pids: dict[str, int] = {}
        self._waits: set[str] = set()
        self.memory: dict[str, dict[str, list[Path]]] = {}
        self.disk: dict[str, Path] = {}
        self.memory_bytes: Counter[str] = Counter()
        self.crashed: int | None = None

    def temporary(self, node: NodeFolder) -> Path:
        """Where a node makes its temporary files."""
        return node.path / "tmp"

    def run(self, progress: Progress) -> None:
        """Run the study from its first node's start to the closing record.

        Raises:
            MpcsegError: a node failed.
        """
        progress.start("study", _STEPS, "steps")
        try:
            with ExitStack() as stack:
                children = stack.enter_context(Children(self.logs))
                self._start(children, self.workspace.compute, self._commands.serve())
                for node, report in children.reports():
                    if report.get("kind") == "listening":
                        self._open_lines(stack, report["facts"]["address"])
                        self._start_clients(children)
                    elif node is self.workspace.compute:
                        self._at_moment(report, progress)
                    if report["report"] == "ended":
                        self._ended(children, node, report["step"], progress)
        finally:
            progress.finish("study")

    def _at_moment(self, report: Mapping[str, Any], progress: Progress) -> None:
        """Copy, or crash, where the compute node's report is the moment for it."""
        workspace = self.workspace
        started = report.get("task") if report["report"] == "start" else None
        if report.get("kind") == "party_ready" and BLOCKS not in self.disk:
            self._copy(BLOCKS, [workspace.compute], progress)
        elif started == _CRASH_ROUND:
            self._crash(progress)
        elif started == _LAST_ROUND:
            self._copy(ROUND, [workspace.compute, workspace.key, *workspace.parties], progress)

    def _start_clients(self, children: Children) -> None:
        workspace = self.workspace
        self._start(children, workspace.key, self._commands_by(workspace.key).key())
        for party in workspace.parties:
            self._start(children, party, self._commands_by(party).party(party))
        self._waits = {workspace.key.name, *(party.name for party in workspace.parties)}

    def _ended(self, children: Children, node: NodeFolder, step: str, progress: Progress) -> None:
        """Go on to the next step when the last command of one has ended."""
        self._waits.discard(node.name)
        if self._waits:
            return
        if step in ("key run", "party run"):
            self._copy(FINISHED, [self.workspace.compute], progress)
            self._waits = {party.name for party in self.workspace.parties}
            for party in self.workspace.parties:
                self._start(children, party, self._commands_by(party).results(party))
        elif step == "party results":
            self._copy(SERVED, [self.workspace.compute], progress)
            self._start(children, self.workspace.key, self._commands_by(self.workspace.key).close())

    def _open_lines(self, stack: ExitStack, address: str) -> None:
        relay = stack.enter_context(
            Relay(self.wires, self._identity(self.workspace.compute), address)
        )
        for node in (self.workspace.key, *self.workspace.parties):
            self._lines[node.name] = relay.line(self._identity(node))

    def _identity(self, node: NodeFolder) -> Identity:
        return load_identity(node.identity)

    def _commands_by(self, node: NodeFolder) -> Commands:
        """Commands that reach the compute node by the node's recorded line."""
        self._commands.address = self._lines[node.name]
        return self._commands

    def _start(self, children: Children, node: NodeFolder, command: Sequence[str]) -> None:
        temporary = self.temporary(node)
        temporary.mkdir(mode=0o700, exist_ok=True)
        self._pids[node.name] = children.start(
            node,
            command,
            program=self._programs.get(node.name, MPCSEG),
            # A node that crashes shall tell all that it can.
            environment={"TMPDIR": str(temporary), "PYTHONFAULTHANDLER": "1"},
            folder=node.path,
        )
        with suppress(OSError, ValueError):
            _, hard = resource.prlimit(self._pids[node.name], resource.RLIMIT_CORE)
            resource.prlimit(self._pids[node.name], resource.RLIMIT_CORE, (hard, hard))

    def _crash(self, progress: Progress) -> None:
        """Kill a worker as a defect in a library would; the round goes on with a new one."""
        for pid in process_tree(self._pids[self.workspace.compute.name])[1:]:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            if b"spawn_main" in command:
                os.kill(pid, signal.SIGSEGV)
                self.crashed = pid
                break
        progress.message("a worker of the compute node is made to crash")
        progress.advance("study")

    def _copy(self, moment: str, nodes: Sequence[NodeFolder], progress: Progress) -> None:
        """Copy the memory of nodes, and the compute node's disk, while they are held still."""
        trees = {node.name: process_tree(self._pids[node.name]) for node in nodes}
        folder = self._copies / moment.replace(" ", "-")
        folder.mkdir(mode=0o700)
        with stopped([pid for tree in trees.values() for pid in tree]):
            for name, tree in trees.items():
                paths = [folder / f"{name}-{number}.memory" for number in range(len(tree))]
                for pid, path in zip(tree, paths, strict=True):
                    self.memory_bytes[name] += copy_memory(pid, path)
                self.memory.setdefault(name, {})[moment] = paths
            self.disk[moment] = folder / "disk"
            shutil.copytree(
                self.workspace.compute.path, self.disk[moment], ignore=_cores, symlinks=True
            )
        copied = sum(
            path.stat().st_size for paths in self.memory.values() for path in paths.get(moment, ())
        )
        n_processes = sum(map(len, trees.values()))
        progress.message(
            f"{moment}: memory of {n_processes} processes copied, {copied / 1e6:,.0f} MB"
        )
        progress.advance("study")

    def rounded_centers(self) -> NDArray[np.float64]:
        """Centroids as the key node knows them in the end, five digits each; shape (any, d)."""
        result = json.loads(self.workspace.key.trial.read_text())
        return np.array(result["cluster_centers_scaled"] + result["starting_centers_scaled"])


def core_files(folder: Path) -> list[Path]:
    """Core files that the system has written where a process crashed."""
    return [path for path in folder.glob("core*") if path.is_file()]


def _cores(folder: str, names: list[str]) -> set[str]:
    return {path.name for path in core_files(Path(folder))} & set(names)
