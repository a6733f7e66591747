"""No more bytes leave in a time than the limit allows, whichever thread sends them."""

from __future__ import annotations

from mpcseg.nodes.pace import Pace


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def test_bytes_leave_at_the_rate_from_the_second_piece_on() -> None:
    clock = Clock()
    pace = Pace(8.0, clock=clock, pause=clock.pause)  # a million bytes per second
    left = []
    for _ in range(5):
        pace.take(500_000)
        left.append(clock.now - 1000.0)
    assert left == [0.0, 0.5, 1.0, 1.5, 2.0]


def test_a_pause_is_not_made_up_for_by_a_burst() -> None:
    clock = Clock()
    pace = Pace(8.0, clock=clock, pause=clock.pause)
    pace.take(1_000_000)
    clock.now += 3600.0
    began = clock.now
    for _ in range(3):
        pace.take(1_000_000)
    assert clock.now - began == 2.0


def test_without_a_limit_nobody_waits() -> None:
    clock = Clock()
    pace = Pace(None, clock=clock, pause=clock.pause)
    for _ in range(100):
        pace.take(1 << 30)
    assert clock.now == 1000.0
