"""``mpcseg identity``: what it makes and shows, and what it never shows."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpcseg.cli import passphrase as asking
from mpcseg.cli.identity import app
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.errors import ConfigError, PassphraseError
from mpcseg.study.card import load_card
from mpcseg.study.identity import load_identity

PASSPHRASE = "Zwölf Boxkämpfer"  # noqa: S105  of identities that live for a test


def run(*arguments: object, **environment: str | None) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={**environment})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(autouse=True)
def _no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(asking.PASSPHRASE_VARIABLE, raising=False)
    monkeypatch.delenv(asking.PASSPHRASE_FILE_VARIABLE, raising=False)


def test_an_identity_is_made_and_shown(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    made = run("new", "hub", "--folder", folder, "--host", "127.0.0.1")
    card = load_identity(folder).card
    assert made.splitlines()[0] == f"card of hub: {folder / 'hub.card'}"
    assert f"fingerprint: {card.spoken}\n" in made
    assert f"certificate: SHA-256 {card.fingerprint}\n" in made
    assert re.search(r"^valid: \d{4}-\d\d-\d\d to \d{4}-\d\d-\d\d$", made, re.MULTILINE)
    assert run("show", folder) == run("show", folder / "hub.card") == made


def test_nothing_private_is_shown(tmp_path: Path) -> None:
    shown = run("new", "hub", "--folder", tmp_path) + run("show", tmp_path)
    private = (tmp_path / "private_keys.pem").read_text()
    lines = [line for line in private.splitlines() if len(line) > 20 and " " not in line]
    assert len(lines) >= 4
    assert not any(line in shown for line in lines)
    assert "PRIVATE" not in shown


def test_a_card_that_was_swapped_in_the_folder_is_not_shown_as_ones_own(tmp_path: Path) -> None:
    run("new", "hub", "--folder", tmp_path / "a")
    run("new", "hub", "--folder", tmp_path / "b")
    (tmp_path / "b" / "hub.card").replace(tmp_path / "a" / "hub.card")
    with pytest.raises(ConfigError, match="do not belong together"):
        run("show", tmp_path / "a")


def test_a_passphrase_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = run("new", "hub", "--folder", tmp_path, "--protect", MPCSEG_PASSPHRASE=PASSPHRASE)
    assert PASSPHRASE not in made
    assert run("show", tmp_path) == made  # what is public needs none
    with pytest.raises(PassphraseError, match="no terminal"):
        load_own_identity(tmp_path)
    monkeypatch.setenv("MPCSEG_PASSPHRASE", "another")
    with pytest.raises(PassphraseError, match="do not open"):
        load_own_identity(tmp_path)
    monkeypatch.setenv("MPCSEG_PASSPHRASE", PASSPHRASE)
    assert load_own_identity(tmp_path).card == load_card(tmp_path / "hub.card")


def test_a_passphrase_comes_from_a_file_as_containers_are_given_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text(PASSPHRASE + "\n", encoding="utf-8")
    folder = tmp_path / "identity"
    run("new", "hub", "--folder", folder, "--protect", MPCSEG_PASSPHRASE_FILE=str(secret))
    monkeypatch.setenv("MPCSEG_PASSPHRASE", PASSPHRASE)
    assert load_own_identity(folder).name == "hub"
    monkeypatch.setenv("MPCSEG_PASSPHRASE_FILE", str(secret))
    for _ in range(2):  # a file does not go away with the first reading
        assert load_own_identity(folder).name == "hub"


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe"])
def test_a_file_that_is_no_passphrase_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    folder = tmp_path / "identity"
    run("new", "hub", "--folder", folder, "--protect", MPCSEG_PASSPHRASE=PASSPHRASE)
    secret = tmp_path / "passphrase"
    monkeypatch.setenv("MPCSEG_PASSPHRASE_FILE", str(secret))
    with pytest.raises(ConfigError, match="passphrase does not exist"):
        load_own_identity(folder)
    secret.write_bytes(content)
    with pytest.raises(PassphraseError, match="holds no passphrase") as refused:
        load_own_identity(folder)
    assert "lines" not in str(refused.value)


def test_a_passphrase_is_asked_for_on_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answers = iter([PASSPHRASE, "mistyped", PASSPHRASE, PASSPHRASE, PASSPHRASE])

    def answer(question: str) -> str:
        asked.append(question)
        return next(answers)

    monkeypatch.setattr(asking.getpass, "getpass", answer)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(PassphraseError, match="differ"):
        asking.new_passphrase()
    assert asking.new_passphrase() == PASSPHRASE
    run("new", "hub", "--folder", tmp_path, "--protect", MPCSEG_PASSPHRASE=PASSPHRASE)
    assert load_own_identity(tmp_path).name == "hub"
    assert len(asked) == 5
    assert str(tmp_path) in asked[-1]


def test_no_passphrase_is_asked_for_where_there_is_none(tmp_path: Path) -> None:
    run("new", "hub", "--folder", tmp_path)
    assert load_own_identity(tmp_path).name == "hub"


def test_the_help_says_what_an_organisation_with_two_nodes_does() -> None:
    told = " ".join(run("new", "--help", COLUMNS="200").split())
    assert "one identity, however many nodes it runs" in told
    assert "copy the whole folder to each" in told
