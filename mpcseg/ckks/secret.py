"""All that touches the secret key (docs/protocol.md sections 1, 4 and 6). Key node only.

import-linter lets ``mpcseg.nodes.key`` alone import this module. A decrypted polynomial never
leaves it: callers get one number for each released ciphertext. The key is in this process's
memory until :meth:`SecretKey.destroy`; what may leave it, for the same node to go on after a
crash, are words that the caller seals before they touch a disk (:meth:`SecretKey.words`).
"""

from __future__ import annotations

import ctypes
import os
import secrets
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tenseal.sealapi as seal
from numpy.typing import NDArray

from mpcseg.ckks.assignment import hyperplane_scales
from mpcseg.ckks.key_material import SEED_BYTES, expand_public_polynomial, pack_public_key
from mpcseg.ckks.parameters import BOTTOM_PRIMES, ParameterSet
from mpcseg.ckks.serialization import (
    PLAINTEXT,
    Residues,
    load_from_path,
    pack_ciphertext,
    plaintext_residues,
    residues_of,
    save_to_bytes,
    seal_header,
    unpack_ciphertext,
    verify_residues,
)
from mpcseg.ckks.slot_sum import SLOT_SUM_SHAPE, slot_sum_units, units_per_sum
from mpcseg.errors import ConfigError, MalformedBlobError, StudyClosedError

Words = NDArray[np.uint32]
"""A secret key's NTT residues, flat, for whoever has them to overwrite."""

_M_PERTURB = -6  # malloc.h


@dataclass(frozen=True)
class _SealKey:
    """SEAL's objects that hold the secret key; freed, they overwrite their memory."""

    generator: Any
    encryptor: Any
    decryptor: Any


class SecretKey:
    """The study's secret key and everything that needs it. Key node only.

    Args:
        parameters: of the study.
        words: of a key that was made before (:meth:`words`); a new one is drawn without.

    Attributes:
        decrypted_values: numbers that were decrypted with this key so far.

    Raises:
        MalformedBlobError: the words are not those of a key of these parameters.
        ConfigError: as :meth:`words`.
    """

    def __init__(self, parameters: ParameterSet, words: Words | None = None) -> None:
        self._parameters = parameters
        context = parameters.ring.context
        if words is None:
            generator = seal.KeyGenerator(context)
        else:
            generator = seal.KeyGenerator(context, _loaded(parameters, words))
        secret = generator.secret_key()
        self._live: _SealKey | None = _SealKey(
            generator, seal.Encryptor(context, secret), seal.Decryptor(context, secret)
        )
        self._encoder = seal.CKKSEncoder(context)
        self.decrypted_values = 0

    def __repr__(self) -> str:
        return f"<SecretKey {self._parameters.name}>"

    def __reduce__(self) -> Any:
        raise TypeError("A secret key is not pickled.")

    @property
    def _key(self) -> _SealKey:
        if self._live is None:
            raise StudyClosedError("The study's secret key was destroyed: it is over.")
        return self._live

    def destroy(self) -> None:
        """Forget the secret key for good; only :attr:`decrypted_values` can still be asked for.

        SEAL overwrites the memory of secret keys that it frees, and no other copy outlives the
        method that makes it. A page that the operating system has swapped out is out of reach.
        """
        self._live = None

    @contextmanager
    def words(self) -> Iterator[Words]:
        """The key as words for the length of a block, to be sealed there; overwritten after it.

        Whatever the block frees is overwritten as well.

        Raises:
            StudyClosedError: the key was destroyed.
            ConfigError: this system does not overwrite what is freed.
        """
        with overwriting_freed_memory():
            residues = self._secret_residues()
            words = residues.astype(np.uint32).ravel()
            residues[:] = 0
            try:
                yield words
            finally:
                words[:] = 0

    def public_key(self) -> bytes:
        """A fresh public key whose second polynomial everybody expands from its seed.

        SEAL draws (b', a') with b' = e - a'·s. For another second polynomial a, the first one is
        b = b' + (a' - a)·s, with SEAL's error e untouched.
        """
        parameters = self._parameters
        drawn = seal.PublicKey()
        self._key.generator.create_public_key(drawn)
        first, second = residues_of(parameters, drawn.save)
        seed = secrets.token_bytes(SEED_BYTES)
        primes = np.array(parameters.primes, np.uint64)[:, None]
        second = (second + primes - expand_public_polynomial(parameters, seed)) % primes
        # In place: the one copy of s outside SEAL is overwritten with what becomes public.
        b = self._secret_residues()
        b *= second
        b += first
        b %= primes
        return pack_public_key(parameters, b, seed)

    def _secret_residues(self) -> Residues:
        """NTT residues of the secret key, shape (primes, N), for the caller to overwrite."""
        secret = self._key.generator.secret_key()  # data() is a part of it, and goes with it
        values = secret.data()
        count = values.coeff_count()
        # One by one, as saving would leave copies in buffers that nobody overwrites.
        residues = np.fromiter((values[i] for i in range(count)), np.uint64, count)
        return residues.reshape(-1, self._parameters.poly_modulus_degree)

    def relinearisation_keys(self) -> bytes:
        """The relinearisation keys as SEAL saves them, seeded."""
        return save_to_bytes(self._key.generator.create_relin_keys().save)

    def encrypt_hyperplane(self, hyperplane: NDArray[np.float64], level: int) -> list[bytes]:
        """Encrypt one pair's hyperplane for the compute node (docs/protocol.md section 4).

        Args:
            hyperplane: shape (d + 1,): u_1 … u_d, v.
            level: the round's start level.

        Returns:
            d + 1 seeded ciphertext blobs, a constant in all slots each.
        """
        *normal, offset = hyperplane.tolist()
        u_scale, v_scale = hyperplane_scales(self._parameters, level)
        blobs = [self._encrypt_constant(u, u_scale, level) for u in normal]
        return [*blobs, self._encrypt_constant(offset, v_scale, level)]

    def _encrypt_constant(self, value: float, scale: float, level: int) -> bytes:
        plain = seal.Plaintext()
        self._encoder.encode(value, self._parameters.ring.parms_id(level), scale, plain)
        return pack_ciphertext(self._parameters, self._key.encryptor.encrypt_symmetric(plain).save)

    def decrypt_slot_sum(
        self, blob: bytes, scale: float, noise: int = 0, *, again: bool = False
    ) -> float:
        """Decrypt a released ciphertext to the one number it carries (section 6).

        Args:
            blob: as released by the compute node.
            scale: that this sum has after its circuit, which the blob must state; another one
                would change what this node's own noise weighs.
            noise: of this node's own, from `mpcseg.ckks.slot_sum.own_noise`; 0 for none.
            again: a process of this node that was killed has decrypted it before; it counts once.

        Raises:
            MalformedBlobError: not a slot sum, or of another scale.
            StudyClosedError: the key was destroyed.
        """
        encrypted = unpack_ciphertext(self._parameters, blob, SLOT_SUM_SHAPE, scale)
        plain = seal.Plaintext()
        # No local name for the decryptor: it would outlive `destroy` in an error's traceback.
        self._key.decryptor.decrypt(encrypted.payload, plain)
        residues = plaintext_residues(self._parameters, plain, BOTTOM_PRIMES)
        self.decrypted_values += not again
        units = units_per_sum(self._parameters, scale)
        # On the integer: no floating-point number of the exact sum ever exists.
        return (slot_sum_units(self._parameters, residues) + noise) / units


@contextmanager
def overwriting_freed_memory() -> Iterator[None]:
    """Have the C library overwrite what this process frees: buffers of SEAL and Python among it.

    Raises:
        ConfigError: this system's C library has no such thing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or mallopt(_M_PERTURB, 0xFF) != 1:
        raise ConfigError(
            "the C library of this system cannot overwrite freed memory, which a secret key needs",
            'Use a Linux with glibc, or recovery = "none".',
        )
    try:
        yield
    finally:
        mallopt(_M_PERTURB, 0)


def _loaded(parameters: ParameterSet, words: Words) -> Any:
    """SEAL's secret key from its words, which are overwritten.

    SEAL loads from a path alone: an anonymous file, in memory, overwritten before it is closed.
    """
    degree, n_primes = parameters.poly_modulus_degree, parameters.n_key_primes
    if words.size != degree * n_primes:
        raise MalformedBlobError("A secret key has another length than its parameters ask for.")
    verify_residues(parameters, words.reshape(n_primes, degree))
    payload = 8 * words.size
    parms_id = parameters.ring.context.key_parms_id()
    head = PLAINTEXT.pack(*parms_id, words.size, 1.0)
    head += seal_header(8 + payload) + struct.pack("<Q", words.size)
    head = seal_header(len(head) + payload) + head
    secret = seal.SecretKey()
    descriptor = os.memfd_create("mpcseg", os.MFD_CLOEXEC)
    with overwriting_freed_memory():
        try:
            residues = words.astype(np.uint64)
            words[:] = 0
            _write(descriptor, memoryview(head))
            _write(descriptor, residues.view(np.uint8).data)
            residues[:] = 0
            load_from_path(
                lambda path: secret.load(parameters.ring.context, path),
                Path(f"/proc/self/fd/{descriptor}"),
            )
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
            _write(descriptor, memoryview(bytes(len(head) + payload)))
            os.close(descriptor)
    return secret


def _write(descriptor: int, content: memoryview) -> None:
    while content:
        content = content[os.write(descriptor, content) :]
