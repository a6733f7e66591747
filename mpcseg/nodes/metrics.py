"""What a node counts, for Prometheus: ``/metrics`` and ``/healthz`` on a port of its own.

Counts of calls, bytes, rounds and seconds; no value, no count of records, nothing by party. They
are for the organisation that runs the node: the port speaks plain HTTP, and belongs on an address
that nobody else reaches. Runs on: every node, if its operator asks for it.
"""

from __future__ import annotations

import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Enum,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
)
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

from mpcseg import __version__
from mpcseg.errors import ListenError
from mpcseg.nodes.events import PHASES
from mpcseg.study.spec import StudySpec

_ROUND_SECONDS = (1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14_400)
_STUDY = ("study",)
_DIGEST_DIGITS = 16


class NodeMetrics:
    """The metrics of one process, in a registry of their own.

    Args:
        node: the organisation that runs it.
        role: party, compute or key.
        folder: whose disk is watched; it or the folder around it exists.
    """

    def __init__(self, node: str, role: str, folder: Path) -> None:
        self.registry = CollectorRegistry()
        at = self.registry
        ProcessCollector(registry=at)
        Info("mpcseg_node", "What runs.", registry=at).info(
            {"node": node, "role": role, "version": __version__}
        )
        self.bytes = Counter(
            "mpcseg_payload_bytes",
            "Bytes of blobs.",
            (*_STUDY, "link", "kind"),
            registry=at,
        )
        self.blobs = Counter("mpcseg_blobs", "Blobs.", (*_STUDY, "link", "kind"), registry=at)
        self.refused = Counter(
            "mpcseg_refused_calls", "Calls that were refused.", (*_STUDY, "code"), registry=at
        )
        self.rounds = Counter("mpcseg_rounds", "Rounds done.", (*_STUDY, "kind"), registry=at)
        self.round_seconds = Histogram(
            "mpcseg_round_seconds",
            "From a round's order to its sums.",
            (*_STUDY, "kind"),
            buckets=_ROUND_SECONDS,
            registry=at,
        )
        self.tasks_total = Gauge(
            "mpcseg_tasks", "Units of the running piece of work.", (*_STUDY, "work"), registry=at
        )
        self.tasks_done = Gauge(
            "mpcseg_tasks_done", "Units of it that are done.", (*_STUDY, "work"), registry=at
        )
        self.restarts = Counter(
            "mpcseg_worker_restarts", "Workers that died and were replaced.", _STUDY, registry=at
        )
        self.retries = Counter(
            "mpcseg_retries", "Calls that were tried again.", _STUDY, registry=at
        )
        self.absent = Gauge(
            "mpcseg_absent_nodes", "Nodes that the study waits for.", _STUDY, registry=at
        )
        self.phase = Enum(
            "mpcseg_study_phase", "How far the study is.", _STUDY, states=PHASES, registry=at
        )
        self.epsilon_spent = Gauge(
            "mpcseg_epsilon_spent", "Privacy budget that is spent.", _STUDY, registry=at
        )
        self.epsilon_agreed = Gauge(
            "mpcseg_epsilon_agreed", "Privacy budget in all.", _STUDY, registry=at
        )
        disk = Gauge("mpcseg_disk_free_bytes", "Room on the node's disk.", registry=at)
        disk.set_function(lambda: shutil.disk_usage(_existing(folder)).free)
        self._phases: dict[str, str] = {}

    def of(self, spec: StudySpec) -> StudyMetrics:
        """The metrics of one study's node."""
        return StudyMetrics(self, spec)

    def at_phase(self, study: str, phase: str) -> None:
        """Note how far a study is."""
        self._phases[study] = phase
        self.phase.labels(study).state(phase)

    def health(self) -> dict[str, Any]:
        """What ``/healthz`` answers: the process runs, and how far its studies are."""
        return {"status": "serving", "studies": dict(self._phases)}


class StudyMetrics:
    """A ``Progress`` that counts. Methods may be called from any thread.

    Args:
        metrics: of the process.
        spec: the study.
    """

    def __init__(self, metrics: NodeMetrics, spec: StudySpec) -> None:
        self._metrics = metrics
        self._study = spec.digest[:_DIGEST_DIGITS]
        self._away: set[tuple[object, object]] = set()
        study = self._study
        metrics.at_phase(study, PHASES[0])
        for at_zero in (metrics.restarts, metrics.retries, metrics.absent, metrics.epsilon_spent):
            at_zero.labels(study)
        if spec.privacy.epsilon != "none":
            metrics.epsilon_agreed.labels(study).set(spec.privacy.epsilon)

    def message(self, text: str) -> None:
        """Nothing to count."""

    def start(self, task: str, total: int, unit: str) -> None:  # noqa: ARG002  of Progress
        """Begin to count a piece of work."""
        labels = (self._study, _work(task))
        self._metrics.tasks_total.labels(*labels).set(total)
        self._metrics.tasks_done.labels(*labels).set(0)

    def advance(self, task: str, amount: int = 1) -> None:
        """Count units of it."""
        self._metrics.tasks_done.labels(self._study, _work(task)).inc(amount)

    def finish(self, task: str) -> None:
        """Leave the counts as they stand, until the next piece of this kind."""

    def event(self, kind: str, **facts: Any) -> None:
        """Count what the event says; most say nothing that is counted."""
        if (count := getattr(self, f"_on_{kind}", None)) is not None:
            count(**facts)

    def _on_blob(self, link: str, blob_kind: str, n_bytes: int) -> None:
        labels = (self._study, link, blob_kind)
        self._metrics.bytes.labels(*labels).inc(n_bytes)
        self._metrics.blobs.labels(*labels).inc()

    def _on_refused(self, call: str, code: str) -> None:  # noqa: ARG002  a stranger's choice of label
        self._metrics.refused.labels(self._study, code).inc()

    def _on_round(self, round_kind: str, seconds: float, **_: object) -> None:
        self._metrics.rounds.labels(self._study, round_kind).inc()
        self._metrics.round_seconds.labels(self._study, round_kind).observe(seconds)

    def _on_worker_restarted(self, restarts: int) -> None:
        self._metrics.restarts.labels(self._study).inc(restarts)

    def _on_retry(self, **_: object) -> None:
        self._metrics.retries.labels(self._study).inc()

    def _on_node_absent(self, node: str, role: str, **_: object) -> None:
        self._away.add((node, role))
        self._metrics.absent.labels(self._study).set(len(self._away))

    def _on_node_back(self, node: str, role: str) -> None:
        self._away.discard((node, role))
        self._metrics.absent.labels(self._study).set(len(self._away))

    def _on_phase(self, phase: str) -> None:
        self._metrics.at_phase(self._study, phase)

    def _on_budget(self, epsilon_spent: float | None, **_: object) -> None:
        if epsilon_spent is not None:
            self._metrics.epsilon_spent.labels(self._study).set(epsilon_spent)


class MetricsServer:
    """Answers ``/metrics`` and ``/healthz`` in a thread; a context manager.

    Args:
        metrics: of the process.
        address: "host:port"; port 0 takes a free one.

    Raises:
        ListenError: the address cannot be listened on.
    """

    def __init__(self, metrics: NodeMetrics, address: str) -> None:
        host, _, port = address.rpartition(":")
        try:
            self._server = make_server(
                host.strip("[]"),
                int(port),
                _application(metrics),
                _server_of(host),
                handler_class=_Quiet,
            )
        except OSError as error:
            raise ListenError(
                f"metrics cannot be served on {address}: {error.strerror}",
                "Something else may listen there already, or it is no address of this machine.",
            ) from None
        self.address = f"{host}:{self._server.server_port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="metrics", daemon=True
        )

    def __enter__(self) -> MetricsServer:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Let go of the port."""
        self._server.shutdown()
        self._server.server_close()


def _application(metrics: NodeMetrics) -> Callable[..., Iterable[bytes]]:
    scrape: Callable[..., Iterable[bytes]] = make_wsgi_app(metrics.registry)

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO")
        if path == "/metrics":
            return scrape(environ, start_response)
        if path == "/healthz":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(metrics.health()).encode() + b"\n"]
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"/metrics or /healthz\n"]

    return answer


def _server_of(host: str) -> type[ThreadingWSGIServer]:
    class Server(ThreadingWSGIServer):
        address_family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET

    return Server


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  of the library
        """Print nothing: a scrape every few seconds is no news."""


def _work(task: str) -> str:
    """What kind of work a task is: one series for all rounds."""
    return task.split(" ", maxsplit=1)[0]


def _existing(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder
