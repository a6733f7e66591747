"""What a worker process holds: evaluation keys, a circuit, recently used ciphertexts."""

from __future__ import annotations

import hashlib
import os
import signal
import traceback
from collections import OrderedDict
from dataclasses import dataclass
from functools import reduce
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

import tenseal.sealapi as seal

from mpcseg.ckks.circuit import Circuit, Encrypted, SealBackend
from mpcseg.ckks.key_material import load_public_key, load_relinearisation_keys
from mpcseg.ckks.parameters import BOTTOM_PRIMES, ParameterSet, parameter_set
from mpcseg.ckks.serialization import (
    CiphertextShape,
    load_from_path,
    longest_partial,
    pack_partial,
    unpack_ciphertext,
    unpack_partial,
)
from mpcseg.ckks.slot_sum import SlotSumMask
from mpcseg.durable import storage_error
from mpcseg.errors import MalformedBlobError, MpcsegError, WorkerError
from mpcseg.memory import peak_rss_mb

CACHE_BYTES = 256 * 2**20
"""Loaded ciphertexts that one worker keeps: the blocks and hyperplanes it uses again and again."""


class Worker:
    """One process's circuit and caches. Compute node; no secret key.

    Args:
        parameters: of the study.
        public_key: as received.
        relinearisation_keys: as received.
    """

    def __init__(
        self, parameters: ParameterSet, public_key: bytes, relinearisation_keys: bytes
    ) -> None:
        self.parameters = parameters
        keys = load_relinearisation_keys(parameters, relinearisation_keys)
        self.circuit = Circuit(parameters, SealBackend(parameters, keys))
        self.mask = SlotSumMask(parameters, load_public_key(parameters, public_key))
        self._cache: OrderedDict[tuple[tuple[Path, ...], int], Encrypted] = OrderedDict()
        self._digests: dict[str, str] = {}

    def load(
        self, paths: tuple[Path, ...], shape: CiphertextShape, level: int | None = None
    ) -> Encrypted:
        """The sum of ciphertexts that came over the wire, lowered to ``level``.

        Kept for the next task.

        Args:
            paths: the blobs; several for a block that several parties fill.
            shape: what each must be.
            level: where it is used; None for as it came.

        Raises:
            MalformedBlobError: not a ciphertext of that shape.
        """
        level = shape.level if level is None else level
        key = (paths, level)
        found = self._cache.get(key)
        if found is None:
            found = self._cache[key] = reduce(
                self.circuit.add, [self._load_one(path, shape, level) for path in paths]
            )
            self._shrink_cache()
        self._cache.move_to_end(key)
        return found

    def _load_one(self, path: Path, shape: CiphertextShape, level: int) -> Encrypted:
        loaded = unpack_ciphertext(self.parameters, path.read_bytes(), shape)
        return self.circuit.lower(loaded, level)

    def _shrink_cache(self) -> None:
        polynomial = 8 * self.parameters.poly_modulus_degree
        total = sum(2 * (level + BOTTOM_PRIMES) * polynomial for _, level in self._cache)
        while total > CACHE_BYTES and len(self._cache) > 1:
            (_, level), _ = self._cache.popitem(last=False)
            total -= 2 * (level + BOTTOM_PRIMES) * polynomial

    def load_intermediate(self, path: Path) -> Encrypted:
        """A ciphertext that another task of this node wrote."""
        ciphertext = seal.Ciphertext()
        load_from_path(lambda name: ciphertext.load(self.parameters.ring.context, name), path)
        level = ciphertext.coeff_modulus_size() - BOTTOM_PRIMES
        return Encrypted(ciphertext, level, ciphertext.scale, ciphertext.size())

    def save_intermediate(self, encrypted: Encrypted, path: Path) -> None:
        """Write a ciphertext for another task of this node."""
        try:
            encrypted.payload.save(str(path))
        except RuntimeError:  # all that SEAL says of a file that it cannot write
            raise storage_error(OSError(), path) from None

    def load_partial(self, path: Path) -> Encrypted:
        """A partial sum, of this node or of the evidence that it left.

        Raises:
            MalformedBlobError: not a partial sum of this parameter set.
        """
        if path.stat().st_size > longest_partial(self.parameters):
            raise MalformedBlobError(f"The partial sum {path.name} is too long to be one.")
        return unpack_partial(self.parameters, path.read_bytes())

    def save_partial(self, encrypted: Encrypted, path: Path) -> None:
        """Write a partial sum, which is kept, and note its digest for the node."""
        blob = pack_partial(self.parameters, encrypted)
        path.write_bytes(blob)
        self._digests[path.name] = hashlib.sha256(blob).hexdigest()

    def save_release(
        self, encrypted: Encrypted, path: Path, seed: bytes, label: str, noise: int
    ) -> None:
        """Mask a finished sum and write it for the key node; see :class:`SlotSumMask`."""
        path.write_bytes(self.mask.release(encrypted, seed, label, noise))

    def take_digests(self) -> dict[str, str]:
        """Hex SHA-256 of each partial sum written since this was last called, by file name."""
        taken, self._digests = self._digests, {}
        return taken


class Task(Protocol):
    """A piece of a round. Pickled to a worker; reads and writes files; may be run twice."""

    def run(self, worker: Worker) -> None:
        """Do it."""


@dataclass(frozen=True)
class TaskReport:
    """What the node learns of a finished task beside its files.

    Attributes:
        worker: its process.
        peak_rss_mb: of that process so far.
        digests: hex SHA-256 of each partial sum that was written, by file name.
    """

    worker: int
    peak_rss_mb: float
    digests: dict[str, str]


def serve(
    connection: Connection[TaskReport | Exception, Task | None],
    parameters: str,
    public_key: Path,
    relinearisation_keys: Path,
) -> None:
    """Run tasks until the node closes the connection or is gone; the worker process's main.

    The keys are loaded with the first task, whose error then says if they are bad.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the node's to handle.
    os.umask(0o077)  # SEAL makes its files itself
    worker: Worker | None = None
    while True:
        try:
            task = connection.recv()
        except (EOFError, ConnectionError):
            return
        answer: TaskReport | Exception
        try:
            worker = worker or Worker(
                parameter_set(parameters),
                public_key.read_bytes(),
                relinearisation_keys.read_bytes(),
            )
            if task is not None:
                task.run(worker)
            answer = TaskReport(os.getpid(), peak_rss_mb(), worker.take_digests())
        except MpcsegError as error:
            answer = error
        except OSError as error:
            answer = storage_error(error, str(error.filename or public_key.parent))
        except Exception as error:
            answer = _unexpected(error)
        try:
            connection.send(answer)
        except BrokenPipeError:
            return


def _unexpected(error: Exception) -> WorkerError:
    """Type and place of an error, without its text, which may quote anything."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return WorkerError(
        f"A worker process failed inside: {type(error).__name__} "
        f"at {Path(place.filename).name}:{place.lineno}.",
        "If the disk is not full, this is a defect of mpcseg.",
    )
