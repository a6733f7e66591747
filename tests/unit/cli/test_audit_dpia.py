"""``mpcseg audit dpia``: where the document goes, and what it takes."""

from __future__ import annotations

import re
import socket
import stat
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from mpcseg.cli.app import app
from mpcseg.errors import AgreementError, ConfigError, MpcsegError, OutputError, SignatureError
from tests.organisations import save_identity, study_spec, write_study
from tests.unit.verification.documents import facts, inline_tokens, verify_plain


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a connection fails."""

    def refuse(*arguments: object) -> None:
        raise AssertionError("a connection is opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def run(*arguments: object, fails: type[MpcsegError] | None = None) -> str:
    """What the command prints; ``fails`` is the error that it must end with."""
    done = CliRunner().invoke(app, ["audit", "dpia", *map(str, arguments)])
    if fails is None:
        if done.exception:
            raise done.exception
        return done.output
    assert type(done.exception) is fails, (done.exception, done.output)
    return done.exception.message


@pytest.fixture
def agreement(tmp_path: Path) -> Path:
    return write_study(tmp_path / "trial.agreement")


def test_it_is_printed_or_written_for_this_user_only(agreement: Path, tmp_path: Path) -> None:
    printed = run(agreement)
    verify_plain(printed)
    assert facts(printed)["name"] == "trial"
    output = tmp_path / "dpia.md"
    assert str(output) in run(agreement, "--output", output)
    assert output.read_text(encoding="utf-8") == printed
    assert stat.S_IMODE(output.stat().st_mode) == 0o600


def test_what_somebody_has_filled_in_is_not_overwritten_unless_asked_for(
    agreement: Path, tmp_path: Path
) -> None:
    output = tmp_path / "dpia.md"
    output.write_text("what somebody has written")
    assert str(output) in run(agreement, "--output", output, fails=OutputError)
    assert output.read_text() == "what somebody has written"
    run(agreement, "--output", output, "--overwrite")
    assert output.read_text(encoding="utf-8").startswith("# Data-protection impact assessment")


def test_a_place_that_cannot_be_written_to_is_said_before_anything_is_read(tmp_path: Path) -> None:
    run(tmp_path / "absent", "--output", tmp_path / "no" / "dpia.md", fails=OutputError)


def test_a_draft_is_taken_and_called_one(tmp_path: Path) -> None:
    for name in ("alder", "birch"):
        save_identity(tmp_path / name, name)
    cards = [f"{tmp_path}/{name}/{name}.card" for name in ("alder", "birch")]
    made = CliRunner().invoke(
        app,
        [
            "study", "new", "--name", "spring", "--purpose", "A | campaign.", "--legal-basis",
            "Consent.", "--key", cards[0], "--compute", cards[1], "--party", cards[0], "--party",
            cards[1], "--output", f"{tmp_path}/spring.toml",
        ],
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    printed = run(tmp_path / "spring.toml")
    assert "Nobody has signed these terms yet" in printed
    assert facts(printed)["purpose"] == "A | campaign."


def test_what_is_no_agreement_is_refused(agreement: Path, tmp_path: Path) -> None:
    data = agreement.read_bytes()
    changed = tmp_path / "changed.agreement"
    changed.write_bytes(data.replace(b"joint spring", b"joint autumn"))
    assert "signature" in run(changed, fails=SignatureError)
    agreement.write_bytes(data[:-1])
    run(agreement, fails=AgreementError)
    run(tmp_path / "absent", fails=ConfigError)


def test_the_commands_that_it_names_exist(tmp_path: Path) -> None:
    consent = {"column": "may", "value": "yes"}
    printed = run(write_study(tmp_path / "consent.agreement", study_spec(consent=consent)))
    codes = {token.content for token in inline_tokens(printed) if token.type == "code_inline"}
    named = {code for code in codes if code.startswith("mpcseg ")}
    assert len(named) > 5
    root = typer.main.get_command(app)
    for code in named:
        words = re.findall(r"^mpcseg ([a-z]+(?: [a-z]+)?)", code)[0].split()
        command: Any = root
        for word in words:
            assert word in command.commands, code
            command = command.commands[word]
        options = {name for parameter in command.params for name in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", code)) <= options, code
