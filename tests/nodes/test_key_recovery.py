"""A key node that is killed at each of its steps and started again leads one study to its end."""

from __future__ import annotations

import collections
import dataclasses
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpcseg.audit.log_file import read_log
from mpcseg.audit.records import (
    Began,
    Decrypted,
    KeysVouched,
    RoundOpened,
    RoundSpent,
    SecretKeyDestroyed,
)
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.nodes.requests import fetch_results
from mpcseg.study.results import open_results
from mpcseg.verification.evidence import collect
from mpcseg.verification.verify import verify
from tests.nodes.dying_key import STEPS, dying_key
from tests.nodes.processes import NodeProcess, spawn
from tests.nodes.studies import Recorder, close, make_cohort, run, start_compute, two_organisations
from tests.organisations import signed

pytestmark = pytest.mark.processes


def test_killed_at_each_step(tmp_path: Path) -> None:
    nodes = two_organisations(n_rounds=1)
    cohorts = [make_cohort(60, 2, 1), make_cohort(30, 2, 2)]
    compute, address = start_compute(nodes, tmp_path / "storage", patience=60.0)
    parties = [
        run(run_party, nodes.spec, own, address, cohort, audit=tmp_path / "audit")
        for own, cohort in zip(nodes.parties, cohorts, strict=True)
    ]
    took = (nodes.spec, nodes.key, address, tmp_path / "key")
    for number, step in enumerate(STEPS):
        node = spawn(tmp_path / f"process-{number}", dying_key, step, *took)
        outcome = node.result(90.0)
        assert (outcome, node.process.exitcode) == ("killed", -signal.SIGKILL), step
        print(step, time.monotonic())
    last = run(run_key, *took)
    done = last.join()
    for party in parties:
        party.join()
