"""What nodes in containers report, read from the engine's logs."""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Callable
from typing import Any

from tests.cluster.engine import Compose, docker

_PAUSE = 0.5


def reports(compose: Compose, service: str) -> list[tuple[datetime.datetime, dict[str, Any]]]:
    """Every report of a service's container so far, with the engine's time of it."""
    found = []
    for line in docker("logs", "--timestamps", compose.container(service)).splitlines():
        stamp, _, text = line.partition(" ")
        if text.startswith("{"):
            found.append((moment(stamp), json.loads(text)))
    return found


def moment(stamp: str) -> datetime.datetime:
    """The engine's times have nanoseconds."""
    return datetime.datetime.fromisoformat(stamp[:26].rstrip("Z") + "+00:00")


def wait_for_event(
    compose: Compose, service: str, kind: str, *, seconds: float, **facts: object
) -> dict[str, Any]:
    """Wait until a node reports an event with these facts among its own."""

    def find() -> dict[str, Any] | None:
        for _, report in reports(compose, service):
            if report.get("event") == kind and facts.items() <= report["facts"].items():
                return report
        return None

    return _until(compose, service, find, f"{kind} {facts}", seconds)


def listening_after(compose: Compose, service: str) -> float:
    """Seconds from the start of a container to the moment when its node listens."""
    wait_for_event(compose, service, "listening", seconds=60)
    (when,) = (
        when for when, report in reports(compose, service) if report.get("event") == "listening"
    )
    return (when - moment(compose.state(service)["State"]["StartedAt"])).total_seconds()


def wait_for_end(compose: Compose, service: str, *, seconds: float) -> None:
    """Wait until a node has ended in good order."""

    def find() -> dict[str, Any] | None:
        state = compose.state(service)["State"]
        return state if state["Status"] == "exited" else None

    state = _until(compose, service, find, "the end", seconds)
    assert state["ExitCode"] == 0, said(compose, service)


def wait_until_running(compose: Compose, service: str, *, restarts: int, seconds: float) -> None:
    """Wait until the engine has started a container again so many times."""

    def find() -> dict[str, Any] | None:
        found = compose.state(service)
        is_up = found["State"]["Running"] and found["RestartCount"] == restarts
        return found if is_up else None

    _until(compose, service, find, f"restart {restarts}", seconds)


def wait_until_healthy(compose: Compose, service: str, *, seconds: float) -> None:
    """Wait until the engine's own health check of a container has passed."""

    def find() -> dict[str, Any] | None:
        found: dict[str, Any] = compose.state(service)["State"]["Health"]
        return found if found["Status"] == "healthy" else None

    _until(compose, service, find, "health", seconds)


def said(compose: Compose, service: str) -> str:
    """The last that a container wrote, errors too."""
    return docker("logs", "--tail", "30", compose.container(service), errors=True)


def _until(
    compose: Compose,
    service: str,
    find: Callable[[], dict[str, Any] | None],
    what: str,
    seconds: float,
) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = find()
        if found is not None:
            return found
        time.sleep(_PAUSE)
    raise AssertionError(
        f"{service}: {what} did not come in {seconds:g} s; {said(compose, service)}"
    )
