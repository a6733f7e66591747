"""A certificate is renewed with commands only, from the identity to what nodes take."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpcseg.cli.agreed import studies_to_run, study_to_run
from mpcseg.cli.app import app
from mpcseg.cli.config import ComputeConfig, load_config
from mpcseg.errors import (
    CertificateEndedError,
    ConfigError,
    MpcsegError,
    RenewalError,
    SignatureError,
)
from mpcseg.study.card import load_card
from mpcseg.study.identity import load_identity
from tests.organisations import save_identity, study_spec, write_study

WORDS = {"MPCSEG_PASSPHRASE": "rather long words"}


def run(*arguments: object, fails: type[MpcsegError] | None = None, **env: str) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "200", **env})
    if fails is None:
        if done.exception:
            raise done.exception
        return done.output
    assert type(done.exception) is fails, (done.exception, done.output)
    return f"{done.output}{done.exception.message} {done.exception.hint}"


def test_a_certificate_that_has_ended_is_renewed_with_commands_only(  # noqa: PLR0915  one course
    tmp_path: Path,
) -> None:
    own = save_identity(tmp_path / "alder", "alder", days=0)
    known = {"alder": own}
    birch = save_identity(tmp_path / "birch", "birch")
    known["birch"] = birch
    spec = study_spec(compute="birch", key="alder", parties=("alder", "birch"), known=known)
    agreement = write_study(tmp_path / "trial.agreement", spec, known)

    def taken(*renewals: Path) -> str:
        found = study_to_run(agreement, None, renewals=renewals, folder=tmp_path, role="key")
        return found.current_card("alder").fingerprint

    with pytest.raises(CertificateEndedError, match="certificate of 'alder' is valid from"):
        taken()
    # The identity itself says what to do.
    assert "mpcseg identity renew" in run(
        "study", "withdraw", agreement, "--identity", tmp_path / "alder", "--address", "hub:1",
        fails=ConfigError,
    )  # fmt: skip
    said = run("identity", "renew", tmp_path / "alder", "--folder", tmp_path / "new")
    card = load_card(tmp_path / "new" / "alder.card")
    assert card.spoken in said
    assert f"SHA-256 {card.fingerprint}" in run("identity", "show", tmp_path / "new")

    file = tmp_path / "trial-2.renewal"
    said = run("study", "renewal", "new", agreement, "--card", tmp_path / "new" / "alder.card")
    assert "version 2: new certificates of alder" in said
    assert "still missing: birch, alder" in said
    run(
        "study", "renewal", "new", agreement, "--card", tmp_path / "new" / "alder.card",
        fails=ConfigError,
    )  # fmt: skip
    assert f"new certificate of alder: SHA-256 {card.fingerprint}" in said
    said = run("study", "renewal", "sign", agreement, file, "--identity", tmp_path / "new")
    assert "still missing: birch" in said
    assert f"new certificate of alder: SHA-256 {card.fingerprint}" in said
    with pytest.raises(SignatureError, match="signature of 'birch' under the renewal is missing"):
        taken(file)
    assert "still missing: birch" in run(
        "study", "renewal", "verify", agreement, file, fails=SignatureError
    )
    said = run("study", "renewal", "sign", agreement, file, "--identity", tmp_path / "birch")
    assert "Everybody has signed" in said
    assert f"SHA-256 {card.fingerprint}" in run("study", "renewal", "verify", agreement, file)
    assert taken(file) == card.fingerprint

    # The next one names those before it.
    run("identity", "renew", tmp_path / "birch", "--folder", tmp_path / "newer", "--days", "9")
    card_of_birch = ["--card", tmp_path / "newer" / "birch.card"]
    assert "version 3" in run("study", "renewal", "new", agreement, file, *card_of_birch)
    third = tmp_path / "trial-3.renewal"
    assert "version 2 is due" in run(
        "study", "renewal", "verify", agreement, third, fails=RenewalError
    )
    assert "`mpcseg identity renew` made" in run(
        "study", "renewal", "sign", agreement, file, third, "--identity", tmp_path / "birch",
        fails=SignatureError,
    )  # fmt: skip
    for own_folder in ("new", "newer"):
        run("study", "renewal", "sign", agreement, file, third, "--identity", tmp_path / own_folder)
    run("study", "renewal", "verify", agreement, file, third)
    as_alder = ["study", "verify", agreement, "--identity", tmp_path / "new"]
    run(*as_alder, fails=CertificateEndedError)
    said = run(*as_alder, "--renewal", file, "--renewal", third)
    assert "renewal, version 3" in said
    assert "version 2 is due" in run(*as_alder, "--renewal", third, fails=RenewalError)
    assert taken(file, third) == card.fingerprint
    with pytest.raises(RenewalError, match="version 3 of the study 'trial', and version 2 is due"):
        taken(third, file)
    # A node of several studies deals renewals to theirs, and takes none that is nobody's.
    other = write_study(tmp_path / "other.agreement", study_spec(name="other"))
    several = studies_to_run(
        [other, agreement], None, renewals=[file, third], folder=tmp_path, role="compute"
    )
    assert [len(one.versions) for one in several] == [0, 2]
    with pytest.raises(RenewalError, match="of a study whose agreement is not given"):
        study_to_run(other, None, renewals=[file], folder=tmp_path, role="compute")


def test_a_locked_identity_is_renewed_under_the_same_passphrase(tmp_path: Path) -> None:
    run("identity", "new", "alder", "--folder", tmp_path / "old", "--protect", **WORDS)
    run("identity", "renew", tmp_path / "old", "--folder", tmp_path / "new", **WORDS)
    assert b"ENCRYPTED PRIVATE KEY" in (tmp_path / "new" / "private_keys.pem").read_bytes()
    assert load_identity(tmp_path / "new", *WORDS.values()).name == "alder"


def test_renewals_are_configured_as_files_beside_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "compute.toml"
    text = 'identity = "i"\nlisten = "h:1"\nstorage = "s"\nstudy = "a"\nrenewals = '
    for written, expected in (('"b"', ("b",)), ('["b", "c"]', ("b", "c"))):
        file.write_text(text + written)
        found = load_config(ComputeConfig, file, {}).renewals
        assert found == tuple(tmp_path / name for name in expected)
    assert load_config(ComputeConfig, file, {"renewals": [Path("x")]}).renewals == (Path("x"),)
