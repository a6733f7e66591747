"""The nodes of one study as processes on hosts, and an operator who starts again what has ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpcseg.demo.tables import DealtTables
from mpcseg.demo.workspace import NodeFolder, StudyShape, Workspace, make_workspace
from mpcseg.errors import OutputError, StorageError, SuspendedError
from tests.faults.hosts import Host, Switch

PORT = 7443
_MPCSEG = (sys.executable, "-m", "mpcseg")
# What a node may end with on a bad day, and be started again: the operator's doing or its disk's.
_AGAIN = {-signal.SIGKILL, StorageError.exit_status, SuspendedError.exit_status}
_MOST_STARTS = 6
_DISKS = {"compute": ("storage", 3000), "key": ("results", 200), "party": ("audit", 60)}


class Stuck(AssertionError):  # noqa: N818  what a test fails with
    """A study did not come to where it should in time."""


@dataclass
class Node:
    """One node: its folder, its host, and its process, which may be another one now and then."""

    folder: NodeFolder
    host: Host
    command: Sequence[str]
    logs: Path
    address: str = ""
    """Of the compute node, as this node reaches it."""
    process: subprocess.Popen[bytes] | None = None
    statuses: list[int] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    ends_well: frozenset[int] = frozenset({0})
    """Exit statuses with which its part in the study is done."""
    held: bool = False
    """Whether the operator leaves it alone although it has ended."""

    @property
    def name(self) -> str:
        return self.folder.name

    def start(self) -> None:
        """Start the process, in a group of its own."""
        assert len(self.statuses) < _MOST_STARTS, (self.name, self.statuses, self.last_words())
        number = len(self.statuses)
        errors = (self.logs / f"{self.name}-{number}.err").open("wb")
        self.process = subprocess.Popen(
            self.host.command([*_MPCSEG, *self.command]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        errors.close()
        out = self.logs / f"{self.name}-{number}.out"
        threading.Thread(target=self._read, args=(self.process, out), daemon=True).start()

    def _read(self, process: subprocess.Popen[bytes], out: Path) -> None:
        stdout = process.stdout
        assert stdout is not None
        with stdout, out.open("wb") as kept:
            for line in stdout:
                kept.write(line)
                kept.flush()
                with contextlib.suppress(ValueError):
                    report = json.loads(line)
                    if isinstance(report, dict):
                        self.reports.append(report)

    def status(self) -> int | None:
        """The exit status of a process that has just ended; None while there is none new."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process = None
        self.statuses.append(status)
        return status

    @property
    def has_ended_well(self) -> bool:
        """Whether its part in the study is done."""
        return self.process is None and bool(self.ends_well & set(self.statuses[-1:]))

    def signal(self, number: int) -> None:
        """Send a signal to the node's own process."""
        if self.process is not None:
            self.process.send_signal(number)

    def workers(self) -> list[int]:
        """Process numbers of the worker processes."""
        if self.process is None:
            return []
        # Each thread's own: a worker is a child of the thread that started it.
        threads = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [int(pid) for thread in threads for pid in thread.read_text().split()]
        return [
            pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def has_said(self, kind: str, **facts: object) -> bool:
        """Whether one of its processes has reported an event with these facts."""
        return any(
            report.get("report") == "event"
            and report.get("kind") == kind
            and all(report.get("facts", {}).get(name) == value for name, value in facts.items())
            for report in list(self.reports)
        )

    def has_begun(self, task: str) -> bool:
        """Whether one of its processes has begun a task, of whichever study it serves."""
        return any(
            report.get("report") == "start" and report["task"].rpartition(": ")[2] == task
            for report in list(self.reports)
        )

    def last_words(self) -> str:
        """What its processes wrote for a person, the last lines of each."""
        ends = (path.read_text().splitlines()[-6:] for path in sorted(self.logs.glob("*.err"))
                if path.name.rpartition("-")[0] == self.name)  # fmt: skip
        return "\n".join(line for lines in ends for line in lines)


class Cluster:
    """A study and its nodes. A context manager: no process outlives it.

    Args:
        root: an empty folder, or one to be made.
        tables: who holds what.
        shape: what is agreed on.
        name: of the network; short, and of this cluster alone.
        workers: of the compute node.
        line: rate in Mbit/s and delay in milliseconds, one way, of every other node's line to the
            compute node; None for the switch that they all hang on.
    """

    def __init__(
        self,
        root: Path,
        tables: DealtTables,
        shape: StudyShape,
        name: str,
        workers: int = 1,
        line: tuple[float, float] | None = None,
    ) -> None:
        self.root = root
        self.workspace: Workspace = make_workspace(root / "study", tables, shape, workers=workers)
        self._stack = contextlib.ExitStack()
        self._switch = Switch(name)
        self._logs = root / "logs"
        self._line = line

    def __enter__(self) -> Cluster:
        """Make the hosts; nothing is started yet."""
        self._logs.mkdir(parents=True)
        self._stack.enter_context(self._switch)
        space = self.workspace
        self.compute = self._node(space.compute, ["compute", "serve"])
        self.compute.command = [*self.compute.command, "--listen", f"0.0.0.0:{PORT}"]
        self.key = self._node(space.key, ["key", "run"], "--trial-output", str(space.key.trial))
        # Started again when the results are sealed, it has done its part, and cannot write what
        # `--trial-output` asks for any more.
        self.key.ends_well |= {OutputError.exit_status}
        self.parties = [self._node(party, ["party", "run"]) for party in space.parties]
        for number, node in enumerate(self.nodes[1:], 1):
            node.address = f"{self._way(number, node.host)}:{PORT}"
            node.command = [*node.command, "--address", node.address]
        return self

    def _way(self, number: int, host: Host) -> str:
        """Make a host's way to the compute node; returns the compute node's address on it."""
        if self._line is None:
            return self.compute.host.address
        mbit, ms = map(str, self._line)
        near, far = f"10.78.{number}.1", f"10.78.{number}.2"
        ends = [self.compute.host.name, f"{near}/24", host.name, f"{far}/24"]
        options = ["--mbit", mbit, "--ms", ms, "--device", f"wan{number}"]
        line = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.wan", *ends, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._stack.callback(_end, line)
        assert line.stdout is not None
        assert line.stdout.readline() == b"ready\n"
        return near

    def _node(self, folder: NodeFolder, command: Sequence[str], *options: str) -> Node:
        disk, megabytes = _DISKS[folder.role]
        host = self._switch.host(folder.path / disk, megabytes)
        files = ["--config", str(folder.config), "--summary", str(folder.summary)]
        patience = ["--patience", "600"]
        line = [*command, *files, *patience, "--progress", "json", *options]
        return Node(folder, host, line, self._logs)

    def __exit__(self, *exception: object) -> None:
        """Kill what still runs, and take the hosts down."""
        for node in self.nodes:
            if node.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(node.process.pid, signal.SIGKILL)
                node.process.wait()
        self._stack.close()

    @property
    def nodes(self) -> list[Node]:
        """All of them; the compute node first."""
        return [self.compute, self.key, *self.parties]

    def start(self) -> None:
        """Start every node."""
        for node in self.nodes:
            node.start()

    def until(self, reached: Callable[[], object], what: str, seconds: float = 240.0) -> None:
        """Wait for something, starting again what ends with a status that says so meanwhile.

        Raises:
            Stuck: it does not come in time, or a node failed.
        """
        deadline = time.monotonic() + seconds
        while not reached():
            self.tend()
            if time.monotonic() > deadline:
                raise Stuck(f"{what}: not within {seconds:g} s\n{self.last_words()}")
            time.sleep(0.05)

    def tend(self) -> None:
        """Look after the nodes once, as systemd or Kubernetes would."""
        for node in self.nodes:
            status = node.status()
            if status is not None and status not in node.ends_well:
                if status not in _AGAIN:
                    raise Stuck(f"{node.name} failed ({status})\n{self.last_words()}")
                if not node.held:
                    time.sleep(0.5)
                    node.start()

    def finish(self) -> None:
        """Wait until the key node and the parties have ended well."""
        others = self.nodes[1:]
        self.until(lambda: all(node.has_ended_well for node in others), "the end of the study")

    def run(self, node: Node, *command: str, expected: int = 0) -> str:
        """Run another command of mpcseg on a node's host, and return what it prints."""
        done = subprocess.run(
            node.host.command([*_MPCSEG, *command]),
            capture_output=True, text=True, check=False, timeout=180, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == expected, (command, done.returncode, done.stderr, done.stdout)
        return done.stdout

    def fetch(self, agreement: Path | None = None) -> list[dict[str, Any]]:
        """Have every party fetch and open its results; returns what it then has."""
        found = []
        agreement = agreement or self.workspace.study
        for node in self.parties:
            folder = node.folder
            study = ["--study", str(agreement), "--identity", str(folder.identity)]
            files = ["--output", str(folder.results), "--audit", str(folder.audit)]
            self.run(node, "party", "results", *study, "--address", node.address, *files)
            found.append(json.loads((folder.results / "results.json").read_text()))
        return found

    def close(self, agreement: Path | None = None, *, last: bool = True) -> None:
        """Close a study, as the key node's organisation.

        Args:
            agreement: of the study; by default the workspace's own.
            last: whether the compute node serves no other one, and ends by itself.
        """
        study = str(agreement or self.workspace.study)
        record = self.workspace.closing_record
        record.unlink(missing_ok=True)
        self.run(
            self.key, "study", "close", study, "--identity", str(self.workspace.key.identity),
            "--address", self.key.address, "--record", str(record),
        )  # fmt: skip
        if last:
            self.until(lambda: self.compute.process is None, "the end of the compute node", 60)
            assert self.compute.statuses[-1] == 0, self.last_words()

    def logs(self) -> list[Path]:
        """Every node's audit logs."""
        return sorted(path for node in self.nodes for path in node.host.disk.glob("audit-*.sqlite"))

    def last_words(self) -> str:
        """What all nodes wrote for a person last."""
        said = ((f"{n.name} {n.statuses}", n.last_words()) for n in self.nodes)
        return "\n".join(f"[{name}] {words}" for name, words in said)


def _end(line: subprocess.Popen[bytes]) -> None:
    line.communicate()


@contextlib.contextmanager
def cluster(
    root: Path,
    tables: DealtTables,
    shape: StudyShape,
    name: str,
    workers: int = 1,
    line: tuple[float, float] | None = None,
) -> Iterator[Cluster]:
    """A cluster that has been started; arguments as of `Cluster`."""
    with Cluster(root, tables, shape, name, workers, line) as made:
        made.start()
        yield made
