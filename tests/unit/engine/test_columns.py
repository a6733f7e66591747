"""Profile columns on the compute node: tested as strictly as features, and summed as agreed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

from mpcseg.ckks.assignment import hyperplane_scales, start_level
from mpcseg.ckks.circuit import Encrypted
from mpcseg.ckks.packing import SlotRange
from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.serialization import CiphertextShape
from mpcseg.engine import Block, BlockFiles, RoundWork
from mpcseg.engine.admission import CoordinateTask, SlotsTask, upload_tasks
from mpcseg.engine.graph import TaskGraph
from mpcseg.engine.release_scales import _DryWorker, release_scales
from mpcseg.engine.rounds import RoundTasks
from mpcseg.engine.worker import Worker
from mpcseg.reference.columns import ColumnLayout, column_sums
from mpcseg.reference.rounds import ADMISSION_RULES
from mpcseg.reference.sign import sign_for
from tests.unit.ckks.admitted import negated
from tests.unit.ckks.conftest import Keys, make_keys
from tests.unit.privacy.test_budget import planned

__all__ = ["make_keys"]
"""The fixture, which pytest finds here."""

PARAMETERS = ParameterSet(16384, 9)
LAYOUT = ColumnLayout(1, (2,))
FEATURE, PRESENCE, NUMERIC, LABEL, OTHER_LABEL = range(5)
OWN = SlotRange(0, 100, 4000)
RECORD, EMPTY, FOREIGN = 117, 4000, 50

Rows = np.ndarray


class Upload:
    """Encrypts one upload, and has the compute node's own tasks test it, in this process."""

    def __init__(self, folder: Path, keys: Keys) -> None:
        self.folder, self.keys = folder, keys
        self.worker = Worker(PARAMETERS, keys.public_bytes, keys.relinearisation_bytes)
        noise = planned(
            n_clusters=2, n_features=1, n_rounds=2, n_parties=1, radius=1.0, columns=LAYOUT
        )
        self.limits = dict(
            zip(ADMISSION_RULES, noise.admission_limits(1, PARAMETERS.slots), strict=True)
        )
        scales = release_scales(
            PARAMETERS, "admission", (), n_clusters=2, n_features=1, n_parties=1, columns=LAYOUT
        )
        self.scales = dict(zip(ADMISSION_RULES, scales, strict=True))

    def blobs(self, rows: Rows) -> list[bytes]:
        levels = [PARAMETERS.n_levels, 1, PARAMETERS.n_levels, 1, 1]
        encrypt = self.keys.encryptor._encrypt_row
        return [encrypt(row.tolist(), level) for row, level in zip(rows, levels, strict=True)]

    def found(self, name: str, blobs: list[bytes], *rules: str) -> dict[str, float]:
        """What the sums of some rules come to, in limits; without bounds no power is computed."""
        paths = [self.folder / f"{name}-{index}" for index in range(len(blobs))]
        for path, blob in zip(paths, blobs, strict=True):
            path.write_bytes(blob)
        upload = BlockFiles((paths[0],), paths[1], tuple(paths[2:]))
        seed, output = hashlib.sha512(name.encode()).digest(), self.folder / f"{name}-sum"
        partials: dict[str, list[Path]] = {rule: [] for rule in rules}
        for task in upload_tasks(upload, OWN, None, name, LAYOUT, seed, output):
            if isinstance(task, SlotsTask) or "bounds" in rules:
                assert isinstance(task, SlotsTask | CoordinateTask)
                task.run(self.worker)
                for rule, path in task.terms:
                    if rule in rules:
                        partials[rule].append(path)
        return {rule: self._released(rule, paths) for rule, paths in partials.items()}

    def _released(self, rule: str, paths: list[Path]) -> float:
        circuit = self.worker.circuit
        total = reduce(circuit.add, [self.worker.load_partial(path) for path in paths])
        finished = circuit.finish(total) if total.size == 3 else total
        blob = self.worker.mask.release(finished, bytes(64), rule)
        value = self.keys.secret.decrypt_slot_sum(blob, self.scales[rule])
        return abs(value) / float(self.limits[rule])


@pytest.fixture(scope="module")
def upload(
    tmp_path_factory: pytest.TempPathFactory, make_keys: Callable[[ParameterSet], Keys]
) -> Upload:
    return Upload(tmp_path_factory.mktemp("columns"), make_keys(PARAMETERS))


def honest() -> Rows:
    """3,000 records in this party's slots of a shared block."""
    rng = np.random.default_rng(0)
    rows = np.zeros((5, PARAMETERS.slots), np.complex128)
    own = slice(OWN.start, OWN.start + 3000)
    rows[[FEATURE, NUMERIC], own] = rng.uniform(-1, 1, (2, 3000))
    rows[PRESENCE, own] = 1
    rows[LABEL, own] = rng.random(3000) < 0.3
    rows[OTHER_LABEL, own] = 1 - rows[LABEL, own]
    return rows


def test_honest_columns_pass(upload: Upload) -> None:
    found = upload.found("honest", upload.blobs(honest()), *ADMISSION_RULES)
    assert set(found) == set(ADMISSION_RULES)
    assert all(value < 1 / 3 for value in found.values()), found


# Row, slot and value, and the rule that finds it. Labels are changed by themselves.
CHEATS: dict[str, tuple[str, list[tuple[int, int, complex]]]] = {
    "a number of 1.05": ("bounds", [(NUMERIC, RECORD, 1.05)]),
    "an imaginary number": ("padding", [(NUMERIC, RECORD, 0.5j)]),
    "a number without presence": ("padding", [(NUMERIC, EMPTY, 0.7)]),
    "a number in another party's slot": ("padding", [(NUMERIC, FOREIGN, 0.7)]),
    "labels of 2 and -1": ("presence", [(LABEL, RECORD, 2), (OTHER_LABEL, RECORD, -1)]),
    "half of each label": ("presence", [(LABEL, RECORD, 0.5), (OTHER_LABEL, RECORD, 0.5)]),
    "both labels": ("padding", [(LABEL, RECORD, 1), (OTHER_LABEL, RECORD, 1)]),
    "no label": ("padding", [(LABEL, RECORD, 0), (OTHER_LABEL, RECORD, 0)]),
    "a label without presence": ("padding", [(LABEL, EMPTY, 1)]),
    "a label in another party's slot": ("padding", [(LABEL, FOREIGN, 1)]),
    "a whole record in another party's slot": (
        "presence",
        [(FEATURE, FOREIGN, 0.7), (PRESENCE, FOREIGN, 1), (LABEL, FOREIGN, 1)],
    ),
}


@pytest.mark.parametrize("name", CHEATS)
def test_each_cheat_in_a_column_is_over_the_limit(upload: Upload, name: str) -> None:
    rule, changes = CHEATS[name]
    rows = honest()
    for row, slot, value in changes:
        rows[row, slot] = value
    found = upload.found(name.replace(" ", "-"), upload.blobs(rows), rule)
    assert found[rule] > 1.5, found


def test_a_label_turned_round_modulo_one_prime_is_found(upload: Upload) -> None:
    """As z·(1 - z) is that of an honest label, and the other label makes up for the sum."""
    blobs = upload.blobs(honest())
    for label in (LABEL, OTHER_LABEL):
        blobs[label] = negated(PARAMETERS, blobs[label], 1, plus=int(TARGET_SCALE))
    found = upload.found("turned", blobs, "presence")
    assert found["presence"] > 10


# --- sums ------------------------------------------------------------------------------------


class ClearWorker(_DryWorker):
    """Runs a round's own tasks on vectors in the clear."""

    def __init__(self, arrived: dict[Path, float], vectors: dict[Path, np.ndarray]) -> None:
        super().__init__(PARAMETERS, arrived)
        self.vectors = vectors

    def _load_one(self, path: Path, shape: CiphertextShape, level: int) -> Encrypted:
        fresh = Encrypted(self.vectors[path], shape.level, self._arrived[path])
        return self.circuit.lower(fresh, level)

    def save_release(
        self,
        encrypted: Encrypted,
        path: Path,
        seed: bytes,
        label: str,
        noise: int,
    ) -> None:
        self.released[path] = float(np.sum(encrypted.payload))


def test_sums_over_many_blocks_are_those_in_the_clear() -> None:
    """Groups of blocks, in most of which one party or the other has nothing."""
    layout, sign, slots = ColumnLayout(1, (2, 3), 3), (7, 15), 6
    rng = np.random.default_rng(1)
    vectors: dict[Path, np.ndarray] = {}
    blocks, rows, owners = [], [], []
    # Party 0 has 17 blocks of its own, parties 1 and 2 share the last one.
    for number, parties in enumerate([*[(0,)] * 17, (1, 2)]):
        uploads = []
        for party in parties:
            own = np.zeros(slots)
            own[3 * (party - 1) : 3 * party] = len(parties) > 1
            present = own if len(parties) > 1 else (rng.random(slots) < 0.8).astype(float)
            labels = [np.eye(count)[rng.integers(0, count, slots)].T for count in layout.groups]
            values = np.vstack(
                [
                    rng.uniform(-1, 1, (2, slots)),
                    present * 0 + 1,
                    rng.uniform(-1, 1, (1, slots)),
                    *labels,
                ]
            )
            values = values * present
            paths = [Path(f"{number}-{party}-{row}") for row in range(len(values))]
            vectors.update(zip(paths, values, strict=True))
            uploads.append(BlockFiles(tuple(paths[:2]), paths[2], tuple(paths[3:]), party))
            rows.append(values.T[present > 0])
            owners += [party] * int(present.sum())
        blocks.append(Block(tuple(uploads)))
    table = np.vstack(rows)
    plane = np.array([0.5, -0.3, 0.1])
    paths = [Path(f"plane-{entry}") for entry in range(3)]
    u_scale, v_scale = hyperplane_scales(PARAMETERS, start_level(2, sign))
    vectors.update({path: np.full(slots, value) for path, value in zip(paths, plane, strict=True)})
    arrived = dict.fromkeys(vectors, TARGET_SCALE) | dict(
        zip(paths, [u_scale, u_scale, v_scale], strict=True)
    )

    work = RoundWork("profile", 3, sign, 2, blocks, columns=layout, seed=bytes(64))
    assert len(work.groups()) == 9
    tasks, graph = RoundTasks(work, Path("scratch"), Path("evidence")), TaskGraph()
    tasks.add_sums(graph)
    tasks.add_signs(graph, 0, paths)
    worker = ClearWorker(arrived, vectors)
    while (taken := graph.take()) is not None:
        key, node = taken
        node.task.run(worker)
        graph.finish(key)
    assert graph.complete
    found = np.array([worker.released[path] for path in tasks.releases]).reshape(work.shape)

    x, columns = table[:, :2], table[:, 3:]
    s = sign_for(sign)(x @ plane[:2] + plane[2])
    weights = np.column_stack([(1 + s) / 2, (1 - s) / 2])
    first = weights.T @ np.hstack([x, np.ones((len(x), 1)), x**2])
    due = np.hstack([first, column_sums(weights, columns, layout, np.array(owners))])
    np.testing.assert_allclose(found, due, atol=1e-6)
    # A party has partial sums only where it has records.
    files = {unit.name: unit.files for unit in tasks.units}
    assert len(files["blocks-0-1"]) == 2 * (5 + 2 + 5 + 1)
    assert len(files["blocks-16-17"]) == 2 * (5 + 2 + 5 + 3)
