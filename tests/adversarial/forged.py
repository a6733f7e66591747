"""A compute node's evidence, honest or forged with real ciphertexts.

A forger has what a compute node has: all keys but the secret one, every ciphertext, every seed. It
lies consistently: manifests and commitments fit what it left behind.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np

from mpcseg.ckks.circuit import Encrypted
from mpcseg.ckks.serialization import pack_residues, read_residues
from mpcseg.ckks.slot_sum import SLOT_SUM_SHAPE, seed_commitment, units_per_sum
from mpcseg.engine import RoundSecrets, RoundWork
from mpcseg.engine.evidence import MANIFEST_FILE, round_manifest
from mpcseg.engine.graph import Node, TaskGraph
from mpcseg.engine.round_secrets import SEED_FILE
from mpcseg.engine.rounds import RoundTasks
from mpcseg.engine.tasks import ReleaseTask
from mpcseg.engine.worker import Worker
from mpcseg.nodes.blob_store import StudyFiles
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.round_work import StudyUploads, round_work, study_uploads
from mpcseg.nodes.study_rules import RoundOrder, block_names
from mpcseg.nodes.transport import Roster
from mpcseg.study.spec import StudySpec
from mpcseg.verification.computed import ComputedRound, ComputedStudy
from mpcseg.wire.blobs import header_of
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName


def orders(spec: StudySpec) -> list[RoundOrder]:
    """The rounds of a study that used all of them."""
    sharp = study_plan(spec).circuit.sharp
    lloyd = [RoundOrder("lloyd", 2 + i, sharp) for i in range(spec.n_rounds)]
    profile = RoundOrder("profile", 2 + spec.n_rounds, sharp)
    return [RoundOrder("admission", 0, ()), RoundOrder("moments", 1, ()), *lloyd, profile]


def computed(spec: StudySpec, storage: Path) -> ComputedStudy:
    """What an honest log would commit to, read from the evidence itself."""
    files, roster = StudyFiles(storage), Roster(spec)

    def header(path: Path, name: BlobName) -> BlobHeader:
        return header_of(name, path.read_bytes())

    def of_key(names: Iterable[BlobName]) -> tuple[BlobHeader, ...]:
        return tuple(header(files.path(roster.key, name), name) for name in names)

    blocks = {}
    for party in roster.parties:
        count = len(list(files.folder(party).glob("presence-*")))
        names = block_names(count, spec.n_features, spec.column_layout)
        blocks[party.name] = tuple(header(files.path(party, name), name) for name in names)
    rounds = []
    for order in orders(spec):
        index, folder = order.index, files.evidence_folder(order.index)
        n_planes = len(list(files.folder(roster.key).glob(f"hyperplane-{index:04d}-*")))
        pairs = n_planes // (spec.n_features + 1)
        planes = [
            BlobName(BlobKind.HYPERPLANE, index, pair, part)
            for pair in range(pairs)
            for part in range(spec.n_features + 1)
        ]
        count = len(list((files.root / "releases").glob(f"release-{index:04d}-*")))
        releases = [BlobName(BlobKind.RELEASE, index, item) for item in range(count)]
        rounds.append(
            ComputedRound(
                order=order,
                hyperplanes=of_key(planes),
                seed_commitment=seed_commitment((folder / SEED_FILE).read_bytes()),
                manifest_sha256=hashlib.sha256((folder / MANIFEST_FILE).read_bytes()).hexdigest(),
                releases=tuple(header(files.release_path(name), name) for name in releases),
            )
        )
    public, relinearisation = of_key(
        [BlobName(BlobKind.PUBLIC_KEY), BlobName(BlobKind.RELINEARISATION_KEYS)]
    )
    return ComputedStudy(public, relinearisation, blocks, tuple(rounds))


class _Releases(TaskGraph):
    """Keeps the release tasks that are added."""

    def __init__(self) -> None:
        self.tasks: list[ReleaseTask] = []

    def add(self, key: object, node: Node, waits_for: object = ()) -> None:
        assert isinstance(node.task, ReleaseTask)
        self.tasks.append(node.task)


@dataclass(frozen=True)
class Sum:
    """One release's ingredients: what is added up, and its label."""

    partials: tuple[Path, ...]
    label: str
    std: float


class Forger:
    """Changes a copy of a compute node's evidence.

    Args:
        spec: the agreement.
        honest: the storage folder; it stays as it is.
        folder: of the copy.
    """

    def __init__(self, spec: StudySpec, honest: Path, folder: Path) -> None:
        self.spec = spec
        self.storage = folder / "storage"
        shutil.copytree(honest, self.storage, copy_function=os.link)
        self.files = StudyFiles(self.storage)
        self.plan = study_plan(spec)
        self.parameters = self.plan.circuit.parameters
        self.study = computed(spec, self.storage)
        self.roster = Roster(spec)
        key = self.roster.key
        self.worker = Worker(
            self.parameters,
            self.files.path(key, BlobName(BlobKind.PUBLIC_KEY)).read_bytes(),
            self.files.path(key, BlobName(BlobKind.RELINEARISATION_KEYS)).read_bytes(),
        )

    # --- what there is ---------------------------------------------------------------------

    @property
    def uploads(self) -> StudyUploads:
        ranges = self.plan.circuit.slot_ranges
        places = dict(zip(self.roster.parties, ranges, strict=True))
        counts = {
            party: sum(h.name.kind is BlobKind.PRESENCE for h in self.study.blocks[party.name])
            for party in self.roster.parties
        }
        spec = self.spec
        return study_uploads(self.files, places, counts, spec.n_features, spec.column_layout)

    def work(self, index: int) -> RoundWork:
        order = self.study.rounds[index].order
        secrets = RoundSecrets(self.seed(index), ())
        return round_work(
            order, self.spec.n_clusters, self.uploads, self.plan.noise.radius, secrets
        )

    def seed(self, index: int) -> bytes:
        return (self.files.evidence_folder(index) / SEED_FILE).read_bytes()

    def sums(self, index: int) -> list[Sum]:
        graph = _Releases()
        folder = self.files.evidence_folder(index)
        RoundTasks(self.work(index), Path("scratch"), folder).add_releases(graph)
        order = self.study.rounds[index].order
        stds = iter(self.plan.noise.stds(order.kind, order.sign).ravel().tolist())
        return [
            Sum(paths, label, next(stds))
            for task in graph.tasks
            for paths, label in zip(task.partials, task.labels, strict=True)
        ]

    def total(self, paths: Iterable[Path]) -> Encrypted:
        """What a release encrypts, before it is masked."""
        circuit = self.worker.circuit
        total = reduce(circuit.add, [self.worker.load_partial(path) for path in paths])
        return circuit.finish(total) if total.size == 3 else total

    def masked(self, index: int, item: int, total: Encrypted, noise: int = 0) -> bytes:
        return self.worker.mask.release(
            total, self.seed(index), self.sums(index)[item].label, noise
        )

    def release(self, index: int, item: int) -> bytes:
        return self.files.release_path(BlobName(BlobKind.RELEASE, index, item)).read_bytes()

    # --- lies --------------------------------------------------------------------------------

    def write(self, path: Path, content: bytes) -> None:
        """Replace a file; the original, whose link this was, stays as it is."""
        path.unlink()
        path.write_bytes(content)

    def write_release(self, index: int, item: int, blob: bytes) -> None:
        """Put another release, and commit to it."""
        name = BlobName(BlobKind.RELEASE, index, item)
        self.write(self.files.release_path(name), blob)
        releases = list(self.study.rounds[index].releases)
        releases[item] = header_of(name, blob)
        self._commit(index, releases=tuple(releases))

    def write_partial(self, index: int, name: str, blob: bytes) -> None:
        """Put another partial sum, and commit to it."""
        self.write(self.files.evidence_folder(index) / name, blob)
        self._commit(index)

    def release_again(self, index: int, item: int, factor: float = 1.0) -> None:
        """Release what the partial sums now add up to, with noise of ``factor`` the agreed size.

        The draws are the same in every run, so that what a test says of them is, too.
        """
        one = self.sums(index)[item]
        total = self.total(one.partials)
        std = one.std * units_per_sum(self.parameters, total.scale)
        noise = round(factor * np.random.default_rng([index, item]).normal(0.0, std))
        self.write_release(index, item, self.masked(index, item, total, noise))

    def with_drawn_noise(self, index: int, factor: float) -> None:
        """Release a whole round again, with noise of ``factor`` the agreed size."""
        for item in range(len(self.sums(index))):
            self.release_again(index, item, factor)

    def repacked(self, index: int, item: int, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Change a release's residues, shape (2, primes, N)."""
        residues, scale = read_residues(self.parameters, self.release(index, item), SLOT_SUM_SHAPE)
        primes = np.array(self.parameters.primes[:2], np.uint64)[None, :, None]
        changed = change(residues.astype(np.uint64)) % primes
        self.write_release(index, item, pack_residues(changed, scale))

    def randomness(self, index: int, item: int) -> tuple[np.ndarray, np.ndarray]:
        """The encryption of zero and the uniform polynomial of a release."""
        return self.worker.mask._randomness(self.seed(index), self.sums(index)[item].label)

    def _commit(self, index: int, releases: tuple[BlobHeader, ...] | None = None) -> None:
        done = self.study.rounds[index]
        releases = releases or done.releases
        folder, work = self.files.evidence_folder(index), self.work(index)
        units = RoundTasks(work, folder, folder).units
        digests = {
            name: hashlib.sha256((folder / name).read_bytes()).hexdigest()
            for unit in units
            for name in unit.files
        }
        manifest = round_manifest(work, self.parameters.name, units, digests, releases)
        self.write(folder / MANIFEST_FILE, manifest)
        digest = hashlib.sha256(manifest).hexdigest()
        rounds = list(self.study.rounds)
        rounds[index] = replace(done, releases=releases, manifest_sha256=digest)
        self.study = replace(self.study, rounds=tuple(rounds))
