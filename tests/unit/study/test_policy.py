"""An organisation's own policy: what each rule refuses, and that it says which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mpcseg.errors import ConfigError, PolicyError
from mpcseg.study.policy import Policy, load_policy, verify_policy
from tests.organisations import features, identity, no_noise, study_spec

TEMPLATE = Path(__file__).parents[3] / "parties" / "policy.toml"
EVERYBODY = {"report": ["alder"], "centroids": ["birch"]}
GENDER = {"name": "gender", "kind": "category", "values": ["f", "m"], "protected": True}
KEEPER = identity("keeper").card


def policy(**rules: Any) -> Policy:
    return Policy.model_validate(rules)


# Rules, what is agreed beyond the defaults, and what is said; None: it is allowed.
RULES: dict[str, tuple[dict[str, Any], dict[str, Any], str | None]] = {
    "no rules": ({}, {"privacy": no_noise()}, None),
    "epsilon at the limit": ({"largest_epsilon": 1}, {}, None),
    "epsilon above it": (
        {"largest_epsilon": 0.99},
        {},
        "largest_epsilon is 0.99, and 1 is agreed",
    ),
    "no noise": (
        {"largest_epsilon": 20},
        {"privacy": no_noise()},
        "largest_epsilon is 20, and 'none' is agreed",
    ),
    "delta at the limit": ({"largest_delta": 1e-6}, {}, None),
    "delta above it": (
        {"largest_delta": 1e-7},
        {},
        "largest_delta is 1e-07, and 1e-06 is agreed",
    ),
    "no noise against a delta": (
        {"largest_delta": 1e-3},
        {"privacy": no_noise()},
        "largest_delta is 0.001, and 'none' is agreed",
    ),
    "a forbidden profile column": (
        {"forbidden_columns": ["Religion"]},
        {"profile_columns": [{"name": "religion", "kind": "category", "values": ["a"]}]},
        "'Religion', and it is agreed as the profile column 'religion'",
    ),
    "a protected column": (
        {"allow_protected": False},
        {"profile_columns": [GENDER]},
        "allow_protected is false, and the column 'gender' is agreed as protected",
    ),
    "a protected column, allowed": ({}, {"profile_columns": [GENDER]}, None),
    "sizes by party": (
        {"allow_party_shares": False},
        {"party_shares": True},
        "allow_party_shares is false, and sizes by party are agreed",
    ),
    "segments at the limit": ({"smallest_segment": 20}, {}, None),
    "smaller segments": (
        {"smallest_segment": 21},
        {},
        "smallest_segment is 21, and 20 is agreed",
    ),
    "retention at the limit": ({"longest_retention_days": 30}, {}, None),
    "longer retention": (
        {"longest_retention_days": 29.5},
        {},
        "longest_retention_days is 29.5, and 30 is agreed",
    ),
    "digits at the limit": ({"most_significant_digits": 3}, {}, None),
    "more digits": (
        {"most_significant_digits": 3},
        {"release": {**EVERYBODY, "significant_digits": 4}},
        "most_significant_digits is 3, and 4 is agreed",
    ),
    "another column": ({"forbidden_columns": ["religion"]}, {}, None),
    "a forbidden feature": (
        {"forbidden_columns": ["Religion "]},
        {"features": features("x0", "RELIGION")},
        "forbidden_columns has 'Religion ', and it is agreed as the feature 'RELIGION'",
    ),
    "a forbidden feature in wide letters": (
        {"forbidden_columns": ["religion"]},
        {"features": features("ｒｅｌｉｇｉｏｎ")},
        "forbidden_columns has 'religion'",
    ),
    "a forbidden consent column": (
        {"forbidden_columns": ["health"]},
        {"consent": {"column": "health", "value": "ok"}},
        "forbidden_columns has 'health', and it is agreed as the consent column",
    ),
    "a key holder by name": ({"key_holders": ["oak", "keeper"]}, {}, None),
    "a key holder by fingerprint": (
        {"key_holders": [KEEPER.card_fingerprint.upper()]},
        {},
        None,
    ),
    "a key holder by what was read out": ({"key_holders": [f" {KEEPER.spoken}\n"]}, {}, None),
    "another key holder": (
        {"key_holders": ["oak"]},
        {},
        "key_holders does not have 'keeper'",
    ),
    "a key holder with another card": (
        {"key_holders": [identity("keeper", 1).card.spoken]},
        {},
        f"key_holders does not have 'keeper' (card {KEEPER.spoken})",
    ),
    "nobody may hold the key": ({"key_holders": []}, {}, "key_holders does not have 'keeper'"),
}


@pytest.mark.parametrize("case", RULES)
def test_a_rule_allows_or_refuses_and_says_so(case: str) -> None:
    rules, agreed, reason = RULES[case]
    spec = study_spec(**agreed)
    if reason is None:
        verify_policy(policy(**rules), spec)
        return
    with pytest.raises(PolicyError) as caught:
        verify_policy(policy(**rules), spec)
    assert reason in caught.value.message
    assert "'trial'" in caught.value.message
    assert caught.value.hint


def test_every_rule_that_is_broken_is_named() -> None:
    with pytest.raises(PolicyError) as caught:
        verify_policy(
            policy(largest_epsilon=0.5, smallest_segment=50, key_holders=["oak"]), study_spec()
        )
    for rule in ("largest_epsilon", "smallest_segment", "key_holders"):
        assert rule in caught.value.message


def test_a_forbidden_column_is_not_used_under_another_name() -> None:
    rules = policy(forbidden_columns=["religion"])
    verify_policy(rules, study_spec(), {"x0": "visits"})
    with pytest.raises(PolicyError, match="it is agreed as the feature 'x0'"):
        verify_policy(rules, study_spec(), {"x0": "Religion"})


def test_nobody_gets_in_by_a_name_that_looks_like_a_trusted_fingerprint() -> None:
    trusted = identity("oak").card.card_fingerprint
    with pytest.raises(PolicyError, match="key_holders"):
        verify_policy(policy(key_holders=[trusted]), study_spec(key=trusted))


def test_the_template_is_a_policy_with_every_rule() -> None:
    text = TEMPLATE.read_text(encoding="utf-8")
    verify_policy(load_policy(TEMPLATE), study_spec())
    for rule in Policy.model_fields:
        assert f"{rule} = " in text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("largest_epsilom = 1", "largest_epsilom is unknown"),
        ("largest_epsilon = inf", "largest_epsilon must be a finite number"),
        ("largest_epsilon = 0", "largest_epsilon must be greater than 0"),
        ('key_holders = ["the notary"]', "or the fingerprint of its card"),
        ("forbidden_columns = 'age'", "forbidden_columns"),
        ("largest_epsilon 1", "not valid TOML"),
    ],
)
def test_a_policy_that_cannot_be_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=reason) as caught:
        load_policy(path)
    assert "policy.toml" in caught.value.message


def test_a_policy_that_is_absent_allows_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"policy\.toml does not exist"):
        load_policy(tmp_path / "policy.toml")
