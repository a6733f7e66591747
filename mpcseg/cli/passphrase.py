"""The passphrase of an identity: from the environment, or asked for on a terminal."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

from mpcseg.errors import PassphraseError
from mpcseg.study.identity import Identity, is_locked, load_identity

PASSPHRASE_VARIABLE = "MPCSEG_PASSPHRASE"  # noqa: S105  a name


def load_own_identity(folder: Path) -> Identity:
    """This organisation's identity; asks for its passphrase where it has one.

    Args:
        folder: made by ``mpcseg identity new``.

    Raises:
        ConfigError: the identity is absent, unreadable or not in order.
        PassphraseError: the passphrase is wrong, or there is nobody to ask.
    """
    if not is_locked(folder):
        return load_identity(folder)
    return load_identity(folder, _passphrase(f"Passphrase of the identity in {folder}: "))


def new_passphrase() -> str:
    """A passphrase for a new identity, asked for twice.

    Raises:
        PassphraseError: the two differ, or there is nobody to ask.
    """
    is_typed = PASSPHRASE_VARIABLE not in os.environ
    given = _passphrase("Passphrase for the new identity: ")
    if is_typed and _ask("The same again: ") != given:
        raise PassphraseError("the two passphrases differ", "Try again; nothing was made.")
    return given


def _passphrase(question: str) -> str:
    # Taken out, so that worker processes do not inherit it.
    given = os.environ.pop(PASSPHRASE_VARIABLE, None)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise PassphraseError(
            "the identity's passphrase is needed, and there is no terminal to ask for it",
            f"Set {PASSPHRASE_VARIABLE}, or run this on a terminal.",
        )
    return _ask(question)


def _ask(question: str) -> str:
    try:
        return getpass.getpass(question)
    except EOFError:
        raise PassphraseError("no passphrase was given", "Try again.") from None
