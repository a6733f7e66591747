"""The nodes' structured logs of a real study: what they say, and that they hold no value."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest

from mpcseg.nodes.events import EVENTS
from mpcseg.verification.exposure.patterns import (
    Pattern,
    is_canary,
    patterns_of,
    patterns_of_names,
    rounded_patterns_of,
)
from mpcseg.verification.exposure.scanner import Scanner
from tests.finished import COHORTS, FinishedStudy, finished_study

FIELDS = {"time", "level", "node", "role", "study", "study_name", "event", "round", "facts"}
NODES = ("compute-birch", "key-alder", "party-alder", "party-birch")


@pytest.fixture(scope="module")
def study() -> FinishedStudy:
    return finished_study()


def lines(study: FinishedStudy, name: str) -> list[dict[str, object]]:
    content = (study.logs / f"{name}.log").read_text()
    return [json.loads(line) for line in content.splitlines()]


def values(study: FinishedStudy) -> Iterator[Pattern]:
    """Records, decrypted sums, centroids and the secret key, in every form that is known."""
    for number, cohort in enumerate(COHORTS):
        yield from patterns_of(f"record of party {number}", cohort.records, is_scaled=True)
        yield from rounded_patterns_of(f"record of party {number}", cohort.records)
    known = np.array([[v] for v in study.known.values if is_canary(v)])
    yield from patterns_of("a decrypted value", known)
    yield from rounded_patterns_of("a decrypted value", known)
    key = [residues.hex() for residues in study.known.residues]
    yield from patterns_of_names("residues of the secret key", key)
    yield from patterns_of_names("the secret key", [study.known.saved_key[64:96].hex()])


@pytest.fixture(scope="module")
def scanner(study: FinishedStudy) -> Scanner:
    return Scanner(values(study))


def test_no_log_of_any_node_holds_a_value(study: FinishedStudy, scanner: Scanner) -> None:
    files = sorted(path.stem for path in study.logs.iterdir())
    assert files == sorted(NODES)
    assert scanner.n_patterns > 5_000
    assert not scanner.in_files(study.logs)


@pytest.mark.parametrize("digits", [6, 9, 17])
def test_the_search_finds_a_sum_in_a_line(
    study: FinishedStudy, scanner: Scanner, digits: int
) -> None:
    # Of a number that is short when rounded, nobody could say whose it is.
    known = [v for v in study.known.values if is_canary(v)]
    value = next(v for v in known if len(f"{v:.6g}".lstrip("-0.")) >= 7)
    line = json.dumps({"event": "round", "facts": {"sizes": [float(f"{value:.{digits}g}")]}})
    assert any(name.startswith("a decrypted value") for name in scanner.names(line.encode()))


@pytest.mark.parametrize("name", NODES)
def test_every_line_says_when_who_which_study_and_what(study: FinishedStudy, name: str) -> None:
    role, _, node = name.partition("-")
    seen = lines(study, name)
    assert len(seen) > 5
    for line in seen:
        assert set(line) == FIELDS
        assert str(line["time"]).endswith("+00:00")
        assert (line["node"], line["role"]) == (node, role)
        assert (line["study"], line["study_name"]) == (study.spec.digest[:16], study.spec.name)
        assert line["level"] in {"info", "warning", "error"}
        kind = EVENTS[str(line["event"])]
        assert isinstance(line["facts"], dict)
        assert set(line["facts"]) <= set(kind.facts)


def test_the_key_nodes_rounds_are_logged_without_sizes_and_moves(study: FinishedStudy) -> None:
    rounds = [line for line in lines(study, "key-alder") if line["event"] == "round"]
    assert [line["round"] for line in rounds] == [0, 1, 2, 3]
    assert all(set(line["facts"]) == {"index", "round_kind", "seconds"} for line in rounds)


def test_logs_tell_the_course_of_the_study(study: FinishedStudy) -> None:
    for name in NODES:
        phases = [line["facts"] for line in lines(study, name) if line["event"] == "phase"]
        wanted = ["blocks", "rounds", "results"]
        seen = [facts["phase"] for facts in phases]
        assert seen[seen.index("blocks") :][:3] == wanted, name
    assert any(line["event"] == "budget" for line in lines(study, "compute-birch"))


def test_metrics_count_what_the_study_did(study: FinishedStudy) -> None:
    digest = study.spec.digest[:16]

    def sample(name: str, metric: str, **labels: str) -> float | None:
        registry = study.metrics[name].registry
        return registry.get_sample_value(metric, {"study": digest, **labels})

    compute = "compute-birch"
    for kind in ("admission", "moments", "lloyd", "profile"):
        for name in (compute, "key-alder"):
            assert sample(name, "mpcseg_rounds_total", kind=kind) == 1
            assert (sample(name, "mpcseg_round_seconds_sum", kind=kind) or 0) > 0
    # d + 1 ciphertexts for each of two parties with one block.
    counted = {"link": "party_to_compute", "kind": "feature"}
    features = sample(compute, "mpcseg_blobs_total", **counted)
    assert features == 2 * study.spec.n_features
    sent = [
        sample(name, "mpcseg_payload_bytes_total", **counted) or 0
        for name in ("party-alder", "party-birch")
    ]
    assert sum(sent) == sample(compute, "mpcseg_payload_bytes_total", **counted) > 0
    assert sample(compute, "mpcseg_study_phase", mpcseg_study_phase="over") == 1
    assert 0 < (sample(compute, "mpcseg_epsilon_spent") or 0) <= 20.0
    assert sample(compute, "mpcseg_epsilon_agreed") == 20.0
    work = {"work": "round"}
    done = sample(compute, "mpcseg_tasks_done", **work)
    assert done == sample(compute, "mpcseg_tasks", **work) > 0


def test_no_metric_names_a_party_to_the_compute_nodes_watchers(study: FinishedStudy) -> None:
    for metric in study.metrics["compute-birch"].registry.collect():
        for sample in metric.samples:
            assert "alder" not in sample.labels.values()
            assert sample.name == "mpcseg_node_info" or "birch" not in sample.labels.values()
