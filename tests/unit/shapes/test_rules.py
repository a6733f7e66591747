"""Rules in words: drawn from released statistics alone, short, and as good as they say."""

from __future__ import annotations

import functools
import json

import numpy as np
import pandas as pd
import pytest

from mpcseg.shapes import rules as rules_module
from mpcseg.shapes.draws import draw_customers
from mpcseg.shapes.rules import Condition, conditions_of, learn_rules, measure_rules
from mpcseg.study.spec import FeatureSpec
from mpcseg.study.statistics import released_statistics
from tests.unit.shapes.studies import ManyClusters, moons, study_of
from tests.unit.study.test_schedule_real_data import DATA

CDNOW = ("recency_days", "frequency", "monetary")


@functools.cache
def cdnow() -> ManyClusters:
    table = pd.read_csv(DATA / "cdnow_rfm.csv")[list(CDNOW)]
    bounds = {"recency_days": (0, 550), "frequency": (1, 300), "monetary": (0, 15_000)}
    features = tuple(
        FeatureSpec(
            name=name,
            transform="identity" if name == "recency_days" else "log1p",
            lower=bounds[name][0],
            upper=bounds[name][1],
        )
        for name in CDNOW
    )
    values = table.to_numpy(dtype=float)
    return study_of(values, np.zeros(len(values)), 4, n_rounds=4, features=features)


needs_cdnow = pytest.mark.skipif(not DATA.is_dir(), reason=f"the real tables are not at {DATA}")


@needs_cdnow
def test_rules_hold_for_real_customers_nearly_as_well_as_for_drawn_ones() -> None:
    study = cdnow()
    book = learn_rules(released_statistics(study.spec, study.results))
    assert book.fidelity > 0.75
    values = np.column_stack(
        [
            feature.unscale(column)
            for feature, column in zip(study.spec.features, study.records.T, strict=True)
        ]
    )
    labels = study.released.segments[study.nearest]
    real = measure_rules(conditions_of(book), study.spec.features, values, labels)
    assert real.fidelity > book.fidelity - 0.15
    assert all(segment.precision > 0.7 and segment.coverage > 0.7 for segment in real.segments)


@needs_cdnow
def test_rules_are_short_and_their_numbers_are_round() -> None:
    study = cdnow()
    book = learn_rules(released_statistics(study.spec, study.results))
    for segment in book.segments:
        assert 1 <= len(segment.rules) <= 3
        for rule in segment.rules:
            assert 1 <= len(rule.conditions) <= 3
            for condition in rule.conditions:
                for limit in (condition.over, condition.at_most):
                    assert limit is None or len(f"{limit:.10g}".strip("0.").replace(".", "")) <= 2
    assert any("recency_days" in str(rule) for part in book.segments for rule in part.rules)


def test_the_same_statistics_give_the_same_rules_and_json_says_what_they_are_made_of() -> None:
    study = moons()
    statistics = released_statistics(study.spec, study.results)
    first, second = (learn_rules(statistics, n_draws=4000).document for _ in range(2))
    assert first == second
    assert first["made_of"].startswith("customers drawn from the released segment statistics")
    assert json.loads(json.dumps(first, allow_nan=False)) == first


def test_what_is_measured_is_what_the_rules_do() -> None:
    features = (FeatureSpec(name="a", lower=0, upper=10), FeatureSpec(name="b", lower=0, upper=10))
    values = np.array([[1, 1], [3, 1], [5, 1], [7, 9], [9, 9]], dtype=float)
    labels = np.array([1, 1, 2, 2, 2])
    rules = {1: [(Condition("a", None, 5),)], 2: [(Condition("a", 6, None), Condition("b", 2, 9))]}
    book = measure_rules(rules, features, values, labels)
    one, two = book.segments
    assert (one.precision, one.coverage) == (0.667, 1.0)
    assert (two.precision, two.coverage) == (1.0, 0.667)
    assert book.fidelity == 0.8
    assert str(two.rules[0]) == "a over 6, and b over 2 and at most 9"


def test_rules_for_merged_segments_describe_those() -> None:
    study = moons()
    statistics = released_statistics(study.spec, study.results)
    merged = {number: 1 + (number > 8) for number in range(1, 17)}
    book = learn_rules(statistics, merged, n_draws=4000)
    assert [segment.segment for segment in book.segments] == [1, 2]


def test_draws_have_the_released_means_and_spreads_and_keep_to_the_domain() -> None:
    study = moons()
    statistics = released_statistics(study.spec, study.results).select(np.arange(16) == 3)
    drawn = draw_customers(statistics, 50_000, np.random.default_rng(0))
    assert np.abs(drawn.records).max() <= 1
    assert np.linalg.norm(drawn.records, axis=1).max() <= study.spec.l2_radius + 1e-12
    np.testing.assert_allclose(drawn.records.mean(axis=0), statistics.means[0], atol=0.003)
    np.testing.assert_allclose(drawn.records.std(axis=0), statistics.spreads[0], rtol=0.03)


def test_a_small_segment_gets_a_rule_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules_module, "_MOSTLY", 1.1)  # no leaf is good enough
    study = moons()
    book = learn_rules(released_statistics(study.spec, study.results), n_draws=4000)
    assert all(len(segment.rules) == 1 for segment in book.segments)
