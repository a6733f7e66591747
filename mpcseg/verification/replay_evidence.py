"""Is the evidence what the compute node committed to? Steps 1 to 3 of a replay.

Everything here is foreign: sizes are checked before anything is read, digests before anything is
understood, and SEAL sees nothing at all.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import stat
from pathlib import Path
from typing import Any

from mpcseg.ckks.serialization import longest_partial
from mpcseg.ckks.slot_sum import SEED_BYTES, seed_commitment
from mpcseg.engine.evidence import MANIFEST_FILE, round_manifest
from mpcseg.engine.round_secrets import SEED_FILE
from mpcseg.engine.rounds import RoundTasks, RoundWork, Unit
from mpcseg.errors import BlobError, EvidenceError
from mpcseg.nodes.blob_checks import BlobChecks
from mpcseg.nodes.blob_store import StudyFiles
from mpcseg.nodes.planning import StudyPlan
from mpcseg.nodes.roles import Caller
from mpcseg.nodes.study_rules import block_names
from mpcseg.nodes.transport import Roster
from mpcseg.reference.hyperplanes import cluster_pairs
from mpcseg.study.spec import StudySpec
from mpcseg.verification.computed import ComputedRound, ComputedStudy
from mpcseg.wire.blobs import chunks_of_file
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName

_MANIFEST_BYTES = 64 << 20
_COPY = "Copy the compute node's storage folder once more, whole, before the study is closed."


class StorageEvidence:
    """A copy of the compute node's storage folder, checked against its log.

    Args:
        spec: the agreement.
        plan: of the study.
        study: what the log commits to.
        files: the folder.
    """

    def __init__(
        self, spec: StudySpec, plan: StudyPlan, study: ComputedStudy, files: StudyFiles
    ) -> None:
        self._spec = spec
        self._study = study
        self._files = files
        self._parameters = plan.circuit.parameters
        self._checks = BlobChecks(
            self._parameters, spec.most_clusters, spec.n_features, spec.column_layout
        )
        self._roster = Roster(spec)

    def n_blocks(self) -> dict[Caller, int]:
        """How many blocks each party uploaded.

        Raises:
            EvidenceError: the log's uploads are not whole blocks of the agreement's parties.
        """
        counts = {}
        for party in self._roster.parties:
            headers = self._study.blocks.get(party.name, ())
            count = sum(header.name.kind is BlobKind.PRESENCE for header in headers)
            names = block_names(count, self._spec.n_features, self._spec.column_layout)
            due = sorted(map(str, names))
            if count == 0 or sorted(str(header.name) for header in headers) != due:
                raise EvidenceError(
                    f"the log does not have every ciphertext of the blocks of {party}",
                    "It is not the log of a study that came to its rounds.",
                )
            counts[party] = count
        if set(self._study.blocks) != {party.name for party in self._roster.parties}:
            raise EvidenceError("the log has blocks of somebody who is no party of the agreement")
        return counts

    def verify_uploads(self) -> None:
        """Step 1: keys and blocks have the sizes and digests that the log has.

        Raises:
            EvidenceError: a file is missing, of another size, or not what the log says.
        """
        key = self._roster.key
        for header, kind in (
            (self._study.public_key, BlobKind.PUBLIC_KEY),
            (self._study.relinearisation_keys, BlobKind.RELINEARISATION_KEYS),
        ):
            if header.name != BlobName(kind):
                raise EvidenceError(f"the log names {header.name} where {kind.value} is due")
            self._verify_blob(self._files.path(key, header.name), header)
        for party in self._roster.parties:
            for header in self._study.blocks[party.name]:
                self._verify_blob(self._files.path(party, header.name), header)

    def verify_round(self, done: ComputedRound, work: RoundWork) -> None:
        """Step 1 for a round: hyperplanes and releases.

        Raises:
            EvidenceError: a file is missing, of another size, or not what the log says.
        """
        sign, index = done.order.sign, done.order.index
        n_pairs = len(cluster_pairs(work.n_clusters))
        planes = [
            BlobName(BlobKind.HYPERPLANE, index, pair, part)
            for pair in range(n_pairs if done.order.takes_hyperplanes else 0)
            for part in range(self._spec.n_features + 1)
        ]
        n_sums = math.prod(work.shape)
        releases = [BlobName(BlobKind.RELEASE, index, item) for item in range(n_sums)]
        for headers, due, what in (
            (done.hyperplanes, planes, "hyperplanes"),
            (done.releases, releases, "releases"),
        ):
            if [header.name for header in headers] != due:
                raise EvidenceError(
                    f"round {index}: the log has other {what} than this round must have"
                )
        for header in done.hyperplanes:
            path = self._files.path(self._roster.key, header.name)
            self._verify_blob(path, header, sign, work.n_clusters)
        for header in done.releases:
            self._verify_blob(self._files.release_path(header.name), header)

    def verified_seed(self, done: ComputedRound) -> bytes:
        """Step 2: the seed of a round, which opens its commitment.

        Raises:
            EvidenceError: it does not.
        """
        index = done.order.index
        path = self._files.evidence_folder(index) / SEED_FILE
        _verify_size(path, f"the seed of round {index}", exactly=SEED_BYTES)
        seed = path.read_bytes()
        if not hmac.compare_digest(seed_commitment(seed), done.seed_commitment):
            raise EvidenceError(
                f"round {index}: the seed is not the one that the compute node committed to",
                "Masks and re-randomisation cannot be trusted to follow from it.",
            )
        return seed

    def verified_partials(self, done: ComputedRound, work: RoundWork) -> dict[str, str]:
        """Step 3: the digest of each partial sum of a round, by file name.

        Raises:
            EvidenceError: the manifest is not the committed one, or not that of this round; or a
                partial sum is not what it says.
        """
        index = done.order.index
        folder = self._files.evidence_folder(index)
        path = folder / MANIFEST_FILE
        what = f"the manifest of round {index}"
        _verify_size(path, what, at_most=_MANIFEST_BYTES)
        manifest = path.read_bytes()
        if hashlib.sha256(manifest).hexdigest() != done.manifest_sha256:
            raise EvidenceError(f"{what} is not the one that the compute node committed to", _COPY)
        units = units_of(work)
        digests = _digests(manifest, what)
        if set(digests) != {name for unit in units for name in unit.files} or manifest != (
            round_manifest(work, self._parameters.name, units, digests, done.releases)
        ):
            raise EvidenceError(
                f"{what} names other work than the agreed circuit has",
                "Replay with the version of mpcseg that the compute node ran.",
            )
        for name, digest in digests.items():
            place = f"round {index}: the partial sum {name}"
            _verify_size(folder / name, place, at_most=longest_partial(self._parameters))
            if _sha256(folder / name).hex() != digest:
                raise EvidenceError(f"{place} is not what its manifest says", _COPY)
        return digests

    def _verify_blob(
        self, path: Path, header: BlobHeader, sign: tuple[int, ...] = (), n_clusters: int = 0
    ) -> None:
        try:
            self._checks.verify_length(header, sign, n_clusters)
        except BlobError as error:
            raise EvidenceError(error.message, error.hint) from None
        if header.length > self._checks.limit(header.name, sign, n_clusters):
            raise EvidenceError(f"{header.name} is longer in the log than such a blob can be")
        what = f"{header.name} of {path.parent.name}"
        _verify_size(path, what, exactly=header.length)
        if _sha256(path) != header.sha256:
            raise EvidenceError(f"{what} is not what the compute node's log has", _COPY)


def units_of(work: RoundWork) -> list[Unit]:
    """The units of a round; their names do not depend on where files stand."""
    return RoundTasks(work, Path(), Path()).units


def _digests(manifest: bytes, what: str) -> dict[str, str]:
    try:
        content: Any = json.loads(manifest)
        files = [file for unit in content["units"] for file in unit["files"]]
        digests = {str(file["name"]): str(file["sha256"]) for file in files}
    except (ValueError, TypeError, LookupError, RecursionError):
        raise EvidenceError(f"{what} cannot be read") from None
    return digests


def _verify_size(path: Path, what: str, *, exactly: int = -1, at_most: int = -1) -> None:
    try:
        found = path.lstat()
    except OSError:
        raise EvidenceError(f"the evidence lacks {what}", _COPY) from None
    if not stat.S_ISREG(found.st_mode):
        raise EvidenceError(f"{what} is no plain file", _COPY)
    if found.st_size != exactly and exactly >= 0:
        raise EvidenceError(f"{what} has {found.st_size} bytes; {exactly} are due", _COPY)
    if at_most >= 0 and found.st_size > at_most:
        raise EvidenceError(f"{what} has {found.st_size} bytes; at most {at_most} can be", _COPY)


def _sha256(path: Path) -> bytes:
    digest = hashlib.sha256()
    for chunk in chunks_of_file(path):
        digest.update(chunk.data)
    return digest.digest()
