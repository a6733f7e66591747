"""Order of tasks: dependencies, later stages first, workers stay with their pair."""

from __future__ import annotations

import random

from mpcseg.engine.graph import Node, TaskGraph


class Nothing:
    def run(self, worker) -> None:
        raise AssertionError("the graph runs nothing")


def node(stage: int = 0, affinity: object = None) -> Node:
    return Node(Nothing(), stage, affinity)


def test_a_task_waits_for_everything_it_needs() -> None:
    graph = TaskGraph()
    graph.add("sum", node(1), ["a", "b", "event"])
    graph.add("a", node())
    graph.add("b", node())
    assert {graph.take()[0], graph.take()[0]} == {"a", "b"}
    for key in ("a", "b"):
        graph.finish(key)
        assert graph.take() is None
    graph.finish("event")
    assert graph.take()[0] == "sum"
    assert not graph.complete
    graph.finish("sum")
    assert graph.complete
    assert (graph.finished, graph.total) == (3, 3)


def test_later_stages_first_then_own_affinity_then_nobody_elses() -> None:
    graph = TaskGraph()
    for block in range(2):
        for pair in range(3):
            graph.add((pair, block), node(0, pair))
    first, _ = graph.take()
    second, _ = graph.take()
    assert first[0] != second[0], "two workers begin with two pairs"
    assert graph.take(first[0])[0] == (first[0], 1)
    graph.add("release", node(2))
    assert graph.take(second[0])[0] == "release"


def test_every_task_runs_once_in_any_order_of_completion() -> None:
    rng = random.Random(4)
    graph = TaskGraph()
    for i in range(60):
        graph.add(i, node(i % 3, i % 5), rng.sample(range(i), min(i, 3)))
    running, done = [], []
    while not graph.complete:
        while (taken := graph.take()) is not None:
            running.append(taken[0])
        key = running.pop(rng.randrange(len(running)))
        graph.finish(key)
        done.append(key)
    assert sorted(done) == list(range(60))
