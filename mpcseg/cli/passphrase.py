"""The passphrase of an identity: from the environment, a file, or asked for on a terminal."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from mpcseg.errors import PassphraseError
from mpcseg.study.documents import read_bytes
from mpcseg.study.identity import Identity, is_locked, load_identity

PASSPHRASE_VARIABLE = "MPCSEG_PASSPHRASE"  # noqa: S105  a name
PASSPHRASE_FILE_VARIABLE = "MPCSEG_PASSPHRASE_FILE"  # noqa: S105  a name

_LONGEST_FILE = 4096


def load_own_identity(folder: Path) -> Identity:
    """This organisation's identity; asks for its passphrase where it has one.

    Args:
        folder: made by ``mpcseg identity new`` or ``renew``.

    Raises:
        ConfigError: the identity, or the file of its passphrase, is absent, unreadable or not in
            order.
        PassphraseError: the passphrase is wrong, or there is nobody to ask.
    """
    return load_identity(folder, own_passphrase(folder))


def own_passphrase(folder: Path) -> str | None:
    """The passphrase of the identity in a folder; None where it has none. Raises as above."""
    if not is_locked(folder):
        return None
    return _passphrase(f"Passphrase of the identity in {folder}: ")


def new_passphrase() -> str:
    """A passphrase for a new identity, asked for twice.

    Raises:
        PassphraseError: the two differ, or there is nobody to ask.
    """
    is_typed = not {PASSPHRASE_VARIABLE, PASSPHRASE_FILE_VARIABLE} & os.environ.keys()
    given = _passphrase("Passphrase for the new identity: ")
    if is_typed and _ask("The same again: ") != given:
        raise PassphraseError("the two passphrases differ", "Try again; nothing was made.")
    return given


def _passphrase(question: str) -> str:
    # Taken out, so that worker processes do not inherit it.
    given = os.environ.pop(PASSPHRASE_VARIABLE, None)
    if given is not None:
        return given
    file = os.environ.get(PASSPHRASE_FILE_VARIABLE)
    if file is not None:
        return _passphrase_in(Path(file))
    if not sys.stdin.isatty():
        raise PassphraseError(
            "the identity's passphrase is needed, and there is no terminal to ask for it",
            f"Set {PASSPHRASE_VARIABLE} or {PASSPHRASE_FILE_VARIABLE}, or run this on a terminal.",
        )
    return _ask(question)


def _passphrase_in(path: Path) -> str:
    """What a file holds, as containers are given secrets, without the newline at its end."""
    try:
        text = read_bytes(path, "the file of the passphrase", limit=_LONGEST_FILE).decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or not text.isprintable():
        raise PassphraseError(
            f"{path} holds no passphrase",
            f"{PASSPHRASE_FILE_VARIABLE} must name a file with one line, the passphrase.",
        )
    return text


def _ask(question: str) -> str:
    try:
        return getpass.getpass(question)
    except EOFError:
        raise PassphraseError("no passphrase was given", "Try again.") from None
