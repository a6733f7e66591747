"""``mpcseg study close`` and ``withdraw``: how an organisation ends a study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpcseg.cli.agreed import study_to_end
from mpcseg.cli.config import verify_address
from mpcseg.cli.options import PatienceOption, RenewalOption
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.cli.progress import ProgressMode, open_progress
from mpcseg.report.files import verify_output_file, write_text
from mpcseg.study.agreement import verify_member
from mpcseg.study.closing import ClosingRecord, verify_record
from mpcseg.study.spec import StudySpec

DEFAULT_PATIENCE = 30.0

AgreementArgument = Annotated[Path, typer.Argument(help="The agreement file.")]
OwnIdentityOption = Annotated[
    Path, typer.Option("--identity", help="Folder made by `mpcseg identity new`.")
]
ComputeOption = Annotated[str, typer.Option("--address", help="The compute node, as HOST:PORT.")]
RecordOption = Annotated[
    Path | None,
    typer.Option("--record", help="Write the signed closing record here (JSON)."),
]


def close(
    *,
    file: AgreementArgument,
    identity: OwnIdentityOption,
    address: ComputeOption,
    renewal: RenewalOption = None,
    record: RecordOption = None,
    patience: PatienceOption = None,
) -> None:
    """Close a study: the compute node deletes every ciphertext, key and sealed result.

    For the organisation of the key node or of the compute node. A study that still computes is
    stopped, and the key node destroys its secret key. What is left is a closing record, signed by
    the compute node's organisation; `mpcseg study verify FILE --closing RECORD` checks it.
    """
    from mpcseg.nodes.requests import close_study  # noqa: PLC0415  gRPC takes a while to import

    verify_address(address)
    if record is not None:
        verify_output_file(record)
    spec = study_to_end(file, renewal or ())
    own = load_own_identity(identity)
    verify_member(spec, own)
    with open_progress(ProgressMode.AUTO) as progress:
        content = close_study(spec, own, address, progress, patience=patience or DEFAULT_PATIENCE)
    _report(spec, content, record)


def withdraw(
    *,
    file: AgreementArgument,
    identity: OwnIdentityOption,
    address: ComputeOption,
    renewal: RenewalOption = None,
    record: RecordOption = None,
    patience: PatienceOption = None,
) -> None:
    """Withdraw from a study before its first round: its ciphertexts are deleted, it ends for all.

    For a party. From the first round on, sums over all parties' records are decrypted already.
    """
    from mpcseg.nodes.requests import withdraw as ask  # noqa: PLC0415  as above

    verify_address(address)
    if record is not None:
        verify_output_file(record)
    spec = study_to_end(file, renewal or ())
    own = load_own_identity(identity)
    verify_member(spec, own)
    with open_progress(ProgressMode.AUTO) as progress:
        content = ask(spec, own, address, progress, patience=patience or DEFAULT_PATIENCE)
    _report(spec, content, record)


def _report(spec: StudySpec, content: bytes, path: Path | None) -> None:
    for line in _lines(spec, verify_record(spec, content)):
        typer.echo(line)
    if path is not None:
        write_text(path, content.decode("utf-8"))
        typer.echo(f"closing record: {path}")


def _lines(spec: StudySpec, record: ClosingRecord) -> list[str]:
    """A closing record for a person."""
    blobs = "1 blob" if record.purged.n_blobs == 1 else f"{record.purged.n_blobs:,} blobs"
    lines = [
        f"the study {spec.name} is over ({record.reason}, {record.time})",
        f"{spec.compute.name} deleted {blobs}, {record.purged.n_bytes / 1e6:,.1f} MB",
    ]
    statement = record.key_destroyed
    if statement is None:
        lines.append(f"{spec.key.name} has not said that the secret key is destroyed")
    else:
        lines.append(
            f"{spec.key.name} destroyed the secret key ({statement.time}), after "
            f"{statement.decrypted_values:,} decrypted sums"
        )
    return lines
