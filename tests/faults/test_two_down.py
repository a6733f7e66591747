"""Two nodes are down at once: one is stopped while another is away, and stops in good order."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from mpcseg.demo.tables import DealtTables
from tests.faults.cases import arrived, terminate
from tests.faults.hosts import MISSING
from tests.faults.test_matrix import (
    LAST_ROUND,
    Ending,
    ending,
    started,
    undisturbed,  # noqa: F401  a fixture of both
    verify_same,
)

pytestmark = [pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.timeout(600)]


@pytest.mark.parametrize("stopped", ["key", "party"])
def test_a_node_that_waits_for_a_dead_compute_node_stops_and_goes_on(
    stopped: str,
    tables: DealtTables,
    undisturbed: Ending,  # noqa: F811
    tmp_path: Path,
) -> None:
    with started(tmp_path, tables) as study:
        study.until(lambda: arrived(study, "round", LAST_ROUND), "a round")
        compute = study.compute
        compute.held = True
        compute.signal(signal.SIGKILL)
        study.until(lambda: compute.process is None, "the compute node is dead", 10)
        terminate(study, study.key if stopped == "key" else study.parties[0])
        compute.held = False
        compute.start()
        verify_same(ending(study), undisturbed)
