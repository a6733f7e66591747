"""What organisations agree on: what can be said, what is refused, and what the digest pins."""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from mpcseg.errors import ConfigError
from mpcseg.study.documents import check
from mpcseg.study.spec import NO_NOISE_SENTENCE, FeatureSpec, StudySpec
from tests.organisations import features, identity, no_noise, study_spec

EVERYBODY = {"report": ["alder"], "centroids": ["birch"]}


def fields(**overrides: Any) -> dict[str, Any]:
    """A study as plain data, as a draft would give it."""
    return {**study_spec().model_dump(), **overrides}


def card(name: str, number: int = 0, /, **overrides: Any) -> dict[str, Any]:
    return {**identity(name, number).card.model_dump(), **overrides}


def feature(name: str, lower: Any = 0, upper: Any = 1, **more: Any) -> dict[str, Any]:
    return {"name": name, "lower": lower, "upper": upper, **more}


def test_a_study_knows_who_does_what() -> None:
    spec = study_spec(parties={"alder": 500, "birch": None})
    assert [node.name for node in spec.nodes] == ["hub", "keeper", "alder", "birch"]
    assert spec.organisations == tuple(identity(node.name).card for node in spec.nodes)
    assert spec.card_of("keeper") == spec.key == identity("keeper").card
    assert spec.most_records == (500, None)
    assert spec.feature_names == ("x0", "x1")
    assert spec.n_features == 2
    assert spec.parameter_set == "planned"
    with pytest.raises(KeyError):
        spec.card_of("stranger")


def test_two_organisations_need_no_third() -> None:
    spec = study_spec(compute="birch", key="alder", parties=("alder", "birch"))
    assert [node.name for node in spec.nodes] == ["birch", "alder", "alder", "birch"]
    assert spec.organisations == (identity("birch").card, identity("alder").card)
    assert spec.recipients == ("birch", "alder")
    assert spec.compute_receives


def test_recipients_are_organisations_in_the_studys_order() -> None:
    spec = study_spec(release={"report": ("birch", "keeper"), "centroids": ("birch",)})
    assert spec.recipients == ("keeper", "birch")
    assert not spec.compute_receives
    assert study_spec(release={"report": ("hub",)}).compute_receives


def test_the_radius_is_the_corner_of_the_domain_unless_agreed_on() -> None:
    assert study_spec().l2_radius == math.sqrt(2)
    assert study_spec(radius=1.25).l2_radius == 1.25
    assert study_spec(radius=1.4142135624).l2_radius == math.sqrt(2)


def test_noise_is_on_unless_its_absence_is_acknowledged() -> None:
    assert study_spec().privacy.is_noised
    assert study_spec().privacy.epsilon == 1
    assert not study_spec(privacy=no_noise()).privacy.is_noised


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "bounds swapped": ({"features": [feature("money", 6000, 0)]}, "'money'.*lower bound"),
    "bounds equal": ({"features": [feature("money", 0, 0)]}, "'money'.*lower bound"),
    "bounds too close": (
        {"features": [feature("money", 1e9, 1000000000.5)]},
        "'money'.*too close",
    ),
    "bound infinite": ({"features": [feature("money", 0, math.inf)]}, "'money'.*finite"),
    "bound no number": ({"features": [feature("money", math.nan, 1)]}, "'money'.*finite"),
    "bound is text": ({"features": [feature("money", 0, "many")]}, "'money' upper"),
    "bound missing": ({"features": [{"name": "money", "lower": 0}]}, "'money' upper is missing"),
    "log1p below -1": (
        {"features": [feature("money", -1, 1, transform="log1p")]},
        "'money'.*log1p",
    ),
    "unknown transform": ({"features": [feature("a", transform="sqrt")]}, "'a' transform"),
    "no features": ({"features": []}, "features"),
    "feature twice": ({"features": [feature("a"), feature("a")]}, "two features are named 'a'"),
    "formula as a name": ({"features": [feature("=money")]}, "name"),
    "name that turns around": ({"features": [feature("a\u202eb")]}, r"U\+202E cannot be shown"),
    "name with an escape": ({"features": [feature("a\x1b[2J")]}, r"U\+001B cannot be shown"),
    "one cluster": ({"n_clusters": 1}, "n_clusters"),
    "a range of clusters": ({"n_clusters": [2, 8]}, "n_clusters must be a valid integer"),
    "no rounds": ({"n_rounds": 0}, "n_rounds"),
    "misspelt field": ({"n_round": 8}, "n_round is unknown"),
    "profile column that is a feature": (
        {"profile_columns": [{"name": "x0", "kind": "numeric", "lower": 0, "upper": 1}]},
        "a profile column, and another column or a feature, are named 'x0'",
    ),
    "profile column of no kind": (
        {"profile_columns": [{"name": "age", "lower": 0, "upper": 1}]},
        "profile_columns 'age'",
    ),
    "protected numbers": (
        {
            "profile_columns": [
                {"name": "age", "kind": "numeric", "lower": 0, "upper": 1, "protected": True}
            ]
        },
        "protected is unknown",
    ),
    "consent is a profile column": (
        {
            "profile_columns": [{"name": "ok", "kind": "category", "values": ["1"]}],
            "consent": {"column": "ok", "value": "1"},
        },
        "the consent column 'ok' is a profile column too",
    ),
    "a column named as the parties are": (
        {
            "profile_columns": [{"name": "party", "kind": "category", "values": ["a"]}],
            "party_shares": True,
        },
        "with party_shares no column can be named 'party'",
    ),
    "more values than ciphertexts can be numbered": (
        {
            "profile_columns": [
                {"name": f"c{i}", "kind": "category", "values": [f"v{j}" for j in range(100)]}
                for i in range(10)
            ]
        },
        "more than 1000 values together",
    ),
    "a threshold over 1": ({"fairness": {"threshold": 1.2}}, "fairness threshold"),
    "negative seed": ({"seed": -1}, "seed"),
    "seed beyond a double": ({"seed": 2**53}, "seed"),
    "purpose missing": ({"purpose": ""}, "purpose"),
    "purpose with a line break": ({"purpose": "a\nb"}, r"purpose: the character U\+000A"),
    "purpose without end": ({"purpose": "a" * 4001}, "purpose"),
    "legal basis with a bell": ({"legal_basis": "a\x07"}, r"legal_basis: the character U\+0007"),
    "study name with a path": ({"name": "../spring"}, "name"),
    "radius none at all": ({"radius": 0}, "radius"),
    "radius no number": ({"radius": math.nan}, "radius.*finite"),
    "radius beyond the domain": ({"radius": 1.5}, r"no record can be farther out than sqrt\(2\)"),
    "consent without a value": ({"consent": {"column": "ok"}}, "consent value is missing"),
    "consent is a feature": (
        {"consent": {"column": "x0", "value": "1"}},
        "the consent column 'x0' is a feature as well",
    ),
    "budget of nothing": ({"privacy": {"epsilon": 0}}, "privacy epsilon must be a number from"),
    "budget beyond protection": ({"privacy": {"epsilon": 21}}, 'from 0.001 to 20, or "none"'),
    "budget without end": ({"privacy": {"epsilon": math.inf}}, "privacy epsilon"),
    "budget as text": ({"privacy": {"epsilon": "1"}}, "epsilon must be a number"),
    "budget no number": ({"privacy": {"epsilon": math.nan}}, "privacy epsilon"),
    "budget as a yes": ({"privacy": {"epsilon": True}}, "epsilon must be a number"),
    "delta of one": ({"privacy": {"delta": 1}}, "privacy delta"),
    "no noise, unacknowledged": ({"privacy": {"epsilon": "none"}}, NO_NOISE_SENTENCE),
    "no noise, half acknowledged": (
        {"privacy": {"epsilon": "none", "acknowledgement": NO_NOISE_SENTENCE[:-1]}},
        "word for word",
    ),
    "noise, acknowledged": (
        {"privacy": {"acknowledgement": NO_NOISE_SENTENCE}},
        'belongs to epsilon = "none" only',
    ),
    "no recipient": ({"release": {}}, "nobody is to receive"),
    "unknown recipient": (
        {"release": {**EVERYBODY, "report": ["oak"]}},
        "release report: 'oak' is not an organisation of the study",
    ),
    "recipient twice": (
        {"release": {**EVERYBODY, "centroids": ["alder", "alder"]}},
        "centroids names twice 'alder'",
    ),
    "one digit": ({"release": {**EVERYBODY, "significant_digits": 1}}, "significant_digits"),
    "seven digits": ({"release": {**EVERYBODY, "significant_digits": 7}}, "significant_digits"),
    "segments of nobody": ({"release": {**EVERYBODY, "smallest_segment": 0}}, "smallest_segment"),
    "kept for no time": ({"retention_days": 0}, "retention_days"),
    "kept for ever": ({"retention_days": math.inf}, "retention_days"),
    "no last day": ({"expires": "soon"}, "expires"),
    "no parties": ({"parties": []}, "parties"),
    "party twice": ({"parties": [card("alder"), card("alder")]}, "two parties are named 'alder'"),
    "no records": ({"parties": [card("alder", most_records=0)]}, "'alder' most_records"),
    "records of the compute node": ({"compute": card("hub", most_records=9)}, "is unknown"),
    "compute node and key node in one": ({"key": card("hub")}, "'hub' is to run both"),
    "one name, two cards": (
        {"parties": [card("hub", 1), card("alder"), card("birch")]},
        "two organisations are named 'hub', with different cards",
    ),
    "one signing key for two": (
        {"parties": [card("alder", signing_key=identity("hub").card.signing_key), card("birch")]},
        "'hub' and 'alder' have the same signing key",
    ),
    "one sealing key for two": (
        {"parties": [card("alder", sealing_key=identity("hub").card.sealing_key), card("birch")]},
        "'hub' and 'alder' have the same sealing key",
    ),
    "another's certificate": (
        {"compute": card("hub", certificate_pem=identity("alder").certificate_pem)},
        "compute.*made out to another name",
    ),
    "certificate broken": ({"compute": card("hub", certificate_pem=b"x")}, "not a PEM certificate"),
    "two certificates": (
        {"compute": card("hub", certificate_pem=identity("hub").certificate_pem * 2)},
        "compute certificate.*more than one certificate",
    ),
    "signing key too short": ({"compute": card("hub", signing_key=bytes(31))}, "signing_key"),
    "name with a line break": ({"compute": card("hub", name="hub\n")}, "compute name"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_study_that_cannot_be_is_refused_with_its_field(case: str) -> None:
    overrides, reason = REFUSALS[case]
    with pytest.raises(ConfigError, match=reason) as caught:
        check(StudySpec, fields(**overrides), "the draft study.toml")
    assert caught.value.message.startswith("the draft study.toml: ")
    assert caught.value.hint


CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "name": {"name": "autumn"},
    "purpose": {"purpose": "Another."},
    "legal basis": {"legal_basis": "Another."},
    "clusters": {"n_clusters": 5},
    "rounds": {"n_rounds": 9},
    "seed": {"seed": 8},
    "parameter set": {"parameter_set": "ckks-32768-20"},
    "radius": {"radius": 1.0},
    "consent column": {"consent": {"column": "ok", "value": "yes"}},
    "consent value": {"consent": {"column": "ok", "value": "no"}},
    "epsilon": {"privacy": {"epsilon": 2.0}},
    "delta": {"privacy": {"delta": 1e-7}},
    "no noise": {"privacy": no_noise()},
    "smallest segment": {"release": {**EVERYBODY, "smallest_segment": 21}},
    "digits": {"release": {**EVERYBODY, "significant_digits": 4}},
    "report": {"release": {**EVERYBODY, "report": ["birch"]}},
    "centroids": {"release": {**EVERYBODY, "centroids": ["alder"]}},
    "retention": {"retention_days": 31},
    "expiry": {"expires": datetime.date(2030, 1, 1)},
    "bound": {"features": [feature("x0", -1, 2), feature("x1", -1, 1)]},
    "transform": {"features": [feature("x0"), feature("x1", transform="log1p")]},
    "no transform": {"features": [feature("x0"), feature("x1")]},
    "feature's name": {"features": features("x0", "x2")},
    "features' order": {"features": features("x1", "x0")},
    "party": {"parties": [card("alder"), card("birch"), card("cedar")]},
    "most records": {"parties": [card("alder", most_records=9), card("birch")]},
    "parties' order": {"parties": [card("birch"), card("alder")]},
    "another card of the same name": {"compute": card("hub", 1)},
    "compute and key swapped": {"compute": card("keeper"), "key": card("hub")},
}


def test_the_digest_pins_every_field() -> None:
    plain = fields(release=EVERYBODY)
    digests = {StudySpec.model_validate({**plain, **change}).digest for change in CHANGES.values()}
    assert len(digests) == len(CHANGES)


def test_the_canonical_form_is_rfc_8785_with_the_complete_cards() -> None:
    spec = study_spec(parties=("alder",), n_clusters=3)
    document = json.loads(spec.canonical)
    written = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert written.encode() == spec.canonical.replace(b"0.000001", b"1e-06")
    assert hashlib.sha256(spec.canonical).hexdigest() == spec.digest
    hub = identity("hub").card
    assert document["compute"] == hub.document
    assert document["compute"]["certificate"] == hub.certificate_pem.decode()
    assert document["n_clusters"] == 3


def test_the_digest_does_not_depend_on_how_numbers_are_written() -> None:
    digest = study_spec(features=[feature("a", 0, 730)]).digest
    assert study_spec(features=[feature("a", 0.0, 730.0)]).digest == digest
    assert study_spec(retention_days=30).digest == study_spec(retention_days=30.0).digest


def test_a_study_is_frozen() -> None:
    spec = study_spec()
    assert StudySpec.model_validate(spec.model_dump()) == spec
    with pytest.raises(ValidationError):
        spec.n_clusters = 9  # type: ignore[misc]


def test_bounds_scale_to_the_ends_and_the_transform_bends_between() -> None:
    plain = FeatureSpec(name="a", lower=-10, upper=30)
    np.testing.assert_allclose(plain.scale([-10, 10, 30, 50]), [-1, 0, 1, 2])
    bent = FeatureSpec(name="b", transform="log1p", lower=0, upper=99)
    np.testing.assert_allclose(bent.scale([0, 9, 99]), [-1, 0, 1], atol=1e-12)
    assert np.isnan(bent.scale([-2.0]))[0]


@given(
    st.floats(-0.9, 1e6),
    st.floats(0.01, 1e6),
    st.sampled_from(["identity", "log1p"]),
    st.floats(-1.2, 1.2),
)
def test_unscale_is_the_inverse_of_scale(
    lower: float, width: float, transform: str, scaled: float
) -> None:
    assume(width > 1e-3 * abs(lower))  # bounds too close together are refused, see above
    feature = FeatureSpec.model_validate(
        {"name": "f", "transform": transform, "lower": lower, "upper": lower + width}
    )
    assert float(feature.scale(feature.unscale(scaled))) == pytest.approx(scaled, abs=1e-5)
