"""Ciphertexts as bytes, and the checks of foreign ones (docs/protocol.md section 6).

A ciphertext travels as a fixed header and its residues as 32-bit words: every prime is below
2³¹, so this is half of SEAL's raw form, smaller than its compressed one, and of a length known in
advance, which leaves nothing to a decompression bomb.

``sealapi`` saves and loads by path only; anonymous files keep everything off the disks.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tenseal.sealapi as seal
import zstandard
from numpy.typing import NDArray

from mpcseg.ckks.circuit import Encrypted
from mpcseg.ckks.parameters import BOTTOM_PRIMES, ParameterSet
from mpcseg.errors import BlobTooLargeError, MalformedBlobError

Residues = NDArray[np.uint64]

_BLOB = struct.Struct("<4sBBHIId")  # magic, version, seeded, polynomials, N, primes, scale
_MAGIC, _PARTIAL_MAGIC = b"MPCT", b"MPCS"
_VERSION = 1
BLOB_HEAD_BYTES = _BLOB.size
"""Of every ciphertext blob, before its residues."""

SAVED_SEED_BYTES = 1 + 64
"""Generator type and seed of a ciphertext's second polynomial, as SEAL saves them."""

_BLAKE2XB = 1  # the generator type of every seed that SEAL makes, unless it is told otherwise

# SEAL 4 (native/src/seal/serialization.h, ciphertext.cpp, randomgen.cpp).
SEAL_HEADER = struct.Struct("<HBBBBHQ")  # magic, header size, major, minor, mode, 0, total size
SEAL_MAGIC, SEAL_VERSION, _SEAL_ZSTD = 0xA15E, (4, 3), 2
_CIPHERTEXT = struct.Struct("<4QB3QdQ")  # parms id, NTT form, size, N, primes, scale, correction
PLAINTEXT = struct.Struct("<4QQd")  # parms id, coefficient count, scale


@dataclass(frozen=True)
class CiphertextShape:
    """What a ciphertext must look like at one place of the protocol."""

    level: int
    seeded: bool = False


def ciphertext_bytes(parameters: ParameterSet, shape: CiphertextShape) -> int:
    """Exact length of a ciphertext blob."""
    polynomials = 1 if shape.seeded else 2
    residues = polynomials * parameters.n_primes(shape.level) * parameters.poly_modulus_degree
    return _BLOB.size + (SAVED_SEED_BYTES if shape.seeded else 0) + 4 * residues


def stated_shape(start: bytes) -> CiphertextShape | None:
    """What a blob says it is, by its first bytes; None for what does not begin like a ciphertext.

    Not checked against anything: for logs, of blobs that are checked elsewhere. Any node.
    """
    if len(start) < _BLOB.size or not start.startswith(_MAGIC):
        return None
    _, _, seeded, _, _, n_primes, _ = _BLOB.unpack_from(start)
    return CiphertextShape(max(n_primes - BOTTOM_PRIMES, 0), seeded=bool(seeded))


# --- SEAL objects through anonymous files --------------------------------------------------


def save_to_bytes(save: Callable[[str], None]) -> bytes:
    """What a sealapi ``save`` writes, without touching a disk."""
    descriptor = os.memfd_create("mpcseg", os.MFD_CLOEXEC)
    try:
        save(f"/proc/self/fd/{descriptor}")
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def load_from_bytes(load: Callable[[str], None], *parts: bytes) -> None:
    """Hand bytes to a sealapi ``load``, without touching a disk.

    Raises:
        MalformedBlobError: SEAL cannot read them, or finds residues out of range.
    """
    descriptor = os.memfd_create("mpcseg", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.writelines(parts)
        load_from_path(load, Path(f"/proc/self/fd/{descriptor}"))
    finally:
        os.close(descriptor)


def load_from_path(load: Callable[[str], None], path: Path) -> None:
    """Hand a file to a sealapi ``load``.

    Raises:
        MalformedBlobError: SEAL cannot read it.
    """
    try:
        load(str(path))
    except (RuntimeError, ValueError, IndexError) as error:
        raise MalformedBlobError(
            "SEAL does not accept the bytes of a ciphertext or key."
        ) from error


def seal_payload(saved: bytes, limit: int) -> bytes:
    """Decompressed payload of what SEAL saved, at most ``limit`` bytes.

    Raises:
        MalformedBlobError: not a complete SEAL object of this version.
        BlobTooLargeError: it would decompress to more than ``limit``.
    """
    if len(saved) < SEAL_HEADER.size:
        raise MalformedBlobError("A saved SEAL object ends within its header.")
    magic, header_size, major, minor, mode, _, size = SEAL_HEADER.unpack_from(saved)
    if magic != SEAL_MAGIC or header_size != SEAL_HEADER.size or size != len(saved):
        raise MalformedBlobError("The bytes are not one complete saved SEAL object.")
    if (major, minor) != SEAL_VERSION:
        ours = ".".join(map(str, SEAL_VERSION))
        raise MalformedBlobError(
            f"The object was saved by SEAL {major}.{minor}, not {ours}.",
            "Run the same version of mpcseg on all nodes.",
        )
    body = memoryview(saved)[SEAL_HEADER.size :]
    if mode == 0:
        payload = bytes(body)
    elif mode == _SEAL_ZSTD:
        reader = zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=False)
        try:
            payload = reader.read(limit + 1)
        except zstandard.ZstdError as error:
            raise MalformedBlobError("A saved SEAL object does not decompress.") from error
    else:
        raise MalformedBlobError(f"A saved SEAL object has the unknown compression mode {mode}.")
    if len(payload) > limit:
        raise BlobTooLargeError(f"A saved SEAL object is longer than {limit} bytes.")
    return payload


def seal_header(payload_bytes: int) -> bytes:
    """Header of an uncompressed SEAL object of this version."""
    total = SEAL_HEADER.size + payload_bytes
    return SEAL_HEADER.pack(SEAL_MAGIC, SEAL_HEADER.size, *SEAL_VERSION, 0, 0, total)


# --- ciphertexts ---------------------------------------------------------------------------


def pack_ciphertext(parameters: ParameterSet, save: Callable[[str], None]) -> bytes:
    """A ciphertext, or SEAL's serialisable seeded one, as a blob. Any node.

    Args:
        parameters: of the study.
        save: the object's ``save`` method.
    """
    (size, n_primes, degree), scale, residues, seed = _read_ciphertext(parameters, save)
    head = _BLOB.pack(_MAGIC, _VERSION, bool(seed), size, degree, n_primes, scale)
    return head + seed + residues.astype("<u4").tobytes()


def _read_ciphertext(
    parameters: ParameterSet, save: Callable[[str], None]
) -> tuple[tuple[int, int, int], float, Residues, bytes]:
    """Shape (polynomials, primes, N), scale, flat residues and seed of a SEAL object."""
    words = 3 * parameters.n_key_primes * parameters.poly_modulus_degree
    payload = seal_payload(save_to_bytes(save), 8 * words + 512)
    *_, size, degree, n_primes, scale, _ = _CIPHERTEXT.unpack_from(payload)
    data_at = _CIPHERTEXT.size + SEAL_HEADER.size + 8
    (count,) = struct.unpack_from("<Q", payload, data_at - 8)
    residues = np.frombuffer(payload, np.uint64, count, data_at)
    seeded = count < size * degree * n_primes
    seed = payload[len(payload) - SAVED_SEED_BYTES :] if seeded else b""
    return (size, n_primes, degree), scale, residues, seed


def pack_residues(residues: Residues, scale: float) -> bytes:
    """A ciphertext blob from raw residues, shape (2, primes, N)."""
    size, n_primes, degree = residues.shape
    head = _BLOB.pack(_MAGIC, _VERSION, 0, size, degree, n_primes, scale)
    return head + residues.astype("<u4").tobytes()


def verify_ciphertext(
    parameters: ParameterSet, blob: bytes, shape: CiphertextShape, scale: float | None = None
) -> None:
    """Check a foreign ciphertext with NumPy alone; SEAL does not see its bytes. Any node.

    Args:
        parameters: of the study.
        blob: the bytes; their digest and sender are checked before.
        shape: what it must be.
        scale: the scale that is agreed for this place, to the last bit: products and quotients
            of primes and powers of two are the same on every machine. None takes any possible one.

    Raises:
        MalformedBlobError: wrong length, ring, level, form or scale, a residue beyond its prime,
            an unknown generator, or a second polynomial of zeros, which would hide nothing.
    """
    _verify_header(parameters, blob, shape)
    stated = _scale_of(blob)
    if scale is not None and stated != scale:
        raise MalformedBlobError("A ciphertext has another scale than agreed.")
    words = np.frombuffer(blob, "<u4", offset=_residues_at(shape))
    polynomials = _verified_residues(parameters, words, parameters.n_primes(shape.level))
    if shape.seeded:
        verify_seed(blob[_BLOB.size : _BLOB.size + SAVED_SEED_BYTES])
    if not shape.seeded and not polynomials[1].any():
        raise MalformedBlobError("A ciphertext is transparent: anybody could read it.")


def _verified_residues(
    parameters: ParameterSet, words: NDArray[np.uint32], n_primes: int
) -> NDArray[np.uint32]:
    """Shape (polynomials, primes, N), every residue below its prime."""
    polynomials = words.reshape(-1, n_primes, parameters.poly_modulus_degree)
    verify_residues(parameters, polynomials)
    return polynomials


def verify_residues(parameters: ParameterSet, residues: NDArray[np.unsignedinteger]) -> None:
    """Check that foreign residues, shape (…, primes, N), are below their primes. Any node.

    Raises:
        MalformedBlobError: one is not.
    """
    primes = np.array(parameters.primes[: residues.shape[-2]], residues.dtype)
    if (residues >= primes[:, None]).any():
        raise MalformedBlobError("A ciphertext or key has residues beyond their prime.")


def verify_seed(seed: bytes) -> None:
    """Check the seed of a second polynomial, generator type first; any 64 bytes after it will do.

    Raises:
        MalformedBlobError: a generator that SEAL does not make seeds with.
    """
    if seed[0] != _BLAKE2XB:
        raise MalformedBlobError("A ciphertext or key names an unknown random generator.")


def _verify_header(parameters: ParameterSet, blob: bytes, shape: CiphertextShape) -> None:
    expected = ciphertext_bytes(parameters, shape)
    if len(blob) != expected:
        raise MalformedBlobError(
            f"A ciphertext has {len(blob)} bytes; at this place it has {expected}."
        )
    magic, version, seeded, size, degree, n_primes, scale = _BLOB.unpack_from(blob)
    if magic != _MAGIC or version != _VERSION:
        raise MalformedBlobError("The bytes do not begin like a ciphertext.")
    agreed = (parameters.poly_modulus_degree, parameters.n_primes(shape.level))
    if (seeded, size, degree, n_primes) != (int(shape.seeded), 2, *agreed):
        raise MalformedBlobError("A ciphertext has another ring, level or form than agreed.")
    if not 1.0 <= scale < 2.0**128:
        raise MalformedBlobError("A ciphertext has an impossible scale.")


def _scale_of(blob: bytes) -> float:
    return float(_BLOB.unpack_from(blob)[6])


def _residues_at(shape: CiphertextShape) -> int:
    return _BLOB.size + (SAVED_SEED_BYTES if shape.seeded else 0)


def unpack_ciphertext(
    parameters: ParameterSet, blob: bytes, shape: CiphertextShape, scale: float | None = None
) -> Encrypted:
    """Check a foreign ciphertext and load it into SEAL. Compute and key node.

    Args and errors are those of :func:`verify_ciphertext`.
    """
    verify_ciphertext(parameters, blob, shape, scale)
    at = _residues_at(shape)
    parts = saved_ciphertext(
        parameters.ring.parms_id(shape.level),
        (2, parameters.n_primes(shape.level), parameters.poly_modulus_degree),
        _scale_of(blob),
        np.frombuffer(blob, "<u4", offset=at).astype(np.uint64),
        blob[_BLOB.size : at],
    )
    ciphertext = seal.Ciphertext()
    load_from_bytes(lambda path: ciphertext.load(parameters.ring.context, path), *parts)
    return Encrypted(ciphertext, shape.level, _scale_of(blob))


def read_residues(
    parameters: ParameterSet, blob: bytes, shape: CiphertextShape
) -> tuple[NDArray[np.uint32], float]:
    """Check a foreign ciphertext and return its residues, (2, primes, N), and its scale. Any node.

    SEAL has no part in it. Errors are those of :func:`verify_ciphertext`; only for ciphertexts
    without a seed.
    """
    verify_ciphertext(parameters, blob, shape)
    words = np.frombuffer(blob, "<u4", offset=_residues_at(shape))
    degree = parameters.poly_modulus_degree
    return words.reshape(2, parameters.n_primes(shape.level), degree), _scale_of(blob)


# --- partial sums --------------------------------------------------------------------------


def partial_bytes(parameters: ParameterSet, level: int, size: int = 3) -> int:
    """Exact length of a partial sum of ``size`` polynomials at ``level``."""
    return _BLOB.size + 4 * size * parameters.n_primes(level) * parameters.poly_modulus_degree


def longest_partial(parameters: ParameterSet) -> int:
    """Length of the longest partial sum that there can be."""
    return partial_bytes(parameters, parameters.n_levels)


def pack_partial(parameters: ParameterSet, encrypted: Encrypted) -> bytes:
    """A partial sum as it is kept: one form only for one ciphertext, whatever compresses SEAL's.

    Compute node, and whoever replays its work.

    Args:
        parameters: of the study.
        encrypted: of two polynomials, or of three where it is not relinearised.
    """
    (size, n_primes, degree), scale, residues, _ = _read_ciphertext(
        parameters, encrypted.payload.save
    )
    head = _BLOB.pack(_PARTIAL_MAGIC, _VERSION, 0, size, degree, n_primes, scale)
    return head + residues.astype("<u4").tobytes()


def unpack_partial(parameters: ParameterSet, blob: bytes) -> Encrypted:
    """Check a partial sum and load it into SEAL. Compute node, and whoever replays its work.

    Raises:
        MalformedBlobError: not a partial sum of this parameter set.
    """
    if len(blob) < _BLOB.size:
        raise MalformedBlobError("A partial sum ends within its header.")
    magic, version, seeded, size, degree, n_primes, scale = _BLOB.unpack_from(blob)
    if (magic, version, seeded) != (_PARTIAL_MAGIC, _VERSION, 0):
        raise MalformedBlobError("The bytes do not begin like a partial sum.")
    level = n_primes - BOTTOM_PRIMES
    if (
        size not in (2, 3)
        or degree != parameters.poly_modulus_degree
        or not 0 <= level <= parameters.n_levels
        or not 1.0 <= scale < 2.0**256
    ):
        raise MalformedBlobError("A partial sum has another ring, level or form than can be.")
    expected = partial_bytes(parameters, level, size)
    if len(blob) != expected:
        raise MalformedBlobError(f"A partial sum has {len(blob)} bytes; {expected} are due.")
    words = np.frombuffer(blob, "<u4", offset=_BLOB.size)
    residues = _verified_residues(parameters, words, n_primes).astype(np.uint64).ravel()
    parms_id = parameters.ring.parms_id(level)
    parts = saved_ciphertext(parms_id, (size, n_primes, degree), scale, residues)
    ciphertext = seal.Ciphertext()
    load_from_bytes(lambda path: ciphertext.load(parameters.ring.context, path), *parts)
    return Encrypted(ciphertext, level, scale, size)


# --- SEAL's own form -----------------------------------------------------------------------


def saved_ciphertext(
    parms_id: list[int],
    shape: tuple[int, int, int],
    scale: float,
    residues: Residues,
    seed: bytes = b"",
) -> list[bytes]:
    """The bytes that SEAL would have saved, uncompressed, for a ciphertext or public key.

    Args:
        parms_id: SEAL's name of the level.
        shape: polynomials, primes, N.
        scale: of the ciphertext.
        residues: in SEAL's order; of the first polynomial alone where there is a seed.
        seed: generator type and seed of the second polynomial.
    """
    size, n_primes, degree = shape
    head = _CIPHERTEXT.pack(*parms_id, 1, size, degree, n_primes, scale, 1)
    array = seal_header(8 + residues.nbytes) + struct.pack("<Q", residues.size)
    tail = seal_header(len(seed)) + seed if seed else b""
    payload = [head, array, residues.tobytes(), tail]
    return [seal_header(sum(map(len, payload))), *payload]


def residues_of(parameters: ParameterSet, save: Callable[[str], None]) -> Residues:
    """Raw NTT residues of an unseeded ciphertext or public key, shape (size, primes, N)."""
    shape, _, residues, _ = _read_ciphertext(parameters, save)
    return residues.reshape(shape)


def plaintext_residues(parameters: ParameterSet, plaintext: Any, n_primes: int) -> Residues:
    """Raw NTT residues of a plaintext polynomial, shape (primes, N). Key node only."""
    degree = parameters.poly_modulus_degree
    payload = seal_payload(save_to_bytes(plaintext.save), 8 * n_primes * degree + 512)
    data_at = PLAINTEXT.size + SEAL_HEADER.size + 8
    return np.frombuffer(payload, np.uint64, n_primes * degree, data_at).reshape(n_primes, degree)
