"""``mpcseg study``: the agreement, from a draft to its closing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mpcseg.cli import closing
from mpcseg.cli import renewal as renewal_commands
from mpcseg.cli.agreed import renewed_agreement
from mpcseg.cli.options import RenewalOption
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.cli.study_new import new
from mpcseg.cli.study_screen import (
    print_checks,
    print_digest,
    print_signatures,
    print_terms,
    print_verdict,
)
from mpcseg.cli.study_status import status
from mpcseg.errors import ConfigError, MpcsegError
from mpcseg.study.agreement import (
    AGREEMENT_SUFFIX,
    Agreement,
    Check,
    is_agreement,
    load_agreement,
    load_unsigned,
    utc_today,
    verify_member,
    write_agreement,
)
from mpcseg.study.closing import RECORD_BYTES, verify_record
from mpcseg.study.documents import read_bytes
from mpcseg.study.policy import load_policy, verify_policy
from mpcseg.study.renewal import Renewal
from mpcseg.study.spec import StudySpec

app = typer.Typer(
    help="The agreement of a study, from its draft to its closing.", no_args_is_help=True
)
app.command("new")(new)
app.command("status")(status)
app.add_typer(renewal_commands.app, name="renewal")

PolicyOption = Annotated[
    Path | None,
    typer.Option("--policy", help="This organisation's own policy (TOML), which must allow it."),
]


@app.command("sign")
def sign(
    *,
    file: Annotated[Path, typer.Argument(help="A draft (TOML) or an agreement file.")],
    identity: Annotated[
        Path, typer.Option("--identity", help="Folder made by `mpcseg identity new`.")
    ],
    policy: PolicyOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Where the agreement is written; beside a draft as STUDY.agreement, and an "
            "agreement file in its own place, if left out.",
        ),
    ] = None,
) -> None:
    """Sign a study in the name of this organisation.

    A draft is frozen into an agreement file and signed; an agreement file gets one signature more.
    Send it on until everybody has signed; an organisation with two roles signs once. Read
    `mpcseg study show FILE` first, and compare the digest with the others by telephone: who has
    the same digest has the same agreement.
    """
    agreement = load_unsigned(file)
    spec = agreement.spec
    is_frozen = is_agreement(file)
    target = output or (file if is_frozen else file.with_name(spec.name + AGREEMENT_SUFFIX))
    if target != file and target.exists():
        agreement = _merged(agreement, load_agreement(target), target)
    if policy is not None:
        verify_policy(load_policy(policy), spec)
    agreement.verify_signable(utc_today())
    console = Console()
    print_terms(spec, console)
    print_digest(spec, console)
    own = load_own_identity(identity)
    signed = agreement.signed_by(own)
    write_agreement(signed, target)
    print_signatures(signed, console)
    if own.name in agreement.signatures:
        console.print(f"{own.name} has signed already: nothing is added", highlight=False)
    console.print(f"agreement: {target}", markup=False, highlight=False, soft_wrap=True)


@app.command("show")
def show(
    file: Annotated[Path, typer.Argument(help="A draft (TOML) or an agreement file.")],
) -> None:
    """Show what a draft or an agreement says, and who has signed it."""
    agreement = load_unsigned(file)
    console = Console()
    print_terms(agreement.spec, console)
    print_digest(agreement.spec, console)
    if is_agreement(file):
        print_signatures(agreement, console)
    else:
        console.print("This is a draft: nobody has signed it, and it can still be changed.")


@app.command("verify")
def verify(
    *,
    file: Annotated[Path, typer.Argument(help="The agreement file.")],
    identity: Annotated[
        Path | None,
        typer.Option(
            "--identity", help="Check that this organisation stands in it with its own card."
        ),
    ] = None,
    policy: PolicyOption = None,
    renewal: RenewalOption = None,
    record: Annotated[
        Path | None,
        typer.Option(
            "--closing",
            help="Check this closing record as well. The study may be over by then: its dates "
            "are not checked.",
        ),
    ] = None,
) -> None:
    """Check everything that a node checks before it runs a study; needs no node and no network.

    The exit status is that of the first check that failed.
    """
    agreement, renewals = renewed_agreement(file, renewal or ())
    checks = [Check("file", f"canonical JSON, {len(agreement.canonical):,} bytes")]
    checks += [_renewal_check(one) for one in renewals]
    checks += agreement.checks(None if record else utc_today())
    if identity is not None:
        checks.append(_own_card_check(identity, agreement.spec))
    if policy is not None:
        checks.append(_policy_check(policy, agreement.spec))
    if record is not None:
        checks.append(_closing_check(record, agreement.spec))
    console = Console()
    print_checks(checks, console)
    print_digest(agreement.spec, console)
    failed = next((check.error for check in checks if check.error), None)
    if failed:
        raise failed
    print_verdict(checks, console, is_over=record is not None)


app.command("withdraw")(closing.withdraw)
app.command("close")(closing.close)


def _merged(agreement: Agreement, other: Agreement, path: Path) -> Agreement:
    """The signatures of two files, which must be of the same agreement."""
    if other.spec.digest != agreement.spec.digest:
        raise ConfigError(
            f"{path} exists already, and holds another agreement",
            "Choose another --output, or move it away if it is out of date.",
        )
    return Agreement(agreement.spec, {**other.signatures, **agreement.signatures})


def _renewal_check(renewal: Renewal) -> Check:
    names = ", ".join(renewal.terms.certificates)
    return Check(f"renewal, version {renewal.terms.version}", f"signed by all, for {names}")


def _own_card_check(folder: Path, spec: StudySpec) -> Check:
    own = load_own_identity(folder)
    try:
        verify_member(spec, own)
    except MpcsegError as error:
        return Check("own card", own.card.spoken, error)
    return Check("own card", own.card.spoken)


def _policy_check(path: Path, spec: StudySpec) -> Check:
    try:
        verify_policy(load_policy(path), spec)
    except MpcsegError as error:
        return Check("own policy", str(path), error)
    return Check("own policy", str(path))


def _closing_check(path: Path, spec: StudySpec) -> Check:
    try:
        data = read_bytes(path, "the closing record", limit=RECORD_BYTES)
        record = verify_record(spec, data)
    except MpcsegError as error:
        return Check("closing record", str(path), error)
    destroyed = "destroyed" if record.key_destroyed else "not said to be destroyed"
    return Check(
        "closing record",
        f"{record.reason} {record.time}, {record.purged.n_blobs} blobs deleted, secret key "
        f"{destroyed}",
    )
