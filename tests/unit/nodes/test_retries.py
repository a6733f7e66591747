"""Calls are repeated for the whole patience, with pauses that grow and never come in step."""

from __future__ import annotations

import grpc
import pytest

from mpcseg.errors import NodeUnreachableError, ProtocolError, SuspendedError
from mpcseg.nodes.retries import LONGEST_PAUSE, Retries
from tests.nodes.studies import Recorder


class Hours(Retries):
    """Retries in a time that passes only while they pause."""

    def __init__(self, patience: float) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.progress = Recorder()
        super().__init__("hub:1", patience, self.progress, clock=lambda: self.now)

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def _down() -> None:
    raise grpc.RpcError


def test_a_line_that_is_down_for_a_day_is_given_up_then_and_not_before() -> None:
    day = 86_400.0
    retries = Hours(day)
    with pytest.raises(NodeUnreachableError, match="does not answer: nothing listens there"):
        retries.run(_down, lambda _: "nothing listens there")
    assert retries.now == pytest.approx(day)
    assert max(retries.pauses) <= LONGEST_PAUSE
    assert len(set(retries.pauses[10:100])) == 90  # jitter
    told = retries.progress.messages
    assert day / 125 <= len(told) <= day / 60 + 1  # every minute or two
    assert "does not answer for 24 h (nothing listens there)" in told[-1]


def test_after_hours_without_a_line_the_call_goes_through() -> None:
    retries = Hours(86_400.0)

    def once() -> str:
        if retries.now < 5 * 3600:
            _down()
        return "here"

    assert retries.run(once, lambda _: "no line") == "here"
    assert retries.now < 5 * 3600 + LONGEST_PAUSE
    assert retries.progress.messages[-1] == "the compute node answers again, after 5 h"


def test_patience_counts_from_the_first_failure_not_from_the_start_of_a_long_call() -> None:
    retries = Hours(10.0)
    tries = []

    def once() -> str:
        tries.append(retries.now)
        if len(tries) == 1:
            retries.now += 3600.0  # a watch that was open for an hour, and broke
            _down()
        return "again"

    assert retries.run(once, lambda _: "it broke") == "again"


def test_what_cannot_be_repeated_is_raised_at_once() -> None:
    retries = Hours(60.0)

    def explain(_: grpc.RpcError) -> str:
        raise ProtocolError("refused")

    with pytest.raises(ProtocolError, match="refused"):
        retries.run(_down, explain)
    assert retries.pauses == []


def test_a_node_that_leaves_does_not_try_again() -> None:
    retries = Retries("hub:1", 3600.0, Recorder())
    retries.leave()
    with pytest.raises(SuspendedError):
        retries.run(_down, lambda _: "no line")
