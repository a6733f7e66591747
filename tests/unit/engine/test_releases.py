"""What makes each release's mask its own: labels within a round, a seed for each round."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mpcseg.ckks import packing, slot_sum
from mpcseg.engine import Block, BlockFiles, RoundWork
from mpcseg.engine.graph import Node, TaskGraph
from mpcseg.engine.rounds import RoundTasks
from mpcseg.engine.tasks import ReleaseTask
from mpcseg.reference.rounds import RoundKind, sums_shape

K, D = 3, 2
SIGN = (7, 7)


def work(kind: RoundKind, index: int) -> RoundWork:
    files = BlockFiles(tuple(Path(f"x{j}") for j in range(D)), Path("presence"))
    return RoundWork(kind, index, () if kind == "moments" else SIGN, K, [Block((files,))] * 5)


class Tasks(TaskGraph):
    """Keeps what is added."""

    def __init__(self) -> None:
        self.tasks: list[object] = []

    def add(self, key: object, node: Node, waits_for: object = ()) -> None:
        self.tasks.append(node.task)


def releases(done: RoundWork) -> list[ReleaseTask]:
    graph = Tasks()
    RoundTasks(done, Path("scratch")).add_sums(graph)
    return [task for task in graph.tasks if isinstance(task, ReleaseTask)]


def labels(done: RoundWork) -> list[str]:
    return [label for task in releases(done) for label in task.labels]


@pytest.mark.parametrize("kind", ["moments", "lloyd", "profile"])
def test_every_release_of_a_round_has_a_label_of_its_own(kind: RoundKind) -> None:
    found = labels(work(kind, 1))
    assert len(set(found)) == len(found)
    rows = sums_shape(kind, K, D)
    assert len(found) == (rows[0] if len(rows) == 1 else rows[0] * rows[1])


def test_no_label_of_a_study_comes_twice() -> None:
    rounds = [work("moments", 0), *(work("lloyd", i) for i in range(1, 12)), work("profile", 12)]
    found = [label for done in rounds for label in labels(done)]
    assert len(set(found)) == len(found)


def test_every_release_of_a_round_is_made_with_the_rounds_seed() -> None:
    done = work("lloyd", 1)
    assert {task.seed for task in releases(done)} == {done.seed}


def test_every_round_has_a_seed_of_its_own_from_the_systems_csprng(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, other = work("lloyd", 1), work("lloyd", 1)
    assert one.seed != other.seed
    assert len(one.seed) == len(other.seed) == 64
    drawn = os.urandom(64)
    asked: list[int] = []

    def token_bytes(count: int) -> bytes:
        asked.append(count)
        return drawn

    monkeypatch.setattr(slot_sum.secrets, "token_bytes", token_bytes)
    assert work("lloyd", 2).seed == drawn
    assert asked == [64]


def test_the_packing_order_comes_from_the_systems_csprng(monkeypatch: pytest.MonkeyPatch) -> None:
    n = 50
    drawn = os.urandom(8 * n)

    def token_bytes(count: int) -> bytes:
        assert count == 8 * n
        return drawn

    monkeypatch.setattr(packing.secrets, "token_bytes", token_bytes)
    records = np.linspace(-1, 1, 2 * n).reshape(n, 2)
    (block,) = packing.pack_blocks(records, 64)
    expected = records[np.argsort(np.frombuffer(drawn, np.uint64), kind="stable")]
    np.testing.assert_array_equal(block[:-1, :n].T, expected)
