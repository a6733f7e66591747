"""What a node keeps of a study for longer than its ciphertexts: ledger, closing record.

Runs on: compute node, which names both after the agreement, so that a folder can serve many
studies; of the ledger also the key node.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mpcseg.audit.log import LOG_DIGITS
from mpcseg.audit.records import Entry
from mpcseg.durable import on_disk, write_private
from mpcseg.errors import StudyClosedError
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.resume import restore_ledger
from mpcseg.privacy.budget import NoisePlan
from mpcseg.privacy.ledger import Ledger
from mpcseg.study.closing import RECORD_BYTES, verify_record
from mpcseg.study.documents import read_bytes
from mpcseg.study.spec import StudySpec


def ledger_path(storage: Path, spec: StudySpec) -> Path:
    """Return where the privacy ledger of an agreement stands; it survives the study."""
    return storage / f"ledger-{spec.digest[:LOG_DIGITS]}.json"


def open_ledger(
    path: Path, noise: NoisePlan, spec: StudySpec, earlier: Sequence[Entry], progress: Progress
) -> Ledger:
    """Read a node's privacy ledger, and enter what its log has paid and the ledger does not know.

    Args:
        path: of the ledger.
        noise: of the study.
        spec: the study.
        earlier: entries of this node's own log.
        progress: told where the ledger was behind.

    Raises:
        ConfigError: the file is no ledger, or belongs to another agreement.
        LogError: a round was paid for that was never opened.
        StorageError: it cannot be written.
    """
    ledger = Ledger.load(path, noise, spec.digest)
    if restore_ledger(ledger, earlier):
        ledger.save(path)
        progress.message("rounds that the privacy ledger did not know are entered again")
    return ledger


def record_path(storage: Path, spec: StudySpec) -> Path:
    """Return where the closing record of an agreement stands."""
    return storage / f"closing-{spec.digest[:LOG_DIGITS]}.json"


def verify_not_closed(storage: Path, spec: StudySpec) -> None:
    """Check that the study was not closed before; one that was aborted may be run again.

    Raises:
        StudyClosedError: it was closed, withdrawn from, or its retention ended.
        AgreementError: a file stands there that is not the closing record.
    """
    path = record_path(storage, spec)
    if not path.exists():
        return
    record = verify_record(spec, read_bytes(path, "the closing record", limit=RECORD_BYTES))
    if record.reason != "aborted":
        raise StudyClosedError(
            f"the study '{spec.name}' ended on {record.time} ({record.reason})",
            f"The closing record is {path}. Another run needs a new agreement.",
        )


def write_record(storage: Path, spec: StudySpec, record: bytes) -> None:
    """Write the closing record, whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    path = record_path(storage, spec)
    with on_disk(path):
        write_private(path, record)
