"""``mpcseg identity``: an organisation's keys, and the card that the others know it by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mpcseg.cli.passphrase import new_passphrase, own_passphrase
from mpcseg.errors import ConfigError
from mpcseg.study.card import PublicCard, load_card
from mpcseg.study.certificate import certificate_name, load_certificate
from mpcseg.study.documents import read_bytes
from mpcseg.study.identity import (
    CERTIFICATE_FILE,
    DEFAULT_DAYS,
    card_path,
    load_identity,
    new_identity,
    renew_identity,
)

app = typer.Typer(
    help="Make and show an organisation's identity, and the cards of others.", no_args_is_help=True
)


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="The organisation's name, as in agreements.")],
    folder: Annotated[Path, typer.Option("--folder", help="Where the identity is kept.")],
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            help="Host name or IP address under which others reach this organisation's compute "
            "node, if it runs one; may be repeated.",
        ),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="How long it is valid.")] = DEFAULT_DAYS,
    protect: Annotated[
        bool,
        typer.Option(
            "--protect",
            help="Encrypt the private keys under a passphrase, from MPCSEG_PASSPHRASE or asked "
            "for. Every node and signature then needs it.",
        ),
    ] = False,
) -> None:
    """Make an organisation's keys: one for connections, one for signatures, one for results.

    Send the card, the file NAME.card, to the other organisations, and compare its fingerprint with
    them by telephone. The private keys stay in the folder: nobody ever asks for them.

    An organisation has one identity, however many nodes it runs. Where its nodes run on different
    machines (a compute or key node here, a party node there), copy the whole folder to each, in a
    way that nobody else can read, and do not make a second identity. --host then names the machine
    of the compute node. An organisation that would rather not share keys between machines can take
    part under two names, with an identity each.
    """
    passphrase = new_passphrase() if protect else None
    identity = new_identity(name, folder, host or (), days=days, passphrase=passphrase)
    _show(identity.card, card_path(folder, name))


@app.command("renew")
def renew(
    old: Annotated[Path, typer.Argument(help="The folder of the identity; it stays as it is.")],
    folder: Annotated[
        Path, typer.Option("--folder", help="Another folder, for the renewed identity.")
    ],
    host: Annotated[
        list[str] | None,
        typer.Option(
            "--host",
            help="As for `mpcseg identity new`; those of the old certificate if left out.",
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, help="How long the new certificate is valid.")
    ] = DEFAULT_DAYS,
) -> None:
    """Renew an identity's certificate: a new one, with a new key for connections, in a new folder.

    The keys for signatures and for results stay, and the passphrase if there is one. New studies
    take the new card. A study that has begun takes it when everybody has signed its renewal (see
    `mpcseg study renewal`); until then its nodes go on with the old folder. Destroy the private
    keys in the old folder when no node uses them any more.
    """
    passphrase = own_passphrase(old)
    known = load_identity(old, passphrase, may_have_ended=True)
    identity = renew_identity(known, folder, host, days=days, passphrase=passphrase)
    _show(identity.card, card_path(folder, identity.name))


@app.command("show")
def show(
    path: Annotated[
        Path, typer.Argument(help="The folder of an identity, or somebody's card (FILE.card).")
    ],
) -> None:
    """Show what a card says, with the fingerprint that organisations compare by telephone.

    Whoever sent the card reads out the numbers that this command shows there; they must be the
    numbers that it shows here. Nothing private is read.
    """
    _show(*_find(path))


def _find(path: Path) -> tuple[PublicCard, Path]:
    if not path.is_dir():
        return load_card(path), path
    certificate_pem = read_bytes(path / CERTIFICATE_FILE, "the certificate")
    own = card_path(path, certificate_name(certificate_pem))
    card = load_card(own)
    if card.certificate_pem != certificate_pem:
        raise ConfigError(
            f"{CERTIFICATE_FILE} and {own.name} in {path} do not belong together",
            "Take all files from the same call of: mpcseg identity new",
        )
    return card, own


def _show(card: PublicCard, path: Path) -> None:
    certificate = load_certificate(card.certificate_pem)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    typer.echo(f"card of {card.name}: {path}")
    typer.echo(f"valid: {begin:%Y-%m-%d} to {end:%Y-%m-%d}")
    typer.echo(f"fingerprint: {card.spoken}")
    typer.echo(f"certificate: SHA-256 {card.fingerprint}")
