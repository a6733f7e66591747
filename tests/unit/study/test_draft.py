"""Drafts: the template is one, every option of a draft arrives, and mistakes are named."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import pytest

from mpcseg.errors import ConfigError, SignatureError
from mpcseg.study.agreement import utc_today
from mpcseg.study.card import card_text
from mpcseg.study.draft import Draft, DraftFeature, draft_text, load_draft, write_draft
from mpcseg.study.profile_columns import CategoryColumn, Fairness, NumericColumn
from mpcseg.study.spec import (
    NO_NOISE_SENTENCE,
    Consent,
    FeatureSpec,
    Privacy,
    ReleaseTerms,
    StudySpec,
)
from tests.organisations import identity

TEMPLATE = Path(__file__).parents[3] / "parties" / "study.toml"
NAMES = ("hub", "notary", "alder", "birch")


def write_card(path: Path, name: str, signer: str | None = None) -> Path:
    owner = identity(name)
    path.parent.mkdir(exist_ok=True)
    signature = identity(signer or name).sign("card", owner.card.canonical)
    path.write_text(card_text(owner.card, signature))
    return path


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    cards = {name: write_card(tmp_path / "cards" / f"{name}.card", name) for name in NAMES}
    return Draft(
        name="spring",
        purpose="Segments of customers for a joint spring campaign.",
        legal_basis="Consent to joint analysis, Art. 6 (1) a GDPR; see each party's terms of use.",
        compute=cards["hub"],
        key=cards["notary"],
        parties=(cards["alder"], cards["birch"]),
        most_records={"alder": 5000, "birch": 3000},
        expires=datetime.date(2027, 6, 30),
    )


def test_the_template_is_what_study_new_writes(draft: Draft, tmp_path: Path) -> None:
    assert draft_text(draft, tmp_path) == TEMPLATE.read_text(encoding="utf-8")


def test_the_template_explains_every_field() -> None:
    lines = {line.lstrip("# ") for line in TEMPLATE.read_text(encoding="utf-8").splitlines()}
    words = {line.split(" = ")[0] for line in lines} | {line.strip("[]") for line in lines}
    for model in (StudySpec, FeatureSpec, CategoryColumn, Fairness, Consent, Privacy, ReleaseTerms):
        assert set(model.model_fields) <= words


def test_a_draft_says_what_it_was_made_of(draft: Draft, tmp_path: Path) -> None:
    spec = write_draft(draft, tmp_path / "study.toml")
    assert load_draft(tmp_path / "study.toml") == spec
    assert [card.name for card in spec.organisations] == list(NAMES)
    assert spec.card_of("alder") == identity("alder").card
    assert spec.most_records == (5000, 3000)
    assert spec.privacy.epsilon == 1
    assert spec.recipients == ("alder", "birch")
    assert (spec.radius, spec.consent) == (None, None)


CHANGES: dict[str, Any] = {
    "name": "autumn",
    "purpose": 'A "quoted" \\ purpose, with Ünïcode.',
    "legal_basis": "Another.",
    "most_records": {"birch": 7},
    "n_clusters": 7,
    "n_rounds": 3,
    "profile_columns": (
        NumericColumn(name="age", kind="numeric", transform="log1p", lower=0.5, upper=100),
        CategoryColumn(name="band", kind="category", values=("a", 'b"c'), other="", protected=True),
        CategoryColumn(name="region", kind="category", values=("n", "s"), unknown="no word"),
    ),
    "party_shares": True,
    "radius": 1.25,
    "epsilon": 0.1,
    "delta": 1e-9,
    "smallest_segment": 50,
    "significant_digits": 2,
    "report": ("hub", "alder"),
    "centroids": (),
    "retention_days": 0.5,
    "expires": datetime.date(2031, 1, 2),
    "parameter_set": "ckks-32768-20",
    "seed": 2**53 - 1,
}


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_of_a_draft_arrives(draft: Draft, tmp_path: Path, field: str) -> None:
    changed = dataclasses.replace(draft, **{field: CHANGES[field]})
    spec = write_draft(changed, tmp_path / "study.toml")
    homes: dict[str, Any] = {
        "most_records": dict(zip(("alder", "birch"), spec.most_records, strict=True)),
        **spec.privacy.model_dump(),
        **spec.release.model_dump(),
    }
    expected = {"alder": None, "birch": 7} if field == "most_records" else CHANGES[field]
    found = homes[field] if field in homes else getattr(spec, field)
    assert found == expected


def test_consent_features_and_the_absence_of_noise_arrive(draft: Draft, tmp_path: Path) -> None:
    changed = dataclasses.replace(
        draft,
        consent=("newsletter = [ok]", '"yes"'),
        features=(DraftFeature("größe", "log1p", 0.1, 1e20), DraftFeature("b", "identity", -1, 1)),
        epsilon="none",
        acknowledgement=NO_NOISE_SENTENCE,
    )
    spec = write_draft(changed, tmp_path / "study.toml")
    assert spec.consent is not None
    assert (spec.consent.column, spec.consent.value) == ("newsletter = [ok]", '"yes"')
    assert [(f.name, f.transform, f.lower, f.upper) for f in spec.features] == [
        ("größe", "log1p", 0.1, 1e20),
        ("b", "identity", -1, 1),
    ]
    assert not spec.privacy.is_noised


def test_a_draft_expires_in_90_days_unless_it_says_otherwise(draft: Draft, tmp_path: Path) -> None:
    spec = write_draft(dataclasses.replace(draft, expires=None), tmp_path / "study.toml")
    assert (spec.expires - utc_today()).days in {89, 90}  # midnight may pass


def test_a_draft_that_could_not_be_signed_is_not_written(draft: Draft, tmp_path: Path) -> None:
    impossible = dataclasses.replace(draft, key=draft.compute)
    with pytest.raises(ConfigError, match="both the compute node and the key node"):
        write_draft(impossible, tmp_path / "study.toml")
    assert not (tmp_path / "study.toml").exists()


def test_a_draft_is_never_overwritten(draft: Draft, tmp_path: Path) -> None:
    write_draft(draft, tmp_path / "study.toml")
    with pytest.raises(ConfigError, match="exists already"):
        write_draft(draft, tmp_path / "study.toml")
    with pytest.raises(ConfigError, match="there is no folder"):
        write_draft(draft, tmp_path / "absent" / "study.toml")


def test_cards_are_named_from_the_drafts_own_folder(draft: Draft, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    spec = write_draft(draft, tmp_path / "a" / "b" / "study.toml")
    assert 'card = "../../cards/hub.card"' in (tmp_path / "a" / "b" / "study.toml").read_text()
    assert spec == load_draft(tmp_path / "a" / "b" / "study.toml")


def test_a_limit_for_somebody_who_is_no_party_is_refused(draft: Draft, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'hub'.*not a party"):
        draft_text(dataclasses.replace(draft, most_records={"hub": 3}), tmp_path)


REFUSED: dict[str, tuple[str, str, str]] = {
    "no card": ('card = "cards/hub.card"', "", r"\[compute\] has no field 'card'"),
    "card absent": ("cards/birch.card", "cards/oak.card", "oak.card does not exist"),
    "a card that is none": ("cards/birch.card", "study.toml", "is not a card of this version"),
    "another name": (
        'card = "cards/birch.card"',
        'card = "cards/birch.card"\nname = "oak"',
        "party number 2 has another name than the card cards/birch.card",
    ),
    "another certificate": (
        'card = "cards/birch.card"',
        'card = "cards/birch.card"\ncertificate = "x"',
        "party number 2 has another certificate than the card cards/birch.card",
    ),
    "another certificate, in other words": (
        'card = "cards/birch.card"',
        'card = "cards/birch.card"\nCertificate = "x"',
        "'birch' Certificate is unknown",
    ),
    "another signing key": (
        'card = "cards/hub.card"',
        'card = "cards/hub.card"\nsigning_key = "AAAA"',
        r"\[compute\] has another signing_key",
    ),
    "records of the compute node": (
        'card = "cards/hub.card"',
        'card = "cards/hub.card"\nmost_records = 9',
        "compute most_records is unknown",
    ),
    "unknown field": ("n_rounds = 8", "n_round = 8", "n_round is unknown|n_rounds is missing"),
    "unknown privacy field": ("delta = 1e-06", "gamma = 1", "privacy gamma is unknown"),
    "profile columns": (
        'name = "spring"',
        'name = "spring"\nprofile_columns = ["age"]',
        "profile_columns",
    ),
    "a range of clusters": (
        "n_clusters = 4",
        "n_clusters = [2, 8]",
        "n_clusters must be a valid integer",
    ),
    "not TOML": ("n_rounds = 8", "n_rounds = ", "not valid TOML"),
    "too deep": ("n_rounds = 8", f"n_rounds = {'[' * 5000}", "too long or too deep"),
    "a number without end": ("n_rounds = 8", f"n_rounds = {'9' * 5000}", "too long or too deep"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_in_a_draft_is_named(draft: Draft, tmp_path: Path, case: str) -> None:
    old, new, reason = REFUSED[case]
    text = draft_text(draft, tmp_path)
    assert old in text
    path = tmp_path / "study.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match=reason) as caught:
        load_draft(path)
    assert caught.value.hint


def test_a_card_that_somebody_else_signed_is_refused(draft: Draft, tmp_path: Path) -> None:
    write_card(tmp_path / "cards" / "birch.card", "birch", signer="alder")
    with pytest.raises(SignatureError, match=r"birch\.card is not signed by its own signing key"):
        draft_text(draft, tmp_path)


def test_a_file_without_end_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than 1024 kB"):
        load_draft(Path("/dev/zero"))
