"""The tasks of an admission round: each upload of each party by itself (docs/protocol.md 5).

coordinate, norm and rest of an upload → release of the party's three sums. Compute node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mpcseg.ckks import admission
from mpcseg.ckks.admission import Functional
from mpcseg.ckks.circuit import Encrypted
from mpcseg.ckks.encryption import PRESENCE_SHAPE, feature_shape
from mpcseg.ckks.packing import SlotRange
from mpcseg.engine.tasks import BlockFiles
from mpcseg.engine.worker import Worker
from mpcseg.reference.columns import ColumnLayout
from mpcseg.reference.rounds import ADMISSION_RULES

Terms = tuple[tuple[str, Path], ...]
"""Files that a task writes, each with the rule to whose sum it belongs."""


@dataclass(frozen=True)
class PartyUploads:
    """What one party uploaded, and where it may have put its records.

    Attributes:
        uploads: its blocks; for a shared block its own part of it, before parts are added up.
        place: its range of a shared block; None where all slots are its own.
    """

    uploads: tuple[BlockFiles, ...]
    place: SlotRange | None = None


@dataclass(frozen=True)
class _UploadTask:
    """What the tasks of one upload have in common."""

    upload: BlockFiles
    label: str
    """Names the upload within the study."""
    columns: ColumnLayout
    seed: bytes = field(repr=False)

    def _coordinate(self, worker: Worker, path: Path) -> Encrypted:
        return worker.load((path,), feature_shape(worker.parameters))

    def _features(self, worker: Worker) -> list[Encrypted]:
        return [self._coordinate(worker, path) for path in self.upload.features]

    def _coordinates(self, worker: Worker) -> list[Encrypted]:
        """Features and numeric profile columns: the same is asked of both, but for the norm."""
        return [self._coordinate(worker, path) for path in _coordinates(self.upload, self.columns)]

    def _functional(self, worker: Worker, purpose: str) -> Functional:
        label = f"{self.label}/{purpose}"
        return admission.random_functional(self.seed, label, worker.parameters.slots)

    def _functionals(self, worker: Worker, purpose: str) -> list[Functional]:
        count = len(_coordinates(self.upload, self.columns))
        return [self._functional(worker, f"{purpose}-{index}") for index in range(count)]


@dataclass(frozen=True)
class CoordinateTask(_UploadTask):
    """High power of one feature or numeric column: most of the round's work."""

    index: int
    output: Path

    @property
    def terms(self) -> Terms:
        """What it writes."""
        return (("bounds", self.output),)

    def run(self, worker: Worker) -> None:
        """Write a term of bounds."""
        admission.verify_depth(worker.parameters)
        functional = self._functional(worker, f"power-{self.index}")
        x = self._coordinate(worker, _coordinates(self.upload, self.columns)[self.index])
        term = admission.coordinate_power(worker.circuit, x, functional)
        worker.save_partial(term, self.output)


@dataclass(frozen=True)
class NormTask(_UploadTask):
    """The records' L2 norm, where the agreement bounds it more than the coordinates do."""

    radius: float
    output: Path

    @property
    def terms(self) -> Terms:
        """What it writes."""
        return (("bounds", self.output),)

    def run(self, worker: Worker) -> None:
        """Write a term of bounds."""
        admission.verify_depth(worker.parameters)
        functional = self._functional(worker, "norm")
        features = self._features(worker)
        term = admission.norm_power(worker.circuit, features, self.radius, functional)
        worker.save_partial(term, self.output)


@dataclass(frozen=True)
class SlotsTask(_UploadTask):
    """What is linear or a single product: magnitudes, presence and padding."""

    place: SlotRange | None
    outputs: tuple[Path, ...]
    """One for each rule."""

    @property
    def terms(self) -> Terms:
        """What it writes."""
        return tuple(zip(ADMISSION_RULES, self.outputs, strict=True))

    def run(self, worker: Worker) -> None:
        """Write a term of each of the three sums, those of presence and padding not finished."""
        admission.verify_depth(worker.parameters)
        bounds, presence, padding = self.outputs
        coordinates = self._coordinates(worker)
        p = worker.load((self.upload.presence,), PRESENCE_SHAPE)
        magnitudes = admission.magnitudes(
            worker.circuit, coordinates, self._functionals(worker, "magnitude")
        )
        worker.save_partial(magnitudes, bounds)
        product = self._presence_product(worker, p, "", self._own_slots(worker))
        groups = [
            [worker.load((path,), PRESENCE_SHAPE) for path in self.upload.columns[vectors]]
            for vectors in self.columns.group_slices
        ]
        everywhere = slice(0, worker.parameters.slots)
        for index, z in enumerate(label for labels in groups for label in labels):
            term = self._presence_product(worker, z, f"-of-label-{index}", everywhere)
            product = worker.circuit.add(product, term)
        worker.save_partial(product, presence)
        one_label = [self._functional(worker, f"labels-{index}") for index in range(len(groups))]
        product = admission.padding_product(
            worker.circuit,
            coordinates,
            p,
            self._functionals(worker, "padding"),
            self._functionals(worker, "imaginary"),
            list(zip(groups, one_label, strict=True)),
        )
        worker.save_partial(product, padding)

    def _presence_product(
        self, worker: Worker, z: Encrypted, purpose: str, own: slice
    ) -> Encrypted:
        return admission.presence_product(
            worker.circuit,
            z,
            self._functional(worker, f"presence{purpose}"),
            self._functional(worker, f"outside{purpose}"),
            own,
        )

    def _own_slots(self, worker: Worker) -> slice:
        if self.place is None:
            return slice(0, worker.parameters.slots)
        return slice(self.place.start, self.place.start + self.place.length)


UploadTask = CoordinateTask | NormTask | SlotsTask


def _coordinates(upload: BlockFiles, columns: ColumnLayout) -> tuple[Path, ...]:
    return (*upload.features, *upload.columns[: columns.n_numeric])


def upload_tasks(
    upload: BlockFiles,
    place: SlotRange | None,
    radius: float | None,
    label: str,
    columns: ColumnLayout,
    seed: bytes,
    output: Path,
) -> Iterator[UploadTask]:
    """Cut what is done to one upload into tasks that share what they load.

    Args:
        upload: one block of one party.
        place: the party's range of it, if it is shared.
        radius: of records, where it is to be tested too.
        label: names the upload within the study.
        columns: profile columns.
        seed: of the round.
        output: what the names of the tasks' files begin with.
    """
    common = (upload, label, columns, seed)
    for index in range(len(_coordinates(upload, columns))):
        yield CoordinateTask(*common, index, Path(f"{output}-power-{index}"))
    if radius is not None:
        yield NormTask(*common, radius, Path(f"{output}-norm"))
    outputs = tuple(Path(f"{output}-{rule}") for rule in ADMISSION_RULES)
    yield SlotsTask(*common, place, outputs)
