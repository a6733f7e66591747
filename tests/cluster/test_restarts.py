"""Containers that are stopped, killed and started again while their study runs."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from mpcseg.errors import SuspendedError
from tests.cluster.conftest import Cluster, Figures, close, verify_logs
from tests.cluster.engine import Compose, signal_node
from tests.cluster.organisations import HUB, NAMES, NOTARY, PARTIES, Folders
from tests.cluster.watching import wait_for_end, wait_for_event, wait_until_running

pytestmark = pytest.mark.timeout(900)

PARTY = PARTIES[0]


@pytest.fixture(scope="module")
def interrupted(folders: Folders) -> Iterator[Cluster]:
    """The same organisations with volumes of their own, so that nothing is left of another run."""
    compose = Compose(f"mpcseg-restarts-{os.getpid()}", folders.root)
    try:
        compose("up", "-d", HUB, NOTARY, *PARTIES[:-1])
        yield Cluster(compose, folders)
    finally:
        compose("down", "--volumes", "--timeout", "5")


def stop_and_start(compose: Compose, name: str) -> None:
    """Stop a node in good order, as an upgrade of its machine would, and start it again."""
    compose("stop", name)
    state = compose.state(name)["State"]
    assert state["Status"] == "exited"
    assert state["ExitCode"] == SuspendedError.exit_status, name
    compose("start", name)


def test_a_study_whose_nodes_are_stopped_and_killed_ends_with_logs_that_agree(
    interrupted: Cluster, figures: Figures
) -> None:
    compose = interrupted.compose
    wait_for_event(compose, HUB, "party_ready", seconds=120, node=PARTY)
    for name in (PARTY, NOTARY, HUB):
        stop_and_start(compose, name)
    compose("up", "-d", PARTIES[-1])
    wait_for_event(compose, HUB, "round", seconds=300, round_kind="moments")
    for name in (HUB, NOTARY, PARTY):
        signal_node(compose, name, "SIGKILL")
        wait_until_running(compose, name, restarts=1, seconds=60)
    for name in (*PARTIES, NOTARY):
        wait_for_end(compose, name, seconds=600)
    closing = close(compose)
    assert f"{NOTARY} destroyed the secret key" in closing
    wait_for_end(compose, HUB, seconds=60)
    verified = verify_logs(interrupted)
    assert "failed" not in verified
    assert "not checked" not in verified
    counts = {name: compose.state(name)["RestartCount"] for name in NAMES}
    assert counts == {name: int(name in (HUB, NOTARY, PARTY)) for name in NAMES}
    figures.note("nodes stopped or killed, and gone on", "3 stopped, 3 killed")
