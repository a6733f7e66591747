"""``mpcseg health``: what counts as a node that runs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpcseg.cli.app import app
from mpcseg.errors import ConfigError, UnhealthyError
from mpcseg.nodes.metrics import MetricsServer, NodeMetrics
from tests.organisations import study_spec


def ask(address: str) -> str:
    done = CliRunner().invoke(app, ["health"], env={"MPCSEG_METRICS": address})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


def test_a_node_with_metrics_is_healthy_and_says_how_far_it_is(tmp_path: Path) -> None:
    metrics = NodeMetrics("hub", "compute", tmp_path)
    spec = study_spec()
    metrics.of(spec).event("phase", phase="rounds")
    with MetricsServer(metrics, "127.0.0.1:0") as server:
        said = ask(server.address)
    assert said.splitlines() == [
        f"the node on {server.address} runs",
        f"study {spec.digest[:16]}: rounds",
    ]


def test_an_address_may_be_a_url_as_a_browser_has_it(tmp_path: Path) -> None:
    with MetricsServer(NodeMetrics("hub", "compute", tmp_path), "127.0.0.1:0") as server:
        assert "runs" in ask(f"http://{server.address}/")


def test_a_node_that_has_ended_is_not_healthy(tmp_path: Path) -> None:
    with MetricsServer(NodeMetrics("hub", "compute", tmp_path), "127.0.0.1:0") as server:
        address = server.address
    with pytest.raises(UnhealthyError, match="no node answers"):
        ask(address)


def test_a_node_that_hangs_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpcseg.cli.health._SECONDS", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        pytest.raises(UnhealthyError, match="no node answers"),
    ):
        ask(f"127.0.0.1:{deaf.getsockname()[1]}")


@pytest.fixture
def impostor() -> Iterator[str]:
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "ok"}')

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  of the library
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_something_else_on_the_port_is_no_healthy_node(impostor: str) -> None:
    with pytest.raises(UnhealthyError, match="no healthy node"):
        ask(impostor)


def test_an_address_without_a_port_is_refused_plainly() -> None:
    with pytest.raises(ConfigError, match="address must be HOST:PORT, as in") as caught:
        ask("localhost")
    assert "Error" not in f"{caught.value.message} {caught.value.hint}"
