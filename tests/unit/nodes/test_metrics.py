"""Metrics over HTTP, as Prometheus scrapes them."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mpcseg.errors import ListenError
from mpcseg.nodes.metrics import MetricsServer, NodeMetrics
from tests.organisations import study_spec


def get(address: str, path: str) -> str:
    with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def test_a_scrape_has_what_was_counted_of_each_study_by_itself(tmp_path: Path) -> None:
    metrics = NodeMetrics("hub", "compute", tmp_path)
    one, two = study_spec(name="one"), study_spec(name="two")
    first, second = metrics.of(one), metrics.of(two)
    first.event("round", index=0, round_kind="lloyd", seconds=3.0, sizes=[1234.5])
    first.event("phase", phase="rounds")
    first.event("node_absent", node="alder", role="party", seconds_left=5)
    first.event("node_absent", node="alder", role="party", seconds_left=3)
    second.event("node_absent", node="alder", role="party", seconds_left=5)
    second.event("node_back", node="alder", role="party")
    second.event("refused", call="Join", code="protocol")
    second.event("retry", attempt=1, pause_seconds=0.5)
    with MetricsServer(metrics, "127.0.0.1:0") as server:
        text = get(server.address, "/metrics")
        health = json.loads(get(server.address, "/healthz"))
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(server.address, "/")
    samples = {
        (sample.name, sample.labels.get("study")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name != "mpcseg_study_phase"
    }
    a, b = one.digest[:16], two.digest[:16]
    assert samples["mpcseg_rounds_total", a] == 1
    assert ("mpcseg_rounds_total", b) not in samples
    assert (samples["mpcseg_absent_nodes", a], samples["mpcseg_absent_nodes", b]) == (1, 0)
    assert samples["mpcseg_refused_calls_total", b] == 1
    assert samples["mpcseg_retries_total", b] == 1
    assert samples["process_open_fds", None] > 0
    assert samples["process_resident_memory_bytes", None] > 1e6
    assert samples["mpcseg_disk_free_bytes", None] > 0
    assert "1234" not in text
    assert health == {"status": "serving", "studies": {a: "rounds", b: "keys"}}


def test_an_address_that_is_taken_is_refused_in_words(tmp_path: Path) -> None:
    metrics = NodeMetrics("hub", "compute", tmp_path)
    with (
        MetricsServer(metrics, "127.0.0.1:0") as server,
        pytest.raises(ListenError, match="metrics cannot be served"),
    ):
        MetricsServer(metrics, server.address)
