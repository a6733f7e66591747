"""One study in containers, which the tests look at while it runs and when it is over."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.cluster.engine import CONFINED, IMAGE, Compose, docker
from tests.cluster.organisations import HUB, NOTARY, PARTIES, Folders, give_to, make_folders
from tests.cluster.watching import listening_after, wait_for_end, wait_for_event

_LATE = PARTIES[-1]


@dataclass
class Figures:
    """What was measured, for the table at the end."""

    rows: list[tuple[str, str]] = field(default_factory=list)

    def note(self, what: str, value: str) -> None:
        self.rows.append((what, value))


_FIGURES = pytest.StashKey[Figures]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FIGURES] = Figures()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    rows = config.stash[_FIGURES].rows
    if not rows:
        return
    terminalreporter.section("study in containers")
    width = max(len(what) for what, _ in rows)
    for what, value in rows:
        terminalreporter.write_line(f"{what:<{width}}  {value}")


@pytest.fixture(scope="session")
def figures(request: pytest.FixtureRequest) -> Figures:
    return request.config.stash[_FIGURES]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory, figures: Figures) -> Iterator[Folders]:
    root = tmp_path_factory.mktemp("cluster") / "study"
    began = time.monotonic()
    made = make_folders(root)
    figures.note("data", made.data)
    figures.note("identities, agreement and signatures", f"{time.monotonic() - began:.1f} s")
    yield made
    give_to(root, os.getuid())


@dataclass(frozen=True)
class Cluster:
    """A compose project that runs.

    Attributes:
        compose: the project.
        folders: of its organisations.
    """

    compose: Compose
    folders: Folders


@pytest.fixture(scope="session")
def cluster(folders: Folders, figures: Figures) -> Iterator[Cluster]:
    """The study with one party missing, so that it lasts as long as tests look at it."""
    compose = Compose(f"mpcseg-cluster-{os.getpid()}", folders.root)
    try:
        compose("up", "-d", HUB, NOTARY, *PARTIES[:-1])
        figures.note("compute node: start to listening", f"{listening_after(compose, HUB):.1f} s")
        yield Cluster(compose, folders)
    finally:
        compose("down", "--volumes", "--timeout", "5")


@dataclass(frozen=True)
class Finished:
    """A study that is closed, with what each command of the organisations said.

    Attributes:
        cluster: whose containers have all ended.
        results: what each party's `party results` showed.
        closing: what `study close` said.
        verified: what `audit verify` said.
    """

    cluster: Cluster
    results: dict[str, str]
    closing: str
    verified: str


@pytest.fixture(scope="session")
def finished(cluster: Cluster, figures: Figures) -> Finished:
    """The study run to its end, its results opened by each party, and closed."""
    compose = cluster.compose
    began = time.monotonic()
    compose("up", "-d", _LATE)
    for name in (*PARTIES, NOTARY):
        wait_for_end(compose, name, seconds=600)
    figures.note("last party's start to results", f"{time.monotonic() - began:.1f} s")
    opened = {
        name: compose(
            "run", "--rm", "-T", name, "party", "results", "--config", "/study/party.toml",
            "--output", "/state/results", "--labels", "/state/labels.csv", "--progress", "none",
        )
        for name in PARTIES
    }  # fmt: skip
    closing = close(compose)
    wait_for_end(compose, HUB, seconds=60)
    verified = verify_logs(cluster)
    return Finished(cluster, opened, closing, verified)


def close(compose: Compose) -> str:
    """Close a study, as the key node's organisation."""
    return compose(
        "run", "--rm", "-T", NOTARY, "study", "close", "/study/study.agreement",
        "--identity", "/study/identity", "--address", f"{HUB}:7443", "--record",
        "/state/closing.json",
    )  # fmt: skip


def verify_logs(cluster: Cluster) -> str:
    """A reviewer's container: sees every node's volume, writes to none, reaches no network."""
    names = (HUB, NOTARY, *PARTIES)
    mounts = [f"{cluster.compose.volume(f'{name}-state')}:/logs/{name}:ro" for name in names]
    agreement = f"{cluster.folders.root / HUB / 'study.agreement'}:/study/study.agreement:ro"
    return docker(
        "run", "--rm", *CONFINED,
        *(option for mount in [*mounts, agreement] for option in ("-v", mount)),
        IMAGE, "audit", "verify", "/study/study.agreement", f"/logs/{HUB}",
        f"/logs/{NOTARY}/results", *(f"/logs/{party}/audit" for party in PARTIES),
        "--closing", f"/logs/{NOTARY}/closing.json", "--storage", f"/logs/{HUB}", "--complete",
    )  # fmt: skip


@pytest.fixture(scope="session")
def running(cluster: Cluster) -> dict[str, str]:
    """Containers of the nodes that wait for the last party, by name."""
    for name in PARTIES[:-1]:
        wait_for_event(cluster.compose, HUB, "party_ready", seconds=120, node=name)
    return {name: cluster.compose.container(name) for name in (HUB, NOTARY, *PARTIES[:-1])}
