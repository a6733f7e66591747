"""The whole study in containers: it ends, each party opens its results, and the logs agree."""

from __future__ import annotations

import csv
import io
import json

import pytest

from tests.cluster.conftest import Figures, Finished
from tests.cluster.engine import IMAGE, PYTHON, docker
from tests.cluster.organisations import HUB, N_CLUSTERS, NOTARY, PARTIES

pytestmark = pytest.mark.timeout(900)


def in_volume(finished: Finished, name: str, path: str) -> str:
    volume = finished.cluster.compose.volume(f"{name}-state")
    program = f"import pathlib; print(pathlib.Path('/state/{path}').read_text(), end='')"
    return docker(
        "run", "--rm", "--network", "none", "-v", f"{volume}:/state:ro",
        "--entrypoint", PYTHON, IMAGE, "-c", program,
    )  # fmt: skip


def test_each_party_opens_the_results_that_were_sealed_to_it(finished: Finished) -> None:
    tables = {in_volume(finished, party, "results/segments.csv") for party in PARTIES}
    assert len(tables) == 1  # the same segments for all
    rows = list(csv.DictReader(io.StringIO(tables.pop())))
    assert len({row["segment"] for row in rows}) == N_CLUSTERS
    for party in PARTIES:
        assert "Segments of cluster" in finished.results[party]


def test_each_party_labels_its_own_customers(finished: Finished) -> None:
    for party in PARTIES:
        labelled = list(csv.DictReader(io.StringIO(in_volume(finished, party, "labels.csv"))))
        summary = json.loads(in_volume(finished, party, "summary.json"))
        assert len(labelled) == summary["n_records"] > 1000
        assert len({row["segment"] for row in labelled}) == N_CLUSTERS


def test_the_logs_of_all_nodes_agree_and_nothing_is_left_unchecked(finished: Finished) -> None:
    assert "failed" not in finished.verified
    assert "not checked" not in finished.verified
    assert "19 passed" in finished.verified


def test_the_closing_record_says_that_key_and_ciphertexts_are_gone(
    finished: Finished, figures: Figures
) -> None:
    assert f"{HUB} deleted" in finished.closing
    assert f"{NOTARY} destroyed the secret key" in finished.closing
    traffic = json.loads(in_volume(finished, HUB, "summary.json"))["bytes_by_link"]
    for link, sent in traffic.items():
        total = sum(sent.values()) if isinstance(sent, dict) else sent
        figures.note(f"payload {link}", f"{total / 1e6:,.1f} MB")
