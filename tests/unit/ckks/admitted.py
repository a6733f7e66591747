"""Uploads as honest and hostile parties make them, and what admission finds in them; for tests."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

import numpy as np

from mpcseg.ckks import admission
from mpcseg.ckks.circuit import Encrypted
from mpcseg.ckks.encryption import PRESENCE_SHAPE, feature_shape
from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.serialization import unpack_ciphertext
from mpcseg.ckks.slot_sum import SEED_BYTES
from mpcseg.reference.admission import HONEST_POWER, error_stds
from tests.unit.ckks.conftest import Keys

HEAD = 24
"""Bytes before a ciphertext's residues."""


def largest_limits(n_blocks: int, slots: int, d: int) -> np.ndarray:
    """Seven standard deviations with as much noise as any plan has: 20 from each of two nodes."""
    noise = 20.0 * math.sqrt(2.0)
    honest = np.array([HONEST_POWER * math.sqrt(2.0 * d * n_blocks * slots), 0.0, 0.0])
    return 7.0 * np.sqrt(noise**2 + honest**2 + error_stds(n_blocks, slots, d) ** 2)


def honest_rows(rng: np.random.Generator, slots: int, d: int, n: int) -> np.ndarray:
    """Shape (d + 1, slots): n uniform records, then padding."""
    rows = np.zeros((d + 1, slots), np.complex128)
    rows[:-1, :n] = rng.uniform(-1, 1, (d, n))
    rows[-1, :n] = 1.0
    return rows


def encrypt_rows(keys: Keys, rows: np.ndarray) -> list[bytes]:
    """Encrypt whatever is in there, complex numbers too: d features, then presence."""
    levels = [keys.parameters.n_levels] * (len(rows) - 1) + [PRESENCE_SHAPE.level]
    encrypt = keys.encryptor._encrypt_row
    return [encrypt(row.tolist(), level) for row, level in zip(rows, levels, strict=True)]


def residues(parameters: ParameterSet, blob: bytes) -> np.ndarray:
    """A ciphertext's residues, to be changed in place and put back; shape (2, primes, N)."""
    words = np.frombuffer(blob, "<u4", offset=HEAD).astype(np.int64)
    return words.reshape(2, -1, parameters.poly_modulus_degree)


def with_residues(blob: bytes, changed: np.ndarray) -> bytes:
    return blob[:HEAD] + changed.astype("<u4").tobytes()


def negated(parameters: ParameterSet, blob: bytes, prime: int, plus: int = 0) -> bytes:
    """``plus`` minus the ciphertext modulo one prime; unchanged modulo all others."""
    changed = residues(parameters, blob)
    changed[:, prime] = -changed[:, prime]
    changed[0, prime] += plus
    changed[:, prime] %= parameters.primes[prime]
    return with_residues(blob, changed)


@dataclass
class Findings:
    """The three sums of one upload, and the parts of bounds."""

    keys: Keys
    features: list[Encrypted]
    presence: Encrypted
    own: slice
    seed: bytes = field(default_factory=lambda: os.urandom(SEED_BYTES))

    @classmethod
    def of(
        cls, keys: Keys, blobs: Sequence[bytes], own: slice | None = None, seed: bytes = b""
    ) -> Findings:
        *features, presence = blobs
        shape = feature_shape(keys.parameters)
        return cls(
            keys,
            [unpack_ciphertext(keys.parameters, blob, shape) for blob in features],
            unpack_ciphertext(keys.parameters, presence, PRESENCE_SHAPE),
            own or slice(0, keys.parameters.slots),
            seed or os.urandom(SEED_BYTES),
        )

    def rho(self, label: str) -> np.ndarray:
        return admission.random_functional(self.seed, label, self.keys.parameters.slots)

    def rhos(self, label: str) -> list[np.ndarray]:
        return [self.rho(f"{label}-{j}") for j in range(len(self.features))]

    def released(self, encrypted: Encrypted) -> float:
        finished = self.keys.circuit.finish(encrypted) if encrypted.size == 3 else encrypted
        blob = self.keys.mask.release(finished, os.urandom(SEED_BYTES), "sum")
        return self.keys.secret.decrypt_slot_sum(blob, finished.scale)

    def powers(self) -> Encrypted:
        circuit = self.keys.circuit
        terms = zip(self.features, self.rhos("power"), strict=True)
        return reduce(
            circuit.add, [admission.coordinate_power(circuit, x, rho) for x, rho in terms]
        )

    def magnitudes(self) -> Encrypted:
        return admission.magnitudes(self.keys.circuit, self.features, self.rhos("magnitude"))

    def bounds(self) -> float:
        return self.released(self.keys.circuit.add(self.powers(), self.magnitudes()))

    def norm(self, radius: float) -> float:
        norm = self.rho("norm")
        return self.released(admission.norm_power(self.keys.circuit, self.features, radius, norm))

    def presence_sum(self) -> float:
        rho, outside = self.rho("presence"), self.rho("outside")
        return self.released(
            admission.presence_product(self.keys.circuit, self.presence, rho, outside, self.own)
        )

    def padding(self) -> float:
        rhos, imaginary = self.rhos("padding"), self.rhos("imaginary")
        return self.released(
            admission.padding_product(
                self.keys.circuit, self.features, self.presence, rhos, imaginary
            )
        )

    def sums(self) -> np.ndarray:
        return np.array([self.bounds(), self.presence_sum(), self.padding()])
