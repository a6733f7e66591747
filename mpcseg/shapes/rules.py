"""Rules in words for each segment, learnt from customers drawn from the released statistics.

Runs at a recipient. For each segment a shallow decision tree (scikit-learn, an extra) tells its
drawn customers from all others; the leaves that are mostly the segment's become rules, in original
units and rounded. How well the rules do is measured on fresh draws, after the rounding. Nobody's
records are used, so that rules say no more than the released statistics do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpcseg.errors import ConfigError
from mpcseg.privacy.release import significant
from mpcseg.shapes.draws import draw_customers
from mpcseg.study.spec import FeatureSpec
from mpcseg.study.statistics import SegmentStatistics

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MADE_OF = "customers drawn from the released segment statistics; no record of anybody"

N_DRAWS = 20_000
_DEPTH = 3
_LEAST_LEAF = 0.005  # of the draws: a rule for fewer says nothing
_MOST_RULES = 3
_ENOUGH = 0.9  # of a segment that its rules cover: more rules gain little
_WORTH = 0.05  # of a segment that one more rule must add
_MOSTLY = 0.5  # precision from which on a leaf is the segment's
_DIGITS = 3
# A threshold may be moved by 1 % of the feature's agreed width (2 in scaled space) to be shorter.
_SLACK = 0.02


@dataclass(frozen=True)
class Condition:
    """What a rule asks of one feature, in original units.

    Attributes:
        feature: its name.
        over: the value must be larger; None for no such limit.
        at_most: the value must not be larger; None for no such limit.
    """

    feature: str
    over: float | None
    at_most: float | None

    def __str__(self) -> str:
        """As people read it."""
        limits = []
        if self.over is not None:
            limits.append(f"over {self.over:,.10g}")
        if self.at_most is not None:
            limits.append(f"at most {self.at_most:,.10g}")
        return f"{self.feature} {' and '.join(limits)}"

    def holds(self, values: Array) -> Mask:
        """For which values of the feature; shape (n,), original units."""
        mask = np.ones(len(values), dtype=np.bool_)
        if self.over is not None:
            mask &= values > self.over
        if self.at_most is not None:
            mask &= values <= self.at_most
        return mask


@dataclass(frozen=True)
class Rule:
    """Conditions that all hold.

    Attributes:
        conditions: one per feature at most.
        precision: of the fresh draws that meet it, the share with the segment's label.
        coverage: of the fresh draws with the segment's label, the share that meets it.
    """

    conditions: tuple[Condition, ...]
    precision: float
    coverage: float

    def __str__(self) -> str:
        """As people read it."""
        return ", and ".join(str(condition) for condition in self.conditions)


@dataclass(frozen=True)
class SegmentRules:
    """The rules of one segment, of which one must hold.

    Attributes:
        segment: its number.
        rules: the one that covers most first; none where no customer was drawn for it.
        precision: of the fresh draws that meet any of them, the share with its label.
        coverage: of the fresh draws with its label, the share that meets any of them.
    """

    segment: int
    rules: tuple[Rule, ...]
    precision: float
    coverage: float


@dataclass(frozen=True)
class RuleBook:
    """All segments' rules.

    Attributes:
        segments: by number.
        fidelity: of the fresh draws, the share that meets the rules of the segment that it is
            labelled with, and of no other.
        n_draws: customers drawn to learn from, and as many to measure with.
    """

    segments: tuple[SegmentRules, ...]
    fidelity: float
    n_draws: int

    @property
    def document(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "made_of": MADE_OF,
            "n_draws": self.n_draws,
            "fidelity": self.fidelity,
            "segments": [
                {
                    "segment": segment.segment,
                    "precision": segment.precision,
                    "coverage": segment.coverage,
                    "rules": [
                        {
                            "text": str(rule),
                            "conditions": [vars(condition) for condition in rule.conditions],
                            "precision": rule.precision,
                            "coverage": rule.coverage,
                        }
                        for rule in segment.rules
                    ],
                }
                for segment in self.segments
            ],
        }


def learn_rules(
    statistics: SegmentStatistics,
    merged: Mapping[int, int] | None = None,
    *,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> RuleBook:
    """Describe each segment by a few short rules.

    Args:
        statistics: of the shown segments.
        merged: the merged segment of each shown one, to describe those instead.
        n_draws: customers to draw, twice.
        seed: of the draws; the same seed gives the same rules.

    Raises:
        ConfigError: scikit-learn is not installed.
    """
    learning, measuring = (
        draw_customers(statistics, n_draws, rng) for rng in np.random.default_rng(seed).spawn(2)
    )
    numbers = statistics.numbers.tolist()
    labels = _mapped(learning.labels, merged)
    wanted = sorted({merged[number] for number in numbers} if merged else numbers)
    found = {
        number: _rules_of(learning.records, learning.values, labels == number, statistics.features)
        for number in wanted
    }
    return measure_rules(
        found, statistics.features, measuring.values, _mapped(measuring.labels, merged)
    )


def measure_rules(
    rules: Mapping[int, Sequence[tuple[Condition, ...]]],
    features: Sequence[FeatureSpec],
    values: Array,
    labels: npt.NDArray[np.int64],
) -> RuleBook:
    """How well rules tell customers' segments.

    Args:
        rules: of each segment.
        features: the agreed features.
        values: customers in original units, shape (n, d).
        labels: the numbers of their segments, shape (n,).
    """
    segments, claims = [], []
    for number, own in rules.items():
        is_own = labels == number
        met = [_met(conditions, features, values) for conditions in own]
        any_met = np.logical_or.reduce([np.zeros(len(values), dtype=np.bool_), *met])
        measured = [
            Rule(conditions, _share(is_own, mask), _share(mask, is_own))
            for conditions, mask in zip(own, met, strict=True)
        ]
        measured.sort(key=lambda rule: -rule.coverage)
        segments.append(
            SegmentRules(number, tuple(measured), _share(is_own, any_met), _share(any_met, is_own))
        )
        claims.append(any_met)
    n_claims = np.sum(claims, axis=0)
    own_claim = np.logical_or.reduce(
        [claim & (labels == number) for number, claim in zip(rules, claims, strict=True)]
    )
    fidelity = float(((n_claims == 1) & own_claim).mean())
    return RuleBook(tuple(segments), significant(fidelity, _DIGITS), len(values))


def conditions_of(book: RuleBook) -> dict[int, list[tuple[Condition, ...]]]:
    """The bare rules of each segment, to measure them on other customers."""
    return {
        segment.segment: [rule.conditions for rule in segment.rules] for segment in book.segments
    }


def _mapped(
    labels: npt.NDArray[np.int64], merged: Mapping[int, int] | None
) -> npt.NDArray[np.int64]:
    if merged is None:
        return labels
    return np.array([merged[label] for label in labels.tolist()], dtype=np.int64)


def _share(of: Mask, among: Mask) -> float:
    """The share of ``of`` among ``among``; 0 among none."""
    return significant(float(of[among].mean()), _DIGITS) if among.any() else 0.0


def _met(conditions: Sequence[Condition], features: Sequence[FeatureSpec], values: Array) -> Mask:
    index = {feature.name: column for column, feature in enumerate(features)}
    mask = np.ones(len(values), dtype=np.bool_)
    for condition in conditions:
        mask &= condition.holds(values[:, index[condition.feature]])
    return mask


# --- trees ---------------------------------------------------------------------------------


def _rules_of(
    records: Array, values: Array, is_own: Mask, features: Sequence[FeatureSpec]
) -> list[tuple[Condition, ...]]:
    """Up to a few rules for one segment, the most covering leaves first."""
    if not is_own.any():
        return []
    if is_own.all():
        return [()]
    tree = _tree(records, is_own)
    leaves = tree.apply(records)
    candidates = []
    for leaf, box in _boxes(tree.tree_, len(features)).items():
        inside = leaves == leaf
        candidates.append((float(is_own[inside].mean()), int(is_own[inside].sum()), box))
    good = [entry for entry in candidates if entry[0] >= _MOSTLY] or [max(candidates)[:3]]
    good.sort(key=lambda entry: -entry[1])
    chosen: list[tuple[Condition, ...]] = []
    covered = np.zeros(len(records), dtype=np.bool_)
    for _, _, box in good[:_MOST_RULES]:
        conditions = _conditions(box, features)
        met = _met(conditions, features, values)
        if chosen and (met & ~covered)[is_own].mean() < _WORTH:
            continue
        chosen.append(conditions)
        covered |= met
        if covered[is_own].mean() >= _ENOUGH:
            break
    return chosen


def _tree(records: Array, is_own: Mask) -> Any:
    try:
        from sklearn.tree import DecisionTreeClassifier  # noqa: PLC0415  an extra
    except ModuleNotFoundError:
        raise ConfigError(
            "rules need scikit-learn, which is not installed", "Run: pip install 'mpcseg[report]'"
        ) from None
    # Balanced, or a small segment would not be worth a split.
    tree = DecisionTreeClassifier(
        max_depth=_DEPTH,
        min_samples_leaf=_LEAST_LEAF,
        class_weight="balanced",
        random_state=0,
    )
    return tree.fit(records, is_own)


def _boxes(tree: Any, d: int) -> dict[int, list[tuple[float, float]]]:
    """The part of space that each leaf of a tree stands for: (over, at most) for each feature."""
    boxes: dict[int, list[tuple[float, float]]] = {}
    waiting = [(0, [(-np.inf, np.inf)] * d)]
    while waiting:
        node, box = waiting.pop()
        left, right = int(tree.children_left[node]), int(tree.children_right[node])
        if left == right:  # both -1: a leaf
            boxes[node] = box
            continue
        j, threshold = int(tree.feature[node]), float(tree.threshold[node])
        below, above = list(box), list(box)
        below[j], above[j] = (box[j][0], threshold), (threshold, box[j][1])
        waiting += [(left, below), (right, above)]
    return boxes


def _conditions(
    box: Sequence[tuple[float, float]], features: Sequence[FeatureSpec]
) -> tuple[Condition, ...]:
    found = []
    for feature, (over, at_most) in zip(features, box, strict=True):
        slack = min(_SLACK, (at_most - over) / 4)
        low = None if over == -np.inf else _short(feature, over, slack)
        high = None if at_most == np.inf else _short(feature, at_most, slack)
        if low is not None or high is not None:
            found.append(Condition(feature.name, low, high))
    return tuple(found)


def _short(feature: FeatureSpec, threshold: float, slack: float) -> float:
    """A threshold in original units, as short as it can be without moving much."""
    exact = float(feature.unscale(threshold))
    for digits in range(1, 7):
        short = significant(exact, digits)
        if abs(float(feature.scale(short)) - threshold) <= slack:
            return short
    return exact
