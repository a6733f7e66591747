"""Encryption of blocks under the study's public key (docs/protocol.md section 2). Party node."""

from __future__ import annotations

from collections.abc import Iterator

import tenseal.sealapi as seal

from mpcseg.ckks.assignment import SUM_LEVEL
from mpcseg.ckks.key_material import load_public_key
from mpcseg.ckks.packing import Block
from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.serialization import CiphertextShape, pack_ciphertext


def feature_shape(parameters: ParameterSet) -> CiphertextShape:
    """Features enter the circuit at the top."""
    return CiphertextShape(parameters.n_levels)


PRESENCE_SHAPE = CiphertextShape(SUM_LEVEL)
"""Presence enters only the last product: uploading it at that level saves three quarters of it."""


class BlockEncryptor:
    """Encrypts blocks of records. Runs on a party node, with the public key only.

    Args:
        parameters: of the study.
        public_key: as received, its signature already verified.

    Raises:
        MalformedBlobError: not a public key of this parameter set.
    """

    def __init__(self, parameters: ParameterSet, public_key: bytes) -> None:
        self._parameters = parameters
        context = parameters.ring.context
        self._encryptor = seal.Encryptor(context, load_public_key(parameters, public_key))
        self._encoder = seal.CKKSEncoder(context)

    def encrypt(self, block: Block) -> Iterator[bytes]:
        """Encrypt a block row by row.

        Args:
            block: shape (d + 1, slots).

        Yields:
            d feature ciphertexts, then the presence ciphertext, as blobs.
        """
        for row in range(len(block)):
            yield self.encrypt_row(block, row)

    def encrypt_row(self, block: Block, row: int) -> bytes:
        """Encrypt one row of a block: a feature's, or the last one, presence.

        Args:
            block: shape (d + 1, slots).
            row: from 0 to d.
        """
        is_presence = row == len(block) - 1
        level = SUM_LEVEL if is_presence else self._parameters.n_levels
        return self._encrypt_row(block[row].tolist(), level)

    def _encrypt_row(self, slots: list[float], level: int) -> bytes:
        plain, ciphertext = seal.Plaintext(), seal.Ciphertext()
        parms_id = self._parameters.ring.parms_id(level)
        self._encoder.encode(slots, parms_id, TARGET_SCALE, plain)
        self._encryptor.encrypt(plain, ciphertext)
        return pack_ciphertext(self._parameters, ciphertext.save)
