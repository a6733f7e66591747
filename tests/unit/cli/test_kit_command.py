"""``mpcseg kit``: who gets one, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mpcseg.cli.agreed import study_to_end
from mpcseg.cli.app import app
from mpcseg.cli.config import PartyConfig, load_config
from mpcseg.errors import (
    CertificateEndedError,
    ConfigError,
    ExpiredError,
    OutputError,
    SignatureError,
)
from mpcseg.study.agreement import Agreement, write_agreement
from mpcseg.study.identity import renew_identity
from mpcseg.study.renewal import new_renewal, write_renewal
from tests.organisations import identity, save_identity, signed, study_spec, write_study


@pytest.fixture
def agreement(tmp_path: Path) -> Path:
    return write_study(tmp_path / "trial.agreement")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(
        app, ["kit", *map(str, arguments)], env={"COLUMNS": "200"}, catch_exceptions=False
    )


def test_every_organisation_gets_a_folder(tmp_path: Path, agreement: Path) -> None:
    shown = run(agreement, "--output", tmp_path / "kits", "--address", "hub.example.org:9000")
    assert shown.exit_code == 0
    assert {path.name for path in (tmp_path / "kits").iterdir()} == {
        "hub", "keeper", "alder", "birch",
    }  # fmt: skip
    assert (tmp_path / "kits/alder/trial.agreement").read_bytes() == agreement.read_bytes()
    assert 'address = "hub.example.org:9000"' in (tmp_path / "kits/alder/party.toml").read_text()
    assert study_spec().digest in shown.output


def test_one_organisations_kit_alone_can_be_made_as_an_archive(
    tmp_path: Path, agreement: Path
) -> None:
    assert run(agreement, "--output", tmp_path / "kits", "--only", "birch", "--zip").exit_code == 0
    assert [path.name for path in (tmp_path / "kits").iterdir()] == ["birch.zip"]


def test_a_stranger_gets_none(tmp_path: Path, agreement: Path) -> None:
    with pytest.raises(ConfigError, match="'cedar' is not an organisation") as caught:
        run(agreement, "--output", tmp_path / "kits", "--only", "cedar")
    assert "birch" in caught.value.hint
    assert not (tmp_path / "kits").exists()


@pytest.mark.parametrize("missing", ["hub", "keeper", "alder", "birch"])
def test_an_agreement_without_all_signatures_is_refused(tmp_path: Path, missing: str) -> None:
    whole = signed(study_spec())
    some = {name: raw for name, raw in whole.signatures.items() if name != missing}
    write_agreement(Agreement(whole.spec, some), tmp_path / "trial.agreement")
    with pytest.raises(SignatureError, match=missing):
        run(tmp_path / "trial.agreement", "--output", tmp_path / "kits")
    assert not (tmp_path / "kits").exists()


def test_an_agreement_with_a_wrong_signature_is_refused(tmp_path: Path) -> None:
    whole = signed(study_spec())
    swapped = {**whole.signatures, "alder": whole.signatures["birch"]}
    write_agreement(Agreement(whole.spec, swapped), tmp_path / "trial.agreement")
    with pytest.raises(SignatureError, match="alder"):
        run(tmp_path / "trial.agreement", "--output", tmp_path / "kits")
    assert not (tmp_path / "kits").exists()


def test_an_agreement_that_is_over_is_refused(tmp_path: Path) -> None:
    over = write_study(tmp_path / "trial.agreement", study_spec(expires="2024-01-31"))
    with pytest.raises(ExpiredError):
        run(over, "--output", tmp_path / "kits")


def test_a_study_whose_certificates_were_renewed_has_kits_with_its_renewals(
    tmp_path: Path,
) -> None:
    known = {"alder": save_identity(tmp_path / "old", "alder", days=0)}
    spec = study_spec(known=known)
    agreement = write_study(tmp_path / "trial.agreement", spec, known)
    with pytest.raises(CertificateEndedError):
        run(agreement, "--output", tmp_path / "kits")
    own = renew_identity(known["alder"], tmp_path / "new")
    renewal = new_renewal(spec, [own.card])
    for name in ("hub", "keeper", "alder", "birch"):
        renewal = renewal.signed_by(spec, own if name == "alder" else identity(name))
    file = tmp_path / "renewed.renewal"
    write_renewal(renewal, file)
    assert run(agreement, "--renewal", file, "--output", tmp_path / "kits").exit_code == 0
    folder = tmp_path / "kits" / "alder"
    config = load_config(PartyConfig, folder / "party.toml", {"data": "customers.csv"})
    assert config.renewals == (folder / "trial-2.renewal",)
    assert study_to_end(config.study, config.renewals).current_card("alder") == own.card
    page = (folder / "README.md").read_text()
    assert "study verify trial.agreement --renewal trial-2.renewal --identity identity" in page


def test_what_differs_is_replaced_only_with_force(tmp_path: Path, agreement: Path) -> None:
    run(agreement, "--output", tmp_path / "kits")
    (tmp_path / "kits/alder/party.toml").write_text("mine")
    with pytest.raises(OutputError, match=r"party\.toml exists already"):
        run(agreement, "--output", tmp_path / "kits")
    assert (tmp_path / "kits/alder/party.toml").read_text() == "mine"
    assert run(agreement, "--output", tmp_path / "kits", "--force").exit_code == 0
    assert (tmp_path / "kits/alder/party.toml").read_text() != "mine"
