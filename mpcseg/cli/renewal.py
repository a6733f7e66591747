"""``mpcseg study renewal``: new certificates for a study that has begun, signed by everybody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mpcseg.cli.agreed import study_to_end
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.cli.study_screen import print_checks
from mpcseg.errors import ConfigError
from mpcseg.study.agreement import Check
from mpcseg.study.card import load_card, spoken
from mpcseg.study.certificate import certificate_fingerprint
from mpcseg.study.renewal import (
    RENEWAL_SUFFIX,
    Renewal,
    load_renewal,
    new_renewal,
    write_renewal,
)
from mpcseg.study.spec import StudySpec

app = typer.Typer(
    help="New certificates for a study that has begun, signed by everybody.", no_args_is_help=True
)

AgreementArgument = Annotated[Path, typer.Argument(help="The agreement file.")]
FilesArgument = Annotated[
    list[Path],
    typer.Argument(help="The renewal file; the study's earlier renewals before it, in order."),
]


@app.command("new")
def new(
    *,
    agreement: AgreementArgument,
    earlier: Annotated[
        list[Path] | None, typer.Argument(help="The study's earlier renewals, in order.")
    ] = None,
    card: Annotated[
        list[Path],
        typer.Option("--card", help="A card that `mpcseg identity renew` made; may be repeated."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Where it is written; beside the agreement as STUDY-VERSION.renewal."
        ),
    ] = None,
) -> None:
    """Begin a renewal, the next version of a study's agreement: the same terms, new certificates.

    Nobody has signed it yet. Send it round for `mpcseg study renewal sign`; its digest is compared
    by telephone, as that of the agreement was. Signing keys and sealing keys cannot be changed.
    """
    spec = study_to_end(agreement, earlier or ())
    made = new_renewal(spec, [load_card(path) for path in card])
    made.verify_signable(spec)
    name = f"{spec.name}-{made.terms.version}{RENEWAL_SUFFIX}"
    target = output or agreement.with_name(name)
    if target.exists():
        raise ConfigError(
            f"{target} exists already",
            "Choose another --output, or move it away if it is out of date.",
        )
    write_renewal(made, target)
    _show_certificates(made, Console())
    _show(spec, made, target, Console())


@app.command("sign")
def sign(
    *,
    agreement: AgreementArgument,
    files: FilesArgument,
    identity: Annotated[
        Path,
        typer.Option(
            "--identity", help="This organisation's folder; the new one if it is being renewed."
        ),
    ],
) -> None:
    """Sign a renewal in the name of this organisation; every organisation of the study must.

    Compare the digest with the others by telephone first, and each new certificate with its owner.
    The owner signs with the new folder: a certificate that is not in it is not signed.
    """
    spec, renewal, path = _loaded(agreement, files)
    renewal.verify_signable(spec)
    console = Console()
    signed = renewal.signed_by(spec, load_own_identity(identity))
    write_renewal(signed, path)
    _show_certificates(signed, console)
    _show(spec, signed, path, console)


@app.command("verify")
def verify(*, agreement: AgreementArgument, files: FilesArgument) -> None:
    """Check everything that a node checks before it takes a renewal; needs no node and no network.

    The exit status is that of the first check that failed.
    """
    spec, renewal, path = _loaded(agreement, files)
    checks = [Check("file", f"canonical JSON, {len(renewal.canonical):,} bytes")]
    checks += renewal.checks(spec)
    console = Console()
    print_checks(checks, console)
    _show(spec, renewal, path, console)
    failed = next((check.error for check in checks if check.error), None)
    if failed:
        raise failed


def _loaded(agreement: Path, files: list[Path]) -> tuple[StudySpec, Renewal, Path]:
    """The study with all renewals before the last one, and the last one with its file."""
    *earlier, path = files
    return study_to_end(agreement, earlier), load_renewal(path), path


def _show_certificates(renewal: Renewal, console: Console) -> None:
    """Print each new certificate's fingerprint, to be compared with its owner's."""
    for name, text in renewal.terms.certificates.items():
        line = f"new certificate of {name}: SHA-256 {certificate_fingerprint(text.encode())}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _show(spec: StudySpec, renewal: Renewal, path: Path, console: Console) -> None:
    """Say what is renewed, the digest to be compared, and who has still to sign."""
    terms, missing = renewal.terms, renewal.missing(spec)
    if missing:
        todo = f"still missing: {', '.join(missing)}"
    else:
        todo = "Everybody has signed: give it to every node (--renewal), and start it again."
    for line in (
        f"renewal of study {spec.name}, version {terms.version}: new certificates of "
        f"{', '.join(terms.certificates)}",
        "Digest, the same for everybody who agrees:",
        terms.digest,
        f"to read out: {spoken(terms.digest)}",
        todo,
        f"renewal: {path}",
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
