"""What makes each release's mask its own: labels within a round, a seed for each round."""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpcseg.ckks import packing, slot_sum
from mpcseg.ckks.packing import SlotRange
from mpcseg.engine import Block, BlockFiles, PartyUploads, RoundWork
from mpcseg.engine.admission import NormTask, UploadTask
from mpcseg.engine.graph import Node, TaskGraph
from mpcseg.engine.rounds import RoundTasks
from mpcseg.engine.tasks import ReleaseTask
from mpcseg.reference.rounds import RoundKind, sums_shape

K, D = 3, 2
SIGN = (7, 7)


FILES = BlockFiles(tuple(Path(f"x{j}") for j in range(D)), Path("presence"))
PARTIES = (
    PartyUploads((FILES, FILES)),
    PartyUploads((FILES,), SlotRange(0, 0, 100)),
    PartyUploads((FILES,), SlotRange(0, 100, 50)),
)


def work(kind: RoundKind, index: int, noise: tuple[int, ...] = ()) -> RoundWork:
    sign = SIGN if kind in ("lloyd", "profile") else ()
    parties = PARTIES if kind == "admission" else ()
    blocks = [Block((FILES,))] * 5
    return RoundWork(kind, index, sign, K, blocks, parties=parties, noise=noise)


class Tasks(TaskGraph):
    """Keeps what is added."""

    def __init__(self) -> None:
        self.tasks: list[object] = []

    def add(self, key: object, node: Node, waits_for: object = ()) -> None:
        self.tasks.append(node.task)


def releases(done: RoundWork) -> list[ReleaseTask]:
    graph = Tasks()
    RoundTasks(done, Path("scratch"), Path("evidence")).add_sums(graph)
    return [task for task in graph.tasks if isinstance(task, ReleaseTask)]


def labels(done: RoundWork) -> list[str]:
    return [label for task in releases(done) for label in task.labels]


KINDS: list[RoundKind] = ["admission", "moments", "lloyd", "profile"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_release_of_a_round_has_a_label_of_its_own(kind: RoundKind) -> None:
    done = work(kind, 1)
    found = labels(done)
    assert len(set(found)) == len(found)
    assert len(found) == math.prod(sums_shape(kind, K, D, len(PARTIES)))
    assert done.shape == sums_shape(kind, K, D, len(PARTIES))


def test_no_label_of_a_study_comes_twice() -> None:
    first = [work("admission", 0), work("moments", 1)]
    rounds = [*first, *(work("lloyd", i) for i in range(2, 12)), work("profile", 12)]
    found = [label for done in rounds for label in labels(done)]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("kind", KINDS)
def test_each_sum_is_released_with_its_own_noise(kind: RoundKind) -> None:
    noise = tuple(range(1, 1 + math.prod(sums_shape(kind, K, D, len(PARTIES)))))
    found = [one for task in releases(work(kind, 1, noise)) for one in task.noise]
    assert found == [*noise]
    assert {one for task in releases(work(kind, 1)) for one in task.noise} == {0}


def test_noise_for_another_number_of_sums_is_refused() -> None:
    with pytest.raises(ValueError, match=r"5 noises for 9 sums"):
        releases(work("lloyd", 1, (1,) * 5))


def test_admission_sums_one_party_at_a_time() -> None:
    """Three releases a party; none adds up files of two parties, or leaves one out."""
    graph = Tasks()
    RoundTasks(work("admission", 0), Path("scratch"), Path("evidence")).add_sums(graph)
    uploads = [task for task in graph.tasks if isinstance(task, UploadTask)]
    assert len(uploads) == 4 * (D + 1)
    made = [path for task in uploads for _, path in task.terms]
    assert len(set(made)) == len(made)
    used = []
    for number, task in enumerate(releases(work("admission", 0))):
        party, rule = divmod(number, 3)
        (paths,) = task.partials
        assert all(path.name.startswith(f"party-{party}-") for path in paths)
        n_uploads = len(PARTIES[party].uploads)
        assert len(paths) == n_uploads * ((D + 1) if rule == 0 else 1)
        used += list(paths)
    assert sorted(used) == sorted(made)


def test_admission_draws_other_functionals_for_each_upload_and_feature() -> None:
    graph = Tasks()
    RoundTasks(work("admission", 0), Path("scratch"), Path("evidence")).add_sums(graph)
    uploads = [task for task in graph.tasks if isinstance(task, UploadTask)]
    assert len({task.label for task in uploads}) == 4
    assert len({(task.label, getattr(task, "index", None)) for task in uploads}) == 4 * (D + 1)
    assert all("seed" not in repr(task) for task in uploads)


@pytest.mark.parametrize(("radius", "tested"), [(None, 0), (1.5, 0), (D**0.5, 0), (1.4, 4)])
def test_the_norm_is_tested_where_it_says_more(radius: float | None, tested: int) -> None:
    done = replace(work("admission", 0), radius=radius)
    graph = Tasks()
    RoundTasks(done, Path("scratch"), Path("evidence")).add_sums(graph)
    assert sum(isinstance(task, NormTask) for task in graph.tasks) == tested
    assert len(graph.tasks) == done.n_tasks


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
    drawn = os.urandom(packing.SEED_BYTES)

    def token_bytes(count: int) -> bytes:
        assert count == packing.SEED_BYTES == 32
        return drawn

    monkeypatch.setattr(packing.secrets, "token_bytes", token_bytes)
    records = np.linspace(-1, 1, 2 * n).reshape(n, 2)
    (block,) = packing.pack_blocks(records, 64)
    keys = np.frombuffer(hashlib.shake_256(drawn).digest(8 * n), np.uint64)
    expected = records[np.argsort(keys, kind="stable")]
    np.testing.assert_array_equal(block[:-1, :n].T, expected)
