"""Encryption of blocks under the study's public key (docs/protocol.md section 2). Party node."""

from __future__ import annotations

from collections.abc import Iterator

import tenseal.sealapi as seal

from mpcseg.ckks.assignment import SUM_LEVEL
from mpcseg.ckks.key_material import load_public_key
from mpcseg.ckks.packing import Block
from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.serialization import CiphertextShape, pack_ciphertext
from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout


def feature_shape(parameters: ParameterSet) -> CiphertextShape:
    """Features enter the circuit at the top."""
    return CiphertextShape(parameters.n_levels)


PRESENCE_SHAPE = CiphertextShape(SUM_LEVEL)
"""Presence enters only the last product: uploading it at that level saves three quarters of it."""


def column_shape(parameters: ParameterSet, columns: ColumnLayout, vector: int) -> CiphertextShape:
    """Of a vector of the profile columns.

    All enter only the last product. A label is uploaded at that level, as presence is, where it
    can be tested for being 0 or 1. A numeric column is uploaded as a feature is: the power that
    tests its bounds takes nearly all levels (docs/adr/0023).
    """
    return feature_shape(parameters) if vector < columns.n_numeric else PRESENCE_SHAPE


class BlockEncryptor:
    """Encrypts blocks of records. Runs on a party node, with the public key only.

    Args:
        parameters: of the study.
        public_key: as received, its signature already verified.
        columns: profile columns of the study.

    Raises:
        MalformedBlobError: not a public key of this parameter set.
    """

    def __init__(
        self,
        parameters: ParameterSet,
        public_key: bytes,
        columns: ColumnLayout = NO_COLUMNS,
    ) -> None:
        self._parameters = parameters
        self._columns = columns
        context = parameters.ring.context
        self._encryptor = seal.Encryptor(context, load_public_key(parameters, public_key))
        self._encoder = seal.CKKSEncoder(context)

    def encrypt(self, block: Block) -> Iterator[bytes]:
        """Encrypt a block row by row.

        Args:
            block: shape (d + 1 + v, slots).

        Yields:
            d feature ciphertexts, the presence ciphertext, then v of columns, as blobs.
        """
        for row in range(len(block)):
            yield self.encrypt_row(block, row)

    def encrypt_row(self, block: Block, row: int) -> bytes:
        """Encrypt one row of a block: a feature's, presence, or a vector of a column.

        Args:
            block: shape (d + 1 + v, slots).
            row: from 0 to d + v; d is presence.
        """
        vector = row - (len(block) - self._columns.n_vectors)
        if vector >= 0:
            shape = column_shape(self._parameters, self._columns, vector)
        else:
            shape = PRESENCE_SHAPE if vector == -1 else feature_shape(self._parameters)
        return self._encrypt_row(block[row].tolist(), shape.level)

    def _encrypt_row(self, slots: list[float], level: int) -> bytes:
        plain, ciphertext = seal.Plaintext(), seal.Ciphertext()
        parms_id = self._parameters.ring.parms_id(level)
        self._encoder.encode(slots, parms_id, TARGET_SCALE, plain)
        self._encryptor.encrypt(plain, ciphertext)
        return pack_ciphertext(self._parameters, ciphertext.save)
