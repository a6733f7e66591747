"""What the compute node's audit log committed to: the digests that its evidence must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mpcseg.audit.log_file import LogFile, read_log, signed_part
from mpcseg.audit.records import (
    Blob,
    BlocksCommitted,
    Received,
    Released,
    RoundEvaluated,
    RoundOpened,
)
from mpcseg.errors import EvidenceError, LogError
from mpcseg.nodes.study_rules import RoundOrder, block_names
from mpcseg.study.spec import StudySpec
from mpcseg.verification.evidence import last_computed, records_of
from mpcseg.wire.names import BlobHeader, BlobKind, BlobName, parse_name


@dataclass(frozen=True)
class ComputedRound:
    """One round, as the log has it.

    Attributes:
        order: kind, index and sign.
        hyperplanes: every entry of every pair's hyperplane, in the order of their names; empty
            for admission and moments.
        seed_commitment: hex, to the seed of the round's masks.
        manifest_sha256: hex, of the manifest of partial sums.
        releases: in the order of the round's sums.
    """

    order: RoundOrder
    hyperplanes: tuple[BlobHeader, ...]
    seed_commitment: str
    manifest_sha256: str
    releases: tuple[BlobHeader, ...]


@dataclass(frozen=True)
class ComputedStudy:
    """A study, as the log has it.

    Attributes:
        public_key: as received.
        relinearisation_keys: as received.
        blocks: by the party's name, every feature and presence that it uploaded.
        rounds: in their order.
    """

    public_key: BlobHeader
    relinearisation_keys: BlobHeader
    blocks: Mapping[str, tuple[BlobHeader, ...]]
    rounds: tuple[ComputedRound, ...]


def read_compute_log(path: Path, spec: StudySpec) -> LogFile:
    """The compute node's log, as far as its organisation has signed it.

    Raises:
        EvidenceError: there is no log, it is another node's, or nothing of it is signed.
        LogError: it is damaged, or does not hold together.
    """
    log = signed_part(read_log(path, spec))
    if log.role != "compute":
        raise EvidenceError(f"{path} is {log}", "Give the compute node's own.")
    return log


def computed_study(log: LogFile, spec: StudySpec) -> ComputedStudy:
    """Read what the compute node's log commits to, in the last run that computed anything.

    Whether this is what was decrypted: `mpcseg.verification.evidence.verify_decrypted_is_released`.

    Args:
        log: as `read_compute_log` gives it.
        spec: the agreement.

    Raises:
        EvidenceError: no round stands in it.
        LogError: it does not hold together.
    """
    run = last_computed(log)
    opened = {record.round: record for record in records_of(run, RoundOpened)}
    evaluated = records_of(run, RoundEvaluated)
    if not evaluated or any(record.round not in opened for record in evaluated):
        raise EvidenceError(
            f"no round of the study stands in {log.path}", "It ended before the first one."
        )
    received: dict[tuple[str, str], dict[BlobName, BlobHeader]] = {}
    for record in records_of(run, Received):
        # What a party sends again as another process takes the place of what it sent before.
        header = _header(record)
        received.setdefault((record.peer_role, record.peer), {})[header.name] = header
    keys = received.get(("key", spec.key.name), {})
    releases = [_header(record) for record in records_of(run, Released)]
    return ComputedStudy(
        public_key=_key(keys, BlobKind.PUBLIC_KEY, log.path),
        relinearisation_keys=_key(keys, BlobKind.RELINEARISATION_KEYS, log.path),
        blocks={
            committed.party: _blocks(received, committed, spec)
            for committed in records_of(run, BlocksCommitted)
        },
        rounds=tuple(_round(one, opened[one.round], keys, releases) for one in evaluated),
    )


def _header(record: Blob) -> BlobHeader:
    try:
        name = parse_name(record.blob)
    except ValueError:
        raise LogError("the audit log speaks of a blob that has no name") from None
    return BlobHeader(name, record.n_bytes, bytes.fromhex(record.sha256))


def _key(keys: Mapping[BlobName, BlobHeader], kind: BlobKind, path: Path) -> BlobHeader:
    header = keys.get(BlobName(kind))
    if header is None:
        raise EvidenceError(f"{path} does not say that the {kind.value} came")
    return header


def _blocks(
    received: Mapping[tuple[str, str], Mapping[BlobName, BlobHeader]],
    committed: BlocksCommitted,
    spec: StudySpec,
) -> tuple[BlobHeader, ...]:
    """The committed ones, as far as they came; whether they are all is for the replay."""
    came = received.get(("party", committed.party), {})
    count = min(committed.n_blocks, len(came))
    names = block_names(count, spec.n_features, spec.column_layout)
    return tuple(came[name] for name in names if name in came)


def _round(
    evaluated: RoundEvaluated,
    opened: RoundOpened,
    keys: Mapping[BlobName, BlobHeader],
    releases: Sequence[BlobHeader],
) -> ComputedRound:
    index = evaluated.round
    planes = sorted(
        name for name in keys if name.kind is BlobKind.HYPERPLANE and name.round == index
    )
    return ComputedRound(
        order=RoundOrder(opened.kind, index, opened.sign, opened.n_clusters),
        hyperplanes=tuple(keys[name] for name in planes),
        seed_commitment=evaluated.seed_commitment,
        manifest_sha256=evaluated.manifest,
        releases=tuple(header for header in releases if header.name.round == index),
    )
