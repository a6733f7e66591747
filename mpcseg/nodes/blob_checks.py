"""What a blob must look like at its place, by length before it is read and by content after.

Runs on: compute node; the key node and the parties take the lengths of what they fetch from here.
"""

from __future__ import annotations

from pathlib import Path

from mpcseg.ckks.assignment import hyperplane_scales, start_level
from mpcseg.ckks.encryption import PRESENCE_SHAPE, column_shape, feature_shape
from mpcseg.ckks.key_material import key_bytes_limit, refuse_secret_key, verify_public_key
from mpcseg.ckks.parameters import TARGET_SCALE, ParameterSet
from mpcseg.ckks.serialization import CiphertextShape, ciphertext_bytes, verify_ciphertext
from mpcseg.ckks.slot_sum import SLOT_SUM_SHAPE
from mpcseg.engine.key_check import KeyCheck
from mpcseg.errors import MalformedBlobError
from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName

_KEYS = (BlobKind.PUBLIC_KEY, BlobKind.RELINEARISATION_KEYS)
_INEXACT = (*_KEYS, BlobKind.RESULT)


class BlobChecks:
    """Lengths and shapes of a study's blobs.

    Args:
        parameters: of the study.
        n_clusters: clusters (k); where the agreement leaves them open, the most of them.
        n_features: features per block (d).
        columns: profile columns.
        result_bytes: the most that one recipient's sealed results can have; for the compute node.
    """

    def __init__(
        self,
        parameters: ParameterSet,
        n_clusters: int,
        n_features: int,
        columns: ColumnLayout = NO_COLUMNS,
        *,
        result_bytes: int = 0,
    ) -> None:
        self._parameters = parameters
        self._n_clusters = n_clusters
        self._n_features = n_features
        self._columns = columns
        self._result_bytes = result_bytes
        self._key_check = KeyCheck(parameters)

    def limit(self, name: BlobName, sign: tuple[int, ...] = (), n_clusters: int = 0) -> int:
        """Return the length in bytes: exact for ciphertexts, the largest possible otherwise.

        Args:
            name: which blob.
            sign: degrees of the open round's sign polynomial, for a hyperplane.
            n_clusters: of the open round, for a hyperplane; 0 where the agreement fixes them.
        """
        if name.kind is BlobKind.RESULT:
            return self._result_bytes
        if name.kind in _KEYS:
            if name.kind is BlobKind.RELINEARISATION_KEYS:
                return key_bytes_limit(self._parameters, relinearisation=True)
            # Room for a secret key, so that one sent by mistake is refused as what it is.
            return 2 * key_bytes_limit(self._parameters, relinearisation=False) + 1024
        return ciphertext_bytes(self._parameters, self._shape(name, sign, n_clusters))

    def verify_length(
        self, header: BlobHeader, sign: tuple[int, ...] = (), n_clusters: int = 0
    ) -> None:
        """Check that no ciphertext is announced as too short, before anything is read.

        Whoever receives it refuses what is over the limit.

        Raises:
            MalformedBlobError: shorter, where the length is exact.
        """
        limit = self.limit(header.name, sign, n_clusters)
        if header.name.kind not in _INEXACT and header.length < limit:
            raise MalformedBlobError(
                f"{header.name} is announced with {header.length} bytes; it must have {limit}",
                "Both nodes must run the same version and the same parameter set.",
            )

    def verify_content(
        self, name: BlobName, path: Path, sign: tuple[int, ...] = (), n_clusters: int = 0
    ) -> None:
        """Check a whole blob that has arrived and is not accepted yet.

        Its digest, sender and length are checked before. No byte of it reaches SEAL in this
        process (ADR 0014).

        Raises:
            SecretKeyRefusedError: it holds a secret key.
            MalformedBlobError: it is not what must stand in its place.
        """
        blob = path.read_bytes()
        refuse_secret_key(blob)
        if name.kind is BlobKind.PUBLIC_KEY:
            verify_public_key(self._parameters, blob)
        elif name.kind is BlobKind.RELINEARISATION_KEYS:
            self._key_check.verify(path)
        elif name.kind is not BlobKind.RESULT:  # which its recipient alone can look into
            shape = self._shape(name, sign, n_clusters)
            verify_ciphertext(self._parameters, blob, shape, self._scale(name, shape))

    def _shape(self, name: BlobName, sign: tuple[int, ...], n_clusters: int) -> CiphertextShape:
        if name.kind is BlobKind.FEATURE:
            return feature_shape(self._parameters)
        if name.kind is BlobKind.PRESENCE:
            return PRESENCE_SHAPE
        if name.kind is BlobKind.COLUMN:
            return column_shape(self._parameters, self._columns, name.part)
        if name.kind is BlobKind.HYPERPLANE:
            k = n_clusters or self._n_clusters
            return CiphertextShape(start_level(k, sign), seeded=True)
        return SLOT_SUM_SHAPE

    def _scale(self, name: BlobName, shape: CiphertextShape) -> float:
        """Of what the compute node takes in: no releases, whose scales the key node knows."""
        if name.kind is BlobKind.HYPERPLANE:
            scales = hyperplane_scales(self._parameters, shape.level)
            return scales[1 if name.part == self._n_features else 0]
        return TARGET_SCALE
