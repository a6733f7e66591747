"""What the compute node keeps of a round, so that its work can be shown: partial sums and a seed.

A round's folder of evidence holds the partial sums that its releases add up, the round's secret
seed and noise (:mod:`mpcseg.engine.round_secrets`), and a manifest: canonical JSON (RFC 8785) with
the digest of every partial sum and release. What is computed between uploads and partial sums is
cut into units, each of which can be recomputed by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import rfc8785

from mpcseg.ckks.slot_sum import seed_commitment
from mpcseg.durable import sync_file, write_private
from mpcseg.engine.rounds import RoundWork, Unit
from mpcseg.wire.blobs import header_of
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName

MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True)
class RoundEvidence:
    """What the compute node commits to before the key node decrypts anything of a round.

    Attributes:
        seed_commitment: hex, see :func:`mpcseg.ckks.slot_sum.seed_commitment`.
        manifest_sha256: hex, of the manifest's bytes.
        n_units: units that can be replayed by themselves.
        releases: name, length and digest of each masked slot sum.
    """

    seed_commitment: str
    manifest_sha256: str
    n_units: int
    releases: tuple[BlobHeader, ...]


@dataclass(frozen=True)
class RoundResult:
    """What a round gives.

    Attributes:
        blobs: masked slot sums, in the order of the round's sums (row-major).
        evidence: of how they came about.
    """

    blobs: list[bytes] = field(repr=False)
    evidence: RoundEvidence


def round_manifest(
    work: RoundWork,
    parameters: str,
    units: Sequence[Unit],
    digests: Mapping[str, str],
    releases: Sequence[BlobHeader],
) -> bytes:
    """The manifest of a round: canonical, so that it can be made again from its digests.

    Args:
        work: the round.
        parameters: name of the parameter set.
        units: all of the round, in their order.
        digests: hex SHA-256 of each partial sum, by its file's name.
        releases: in the order of the round's sums.
    """
    return rfc8785.dumps(
        {
            "version": 1,
            "round": {"index": work.index, "kind": work.kind, "sign": list(work.sign)},
            "parameters": parameters,
            "units": [
                {
                    "name": unit.name,
                    "files": [{"name": f, "sha256": digests[f]} for f in unit.files],
                }
                for unit in units
            ],
            "releases": [
                {"name": str(header.name), "sha256": header.sha256.hex()} for header in releases
            ],
        }
    )


def write_evidence(
    folder: Path,
    work: RoundWork,
    parameters: str,
    units: Sequence[Unit],
    digests: Mapping[str, str],
    blobs: Sequence[bytes],
) -> RoundEvidence:
    """Put the manifest beside the partial sums, all of it on disk. Compute node, after each round.

    Args:
        folder: of the round's evidence.
        work: the round.
        parameters: name of the parameter set.
        units: all of the round.
        digests: hex SHA-256 of each partial sum, by its file's name.
        blobs: the releases.
    """
    releases = tuple(release_header(work.index, item, blob) for item, blob in enumerate(blobs))
    manifest = round_manifest(work, parameters, units, digests, releases)
    # What the log will commit to must not be gone after a power cut.
    for name in digests:
        sync_file(folder / name)
    write_private(folder / MANIFEST_FILE, manifest)
    return RoundEvidence(
        seed_commitment=seed_commitment(work.seed),
        manifest_sha256=hashlib.sha256(manifest).hexdigest(),
        n_units=len(units),
        releases=releases,
    )


def release_header(index: int, item: int, blob: bytes) -> BlobHeader:
    """Announce a release of a round."""
    return header_of(BlobName(BlobKind.RELEASE, round=index, item=item), blob)
