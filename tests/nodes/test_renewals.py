"""Certificates that are renewed while a study waits: it goes on, and the old ones open no door."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpcseg.audit.log import log_path
from mpcseg.audit.log_file import read_log
from mpcseg.audit.records import CertificateUsed, RenewalTaken
from mpcseg.errors import CertificateEndedError, MpcsegError
from mpcseg.nodes.compute import serve_compute
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.requests import fetch_results, study_status
from mpcseg.study.agreement import load_agreement
from mpcseg.study.identity import Identity, renew_identity
from mpcseg.study.renewal import new_renewal, renewed, write_renewal
from mpcseg.study.results import Results, open_results
from mpcseg.study.spec import StudySpec
from mpcseg.verification.evidence import collect
from mpcseg.verification.verify import verify
from tests.nodes.processes import NodeProcess, spawn
from tests.nodes.studies import Recorder, close, make_cohort, make_nodes
from tests.organisations import identity, no_noise, study_spec, write_study
from tests.unit.study.clear_study import clear_schedule, run_clear

pytestmark = pytest.mark.processes

COHORTS = [make_cohort(60, 2, 1), make_cohort(30, 2, 2)]


@pytest.fixture
def started() -> Iterator[list[NodeProcess]]:
    processes: list[NodeProcess] = []
    yield processes
    for node in processes:
        if node.process.is_alive():
            node.process.kill()
            node.process.join()


def assert_same_as_in_the_clear(results: Results) -> None:
    """The centroids are those that the schedule gives in the clear, with or without a renewal."""
    assert results.centroids is not None
    assert results.report is not None
    assert results.report.n_records == 90
    clear = run_clear(
        clear_schedule(n_clusters=2, features=("x0", "x1"), n_rounds=1, parties=("a", "b")),
        [cohort.records for cohort in COHORTS],
        2,
        n_parties=2,
    )
    found = sorted(results.centroids.centers_scaled)
    np.testing.assert_allclose(found, sorted(map(tuple, clear.cluster_centers)), atol=2e-3)


def refusal(spec: StudySpec, own: Identity, address: str) -> str:
    """Why the compute node does not answer somebody; empty where it does."""
    try:
        study_status(spec, own, address, Recorder(), patience=0.5)
    except MpcsegError as error:
        return f"{error.code}: {error.message}"
    return ""


def test_a_study_goes_on_with_certificates_that_were_renewed_half_way(
    tmp_path: Path, started: list[NodeProcess]
) -> None:
    nodes = make_nodes(n_rounds=1)
    spec, (first, second) = nodes.spec, nodes.parties
    audit, keys, storage = tmp_path / "audit", tmp_path / "key", tmp_path / "storage"

    def start(name: str, node: Any, *arguments: Any, **options: Any) -> NodeProcess:
        started.append(spawn(tmp_path / name, node, *arguments, patience=60.0, **options))
        return started[-1]

    def kill(*killed: NodeProcess) -> None:
        for node in killed:
            node.process.kill()
            assert node.result() == "killed"

    hub = start("hub-1", serve_compute, spec, nodes.compute, "127.0.0.1:0", storage, 1)
    address = hub.wait_line("event listening")
    key = start("key-1", run_key, spec, nodes.key, address, keys)
    party = start("party-1", run_party, spec, first, address, COHORTS[0], audit=audit)
    party.wait_line(f"message party node {first.name} is ready")

    kill(hub, party)
    new_hub = renew_identity(nodes.compute, tmp_path / "new-hub")
    new_first = renew_identity(first, tmp_path / "new-first")
    renewal = new_renewal(spec, [new_hub.card, new_first.card])
    for own in (new_hub, nodes.key, new_first, second):
        renewal = renewal.signed_by(spec, own)
    now = renewed(spec, [renewal])
    hub = start("hub-2", serve_compute, now, new_hub, address, storage, 1)
    hub.wait_line("event listening")
    # The renewal is not here yet: this node says so, and can be started again.
    assert key.result().startswith("unknown_certificate: the node at"), key.result()
    key = start("key-2", run_key, now, nodes.key, address, keys)

    # The old certificate counts until the new one was used, and from then on no more.
    assert refusal(now, first, address) == ""
    assert refusal(now, new_first, address) == ""
    assert "the new one is in use" in refusal(now, first, address)
    thief = renew_identity(first, tmp_path / "thief")
    unsigned = now.renewed([*now.versions, new_renewal(now, [thief.card]).version])
    assert "does not know this node's renewed certificate" in refusal(unsigned, thief, address)
    kill(hub)
    hub = start("hub-3", serve_compute, now, new_hub, address, storage, 1)
    hub.wait_line("event listening")
    # Not on this process's word: TLS itself admits it no more.
    assert "does not know this node's renewed certificate" in refusal(now, first, address)

    party = start("party-2", run_party, now, new_first, address, COHORTS[0], audit=audit)
    other = start("other", run_party, now, second, address, COHORTS[1], audit=audit)
    for node in (key, party, other):
        assert node.result() == "done"
    assert "advance upload" not in party.report.read_text()
    sealed = fetch_results(now, new_first, address, Recorder(), audit=audit)
    assert_same_as_in_the_clear(open_results(now, new_first, sealed))
    (tmp_path / "closing.json").write_bytes(close(dataclasses.replace(nodes, spec=now), address))
    assert hub.result() == "done"
    write_renewal(renewal, tmp_path / "trial-2.renewal")
    agreement = load_agreement(write_study(tmp_path / "trial.agreement", spec))
    places = [audit, keys, storage, tmp_path / "trial-2.renewal"]
    checks = list(verify(collect(agreement, places, tmp_path / "closing.json", storage)))
    assert [(f.what, f.evidence) for f in checks if f.verdict != "passed"] == []
    log = read_log(log_path(storage, spec, "compute", "hub"), spec)
    said = [e.record for e in log.entries if isinstance(e.record, RenewalTaken | CertificateUsed)]
    assert said == [
        RenewalTaken(version=2, renewal=renewal.terms.digest),
        CertificateUsed(organisation="party-a", version=2),
    ]


def test_a_certificate_that_has_ended_is_called_by_its_name(
    tmp_path: Path, started: list[NodeProcess]
) -> None:
    over = {
        name: renew_identity(identity(name), tmp_path / name, days=0) for name in ("hub", "alder")
    }
    spec = study_spec(known=over, privacy=no_noise())
    serving = (serve_compute, spec, over["hub"], "127.0.0.1:0", tmp_path / "storage", 1)
    started.append(spawn(tmp_path / "compute", *serving))
    address = started[0].wait_line("event listening")
    for own, what in (
        (over["alder"], "this node's certificate is valid from"),
        (identity("birch"), "the certificate of the compute node 'hub' is valid from"),
    ):
        with pytest.raises(CertificateEndedError, match=what) as caught:
            study_status(spec, own, address, Recorder(), patience=1.0)
        assert "mpcseg identity renew" in caught.value.hint
