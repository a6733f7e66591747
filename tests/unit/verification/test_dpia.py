"""The impact assessment says what the agreement says; no text in it can change the form."""

from __future__ import annotations

import datetime
import functools
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mpcseg.errors import SignatureError
from mpcseg.nodes.planning import study_plan
from mpcseg.reference.rounds import sums_shape
from mpcseg.study.agreement import Agreement, freeze
from mpcseg.study.spec import Consent, FeatureSpec, PartyCard, Privacy, ReleaseTerms, StudySpec
from mpcseg.verification.dpia import assessment
from tests.organisations import identity, no_noise, signed, study_spec
from tests.unit.verification.documents import facts, inline_tokens, tables, verify_plain

TESTS = Path(__file__).resolve().parents[2]
NASTY = "a|b `c` <script>x</script> [d](javascript:e) **f** &lt; \\| # 1. --- ![g](h) $i$ j@k.org"


def document(spec: StudySpec) -> str:
    return assessment(freeze(spec), study_plan(spec))


@functools.cache
def usual() -> StudySpec:
    return study_spec()


def without_digest(text: str, spec: StudySpec) -> str:
    """The document without the digest, in which every field shows anyhow."""
    kept = text.replace(spec.digest, "DIGEST")
    return re.sub(r"^\| the digest, to be read out .*$", "", kept, flags=re.MULTILINE)


def risk_texts(spec: StudySpec) -> list[str]:
    rows = [table for table in tables(document(spec)) if table[0][0] == "no."]
    assert len(rows) == 1
    return [" | ".join(row) for row in rows[0][1:]]


def test_the_facts_are_those_of_the_agreement() -> None:
    spec = study_spec(
        compute="hub", key="alder", parties={"alder": 5000, "birch": 3000}, n_clusters=3,
        n_rounds=5,
        features=(
            FeatureSpec(name="recency_days", lower=0, upper=730.5),
            FeatureSpec(name="monetary", transform="log1p", lower=0, upper=20_000),
        ),
        consent={"column": "may_be_used", "value": "yes"}, radius=1.25, retention_days=12.5,
        privacy={"epsilon": 2.5, "delta": 1e-7},
        release={"smallest_segment": 40, "significant_digits": 4, "report": ["alder", "birch"],
                 "centroids": ["birch"]},
    )  # fmt: skip
    text = document(spec)
    found = facts(text)
    assert found["name"] == "trial"
    assert found["purpose"] == "Segments for a joint spring campaign."
    assert found["legal basis named by the organisations"] == "Consent, Art. 6 (1) a GDPR."
    assert "3 common segments" in found["what is computed"]
    assert "5 rounds at most" in found["what is computed"]
    assert found["parameter set"] == "ckks-16384-10, chosen by the planner"
    # 2 + 10 + 1 primes of 31 bits; the table of HomomorphicEncryption.org allows 438 at N = 16384.
    assert "N = 16,384, modulus of 403 bits" in found["security level"]
    assert found["last day on which it may run"] == f"{spec.expires} (UTC)"
    assert found["digest of the agreement"] == spec.digest
    assert found["epsilon"].startswith("2.5 ")
    assert found["delta"] == "1e-07"
    assert f"factor of {math.exp(2.5):.1f}" in found["what they mean"]
    assert "the compute node (hub) draws it" in found["who draws it"]
    assert "the key node (alder) draws none" in found["who draws it"]
    assert "segments of 40 customers" in found["what is published"]
    assert "4 significant digits" in found["what is published"]
    rules = next(table for table in tables(text) if table[0][0] == "rule for records")
    assert 'exactly "yes" in the column may_be_used' in rules[1][1]
    assert "L2 norm of 1.25" in found["length of a scaled record"]
    assert "12.5 days" in text
    everything = tables(text)
    columns = next(table for table in everything if table[0][0] == "column")
    assert columns[1:] == [
        ["recency_days", "identity", "0", "730.5"],
        ["monetary", "log1p", "0", "20,000"],
    ]
    organisations = next(table for table in everything if table[0][0] == "organisation")
    assert [row[:3] for row in organisations[1:]] == [
        ["hub", "runs the compute node", "nothing"],
        ["alder", "runs the key node; brings records, 5,000 at most", "the report"],
        ["birch", "brings records, 3,000 at most", "the report and the centroids"],
    ]
    assert [row[3] for row in organisations[1:]] == [
        identity(name).card.spoken for name in ("hub", "alder", "birch")
    ]


def test_the_numbers_of_decrypted_values_are_those_of_the_rounds() -> None:
    spec = study_spec(n_clusters=4, n_rounds=7)
    shown = next(t for t in tables(document(spec)) if t[0][0] == "round")[1:]
    per_round = [
        math.prod(sums_shape(kind, 4, 2, 2))
        for kind in ("admission", "moments", "lloyd", "profile")
    ]
    times = [1, 1, 7, 1]
    assert [int(row[1].replace(",", "")) for row in shown] == times
    assert [int(row[2].replace(",", "")) for row in shown] == per_round
    total = sum(n * each for n, each in zip(times, per_round, strict=True))
    assert sum(int(row[3].replace(",", "")) for row in shown) == total
    assert f"can decrypt {total:,} values at most" in document(spec)


def test_the_noise_of_a_round_is_that_of_the_noise_plan() -> None:
    spec = study_spec(compute="birch", key="alder")
    stds = study_plan(spec).noise.effective_stds("profile", (7, 15))
    shown = next(t for t in tables(document(spec)) if t[0][0] == "round")[-1][4]
    low, high = (float(number) for number in re.findall(r"[\d.]+", shown))
    assert low == pytest.approx(stds.min(), rel=0.01)
    assert high == pytest.approx(stds.max(), rel=0.01)


# A change of each field that an agreement has, and what else it takes for it to be possible.
CHANGES: dict[str, dict[str, Any]] = {
    "name": {"name": "other"},
    "purpose": {"purpose": "Something else."},
    "legal_basis": {"legal_basis": "A contract."},
    "n_clusters": {"n_clusters": 3},
    "n_rounds": {"n_rounds": 3},
    "features": {"features": (FeatureSpec(name="x0", lower=-1, upper=1),)},
    "features.name": {"features": (
        FeatureSpec(name="age", lower=-1, upper=1), FeatureSpec(name="x1", lower=-1, upper=1))},
    "features.transform": {"features": (
        FeatureSpec(name="x0", transform="log1p", lower=-0.5, upper=1),
        FeatureSpec(name="x1", lower=-1, upper=1))},
    "features.lower": {"features": (
        FeatureSpec(name="x0", lower=-1.5, upper=1), FeatureSpec(name="x1", lower=-1, upper=1))},
    "features.upper": {"features": (
        FeatureSpec(name="x0", lower=-1, upper=1.5), FeatureSpec(name="x1", lower=-1, upper=1))},
    "radius": {"radius": 1.0},
    "profile_columns": {"profile_columns": [
        {"name": "visits", "kind": "numeric", "lower": 0, "upper": 9}]},
    "party_shares": {"party_shares": True},
    "fairness": {"fairness": {"threshold": 0.9}},
    "former": {"former": "ab" * 32},
    "consent": {"consent": {"column": "may", "value": "yes"}},
    "consent.column": {"consent": {"column": "allowed", "value": "yes"}},
    "consent.value": {"consent": {"column": "may", "value": "1"}},
    "privacy": {"privacy": no_noise()},
    "privacy.epsilon": {"privacy": {"epsilon": 1.5}},
    "privacy.delta": {"privacy": {"delta": 1e-9}},
    "privacy.acknowledgement": {"privacy": no_noise()},
    "release": {"release": {"report": ["alder"]}},
    "release.smallest_segment": {"release": {
        "smallest_segment": 21, "report": ["alder", "birch"], "centroids": ["alder", "birch"]}},
    "release.significant_digits": {"release": {
        "significant_digits": 2, "report": ["alder", "birch"], "centroids": ["alder", "birch"]}},
    "release.report": {"release": {"report": ["birch"], "centroids": ["alder", "birch"]}},
    "release.centroids": {"release": {"report": ["alder", "birch"], "centroids": ["birch"]}},
    "retention_days": {"retention_days": 29},
    "expires": {"expires": datetime.date(2099, 1, 2)},
    "parameter_set": {"parameter_set": "ckks-16384-11"},
    "seed": {"seed": 7},
    "compute": {"compute": "cedar"},
    "key": {"key": "cedar"},
    "parties": {"parties": ("alder", "birch", "cedar")},
    "parties.most_records": {"parties": {"alder": 100, "birch": None}},
}  # fmt: skip


def fields() -> Iterator[str]:
    """Every field of an agreement; those of cards are shown by their fingerprints."""
    yield from StudySpec.model_fields
    for name, model in (
        ("features", FeatureSpec), ("consent", Consent), ("privacy", Privacy),
        ("release", ReleaseTerms),
    ):  # fmt: skip
        yield from (f"{name}.{field}" for field in model.model_fields)
    own = set(PartyCard.model_fields) - set(identity("alder").card.model_dump())
    yield from (f"parties.{field}" for field in own)


def test_every_field_of_an_agreement_is_tried_below() -> None:
    assert set(fields()) == set(CHANGES)


@pytest.mark.parametrize("field", CHANGES)
def test_every_field_of_an_agreement_shows_in_the_document(field: str) -> None:
    changes = CHANGES[field]
    before = (
        study_spec(consent={"column": "may", "value": "yes"})
        if field.startswith("consent.")
        else usual()
    )
    after = study_spec(expires=before.expires, **changes) if "expires" not in changes else (
        study_spec(**changes)
    )  # fmt: skip
    assert without_digest(document(after), after) != without_digest(document(before), before)


@pytest.mark.parametrize(
    ("compute", "words"), [("hub", "drawn by the compute node;"), ("birch", "drawn by both nodes;")]
)
def test_the_measure_against_inference_says_who_draws(compute: str, words: str) -> None:
    measures = facts(document(study_spec(compute=compute)))
    assert words in measures["noise on what is decrypted"]


def test_another_card_of_an_organisation_shows() -> None:
    other = study_spec(known={"birch": identity("birch", 1)}, expires=usual().expires)
    assert without_digest(document(other), other) != without_digest(document(usual()), usual())


RISKS: tuple[tuple[str, dict[str, Any], str, bool], ...] = (
    ("exact sums", {"privacy": no_noise()}, "epsilon is none", True),
    ("with noise", {}, "epsilon is none", False),
    ("weak noise", {"privacy": {"epsilon": 3.0}}, "factor of 20.1 at most", True),
    ("both nodes", {}, "hub (compute node) and keeper (key node) together", True),
    ("compute receives", {"compute": "birch"}, "draws noise, and receives results", True),
    ("compute receives nothing", {}, "must not pass results on to hub", True),
    ("key is a party", {"key": "alder"}, "alder runs the key node, and is a party", True),
    ("key is no party", {}, "and is a party", False),
    ("two parties", {}, "2 parties only (alder, birch)", True),
    ("one party", {"parties": ("alder",)}, "1 party only (alder)", True),
    ("three parties", {"parties": ("alder", "birch", "cedar")}, "all but one of the 3", True),
    ("centroids", {}, "alder, birch can assign a segment to any record", True),
    ("no centroids", {"release": {"report": ["alder"]}}, "can assign a segment", False),
    ("recipient that is no party", {"release": {"report": ["keeper"]}},
     "keeper: receive results and bring no records", True),
    ("no consent", {}, "no consent column is agreed", True),
    ("consent", {"consent": {"column": "may", "value": "yes"}}, "no consent column", False),
    ("long retention", {"retention_days": 31}, "keeps them for 31 days; 30 are usual", True),
    ("usual retention", {}, "days; 30 are usual", False),
    ("small segments", {"release": {"smallest_segment": 19, "report": ["alder"]}},
     "segments of 19 customers are shown; 20 is usual", True),
    ("usual segments", {}, "20 is usual", False),
    ("digits", {"release": {"significant_digits": 4, "report": ["alder"]}},
     "4 significant digits; 3 are usual", True),
    ("large delta", {"parties": {"alder": 150_000, "birch": 1}},
     "delta 1e-06 times 150,001 records at most is 0.15", True),
    ("small delta", {"parties": {"alder": 5_000, "birch": 1}}, "times 5,001 records", False),
    ("unknown numbers", {}, "not every party has agreed on a largest number", True),
    ("limits for all to see", {"parties": {"alder": 10, "birch": None}}, "for all to see", True),
)  # fmt: skip


@pytest.mark.parametrize(("case", "changes", "words", "is_there"), RISKS, ids=[r[0] for r in RISKS])
def test_a_risk_stands_there_where_the_study_has_it(
    case: str, changes: dict[str, Any], words: str, is_there: bool
) -> None:
    assert any(words in text for text in risk_texts(study_spec(**changes))) is is_there


def test_profile_columns_and_sizes_by_party_are_named() -> None:
    spec = study_spec(
        profile_columns=[
            {"name": "visits", "kind": "numeric", "lower": 0, "upper": 9},
            {"name": "age", "kind": "category", "values": ["18-29", "older"], "protected": True},
        ],
        party_shares=True,
    )
    text = document(spec)
    columns = next(t for t in tables(text) if t[0][0] == "column")
    assert [row[0] for row in columns[1:]] == ["x0", "x1", "visits", "age"]
    assert "protected" in columns[4][1]
    assert "18-29" in columns[4][2]
    assert "4 columns" in text
    assert any("customers of each company" in risk for risk in risk_texts(spec))
    crossed = "read from several columns together"
    assert not any(crossed in risk for risk in risk_texts(spec))
    exact = spec.model_copy(update={"privacy": study_spec(privacy=no_noise()).privacy})
    assert any(crossed in risk for risk in risk_texts(exact))


def test_what_stands_in_an_agreement_is_text_and_nothing_else() -> None:
    nasty = study_spec(
        purpose=NASTY, legal_basis=NASTY, consent={"column": "x|y `z`", "value": NASTY},
        features=(
            FeatureSpec(name="a|b <i>`", lower=-1, upper=1),
            FeatureSpec(name="_c_ [d](e)", lower=-1, upper=1),
        ),
    )  # fmt: skip
    plain = study_spec(consent={"column": "may", "value": "yes"})
    text = document(nasty)
    verify_plain(text)
    found = facts(text)
    assert found["purpose"] == NASTY
    assert found["legal basis named by the organisations"] == NASTY
    shapes = [[[len(row) for row in t] for t in tables(document(s))] for s in (nasty, plain)]
    assert shapes[0] == shapes[1]
    columns = next(t for t in tables(text) if t[0][0] == "column")
    assert [row[0] for row in columns[1:]] == ["a|b <i>`", "_c_ [d](e)"]
    verify_plain(document(plain))


@functools.cache
def _usual_plan() -> Any:
    return study_plan(usual())


@settings(max_examples=30)
@given(st.text(min_size=1, max_size=60))
def test_any_purpose_is_shown_as_it_is(purpose: str) -> None:
    try:
        spec = study_spec(purpose=purpose)
    except ValidationError:  # not fit for an agreement in the first place
        return
    text = assessment(freeze(spec), _usual_plan())
    verify_plain(text)
    assert facts(text)["purpose"] == "".join(c if c.isprintable() else " " for c in purpose).strip()


def test_it_says_who_has_signed() -> None:
    spec, plan = usual(), _usual_plan()
    assert "Nobody has signed these terms yet" in assessment(freeze(spec), plan)
    partly = freeze(spec).signed_by(identity("alder"))
    assert "Not signed yet by hub, keeper, birch" in assessment(partly, plan)
    assert "All organisations have signed exactly these terms" in assessment(signed(spec), plan)


def test_a_wrong_signature_is_refused() -> None:
    spec, plan = usual(), _usual_plan()
    good = signed(spec)
    swapped = {**good.signatures, "alder": good.signatures["birch"]}
    with pytest.raises(SignatureError, match="'alder'"):
        assessment(Agreement(spec, swapped), plan)
    with pytest.raises(SignatureError, match="'stranger'"):
        assessment(Agreement(spec, {"stranger": good.signatures["birch"]}), plan)


def test_the_same_agreement_gives_the_same_document() -> None:
    assert document(usual()) == document(usual())


def test_what_people_have_to_do_is_marked() -> None:
    spec = usual()
    text = document(spec)
    for article in ("26", "28", "44", "35 (2)", "35 (9)", "36", "Article 9", "Article 22"):
        rows = [row for t in tables(text) for row in t if article in row[0]]
        assert rows, article
        assert all(row[-1].startswith("To be completed by") for row in rows), article
    for card in spec.organisations:
        assert f"To be completed by {card.name}" in text


def test_the_tests_that_it_names_exist() -> None:
    written = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)", written))
    for spec in (usual(), study_spec(privacy=no_noise(), compute="birch"),
                 study_spec(consent={"column": "may", "value": "yes"})):  # fmt: skip
        codes = [t.content for t in inline_tokens(document(spec)) if t.type == "code_inline"]
        named = {code for code in codes if code.startswith("test_")}
        assert len(named) > 10
        assert not named - there
