"""Drift between two studies: planted changes have their formulas' values; nothing has none."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np
import pytest

from mpcseg.errors import AgreementError
from mpcseg.report.drift import Drift, Limits, drift
from mpcseg.report.drift_section import drift_section
from mpcseg.report.drift_words import summary, verdict
from mpcseg.report.pictures import svg
from mpcseg.study.outcome import StudyResult
from mpcseg.study.results import NO_NOISE, Results, make_results
from mpcseg.study.spec import FeatureSpec, StudySpec
from tests.organisations import no_noise, study_spec
from tests.unit.study.clear_study import clear_schedule, plan_for, run_clear

# Wide bounds and a shifted origin: nothing may depend on scaled space being the original one.
FEATURES = (
    FeatureSpec(name="recency", lower=-100, upper=300),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=10_000),
)
MEANS = np.array([[-0.6, 0.2], [0.5, -0.4], [0.1, 0.7]])
DEVIATIONS = np.array([0.4, 0.25])
SIZES = np.array([5000.0, 3000.0, 2000.0])


@functools.cache
def specs(*, noise: bool = False, **overrides: Any) -> tuple[StudySpec, StudySpec]:
    """A study and one that follows it: the report to alder and birch, centroids to alder."""
    fields: dict[str, Any] = {
        "n_clusters": 3,
        "features": FEATURES,
        "release": {
            "report": ["alder", "birch"],
            "centroids": ["alder", "keeper"],
            "significant_digits": 6,
        },
        **({} if noise else {"privacy": no_noise()}),
        **overrides,
    }
    former = study_spec(name="spring", **fields)
    return former, study_spec(name="summer", former=former.digest, **fields)


def found(
    sizes: np.ndarray = SIZES,
    means: np.ndarray = MEANS,
    size_std: float = 0.0,
    mean_std: float = 0.0,
) -> StudyResult:
    """A study that has come to these segments, with noise of these standard deviations in them."""
    k, d = means.shape
    return StudyResult(
        cluster_centers=means,
        segment_sizes=sizes,
        segment_means=means,
        segment_spreads=np.full((k, d), 0.1),
        size_stds=np.full(k, size_std),
        mean_stds=np.full((k, d), mean_std),
        inertia=1.0,
        n_records=round(sizes.sum()),
        feature_means=np.zeros(d),
        feature_covariance=np.diag(DEVIATIONS**2),
        feature_weights=1 / DEVIATIONS**2,
        starting_centers=means,
        n_iter=3,
        converged=True,
        history=(),
    )


def compared(before: StudyResult, now: StudyResult, *, to: str = "alder", **options: Any) -> Drift:
    former, new = specs(**options)
    return drift(
        new, make_results(former, to, before, NO_NOISE), make_results(new, to, now, NO_NOISE)
    )


# --- planted answers -----------------------------------------------------------------------


def test_a_segment_that_grew_has_the_index_of_the_formula() -> None:
    grown = np.array([4000.0, 3000.0, 3000.0])
    seen = compared(found(), found(grown))
    psi = (0.4 - 0.5) * math.log(0.4 / 0.5) + (0.3 - 0.2) * math.log(0.3 / 0.2)
    assert seen.psi == pytest.approx(psi, rel=1e-9)
    assert [(s.former_share, s.share) for s in seen.segments] == [
        pytest.approx(pair) for pair in ((0.5, 0.4), (0.3, 0.3), (0.2, 0.3))
    ]
    assert seen.psi > seen.psi_explained
    assert not seen.exceeded  # 0.063 is under the usual limit
    assert dataclasses.replace(seen, limits=Limits(psi=0.06)).exceeded
    assert "grew from 20.0% to 30.0%" in verdict(seen, seen.segments[2])
    assert "its share has not changed" in verdict(seen, seen.segments[1])


@pytest.mark.parametrize("to", ["alder", "birch"])
def test_a_mean_that_moved_by_two_deviations_is_found_to_have_moved_by_two(to: str) -> None:
    """Birch has no centroids: the metric follows from the segments' means and deviations."""
    moved = MEANS.copy()
    moved[1, 1] -= 2 * DEVIATIONS[1]
    seen = compared(found(), found(means=moved), to=to)
    by_former = {segment.former: segment for segment in seen.segments}
    assert by_former[2].move == pytest.approx(2, rel=1e-3)
    assert by_former[2].moves == pytest.approx((0, -2), abs=2e-3)
    assert [seen.moved(by_former[number]) for number in (1, 2, 3)] == [False, True, False]
    assert seen.exceeded
    assert not seen.sizes_changed
    assert "it moved by 2.00 sd (money -2.00 sd" in verdict(seen, by_former[2])
    assert "A limit is passed: where segment 2 is" in summary(seen)[0]


def test_segments_are_matched_by_place_whatever_their_numbers() -> None:
    """The follow-up's largest is the former's smallest: its rows keep the former's order."""
    seen = compared(found(), found(np.array([2000.0, 3000.0, 5000.0])))
    assert [(s.number, s.former) for s in seen.segments] == [(1, 3), (2, 2), (3, 1)]
    assert all(s.started_elsewhere is None and s.move == 0 for s in seen.segments)


def test_a_segment_that_took_another_s_place_is_named() -> None:
    seen = compared(found(), found(means=MEANS[[1, 0, 2]]))
    assert [(s.number, s.former, s.started_elsewhere) for s in seen.segments] == [
        (1, 2, 1), (2, 1, 2), (3, 3, None),
    ]  # fmt: skip
    assert "It began where former segment 1 was" in verdict(seen, seen.segments[0])


def test_hidden_segments_count_as_everybody_else() -> None:
    sizes, now = (
        np.array([5000.0, 4000.0, 980.0, 15.0, 5.0]),
        np.array([5000.0, 3000.0] + [667.0] * 3),
    )
    means = np.vstack([MEANS, [[-0.9, -0.9], [0.9, -0.9]]])
    seen = compared(found(sizes, means), found(now, means), n_clusters=5)
    both = [s for s in seen.segments if s.former and s.number]
    shares = [(s.former_share, s.share) for s in both]
    rest = tuple(1 - sum(side) for side in zip(*shares, strict=True))
    psi = sum((q - p) * math.log(q / p) for p, q in [*shares, rest])
    assert seen.psi == pytest.approx(psi)
    assert sum(s.former is None for s in seen.segments) == 5 - len(both) > 0
    shown_first = [verdict(seen, s) for s in seen.segments if s.former is None]
    assert all("is shown for the first time" in said for said in shown_first)


def test_only_noise_that_is_there_excuses_a_move() -> None:
    moved = MEANS + np.array([0.6, 0]) * DEVIATIONS
    certain, drowned = (
        compared(found(mean_std=std), found(means=moved, mean_std=std), noise=True)
        for std in (0.001, 0.4)
    )
    assert all(certain.moved(segment) for segment in certain.segments)
    assert not any(drowned.moved(segment) for segment in drowned.segments)
    assert "it has not moved beyond chance" in verdict(drowned, drowned.segments[0])


# --- nothing moved -------------------------------------------------------------------------


def test_what_noise_alone_makes_is_what_it_is_said_to_make() -> None:
    rng = np.random.default_rng(1)
    size_std, mean_std, n = 60.0, 0.02, 300

    def drawn() -> StudyResult:
        sizes = SIZES + rng.normal(0, size_std, 3)
        chance = np.hypot(mean_std, 0.1 / np.sqrt(SIZES))[:, None]
        return found(sizes, MEANS + rng.normal(0, 1, (3, 2)) * chance, size_std, mean_std)

    seen = [compared(drawn(), drawn(), noise=True) for _ in range(n)]
    assert np.mean([one.psi for one in seen]) == pytest.approx(seen[0].psi_noise, rel=0.15)
    assert np.mean([one.psi > one.psi_explained for one in seen]) <= 0.01
    z = np.array([segment.move_z for one in seen for segment in one.segments])
    assert abs(np.mean(z)) < 0.15
    assert np.mean(z > 3) < 0.01
    share_z = np.array([segment.share_z for one in seen for segment in one.segments])
    assert np.std(share_z) < 1.1
    assert not any(one.exceeded for one in seen)


def test_a_real_schedule_with_noise_raises_no_alarm_where_nothing_has_changed() -> None:
    """Epsilon 1, other customers of the same kind each time: the false alarms are counted."""
    former, new = specs(noise=True, n_rounds=4)
    alarms, n = 0, 4
    for seed in range(n):
        rng = np.random.default_rng(seed)
        before, now = (
            np.clip(MEANS[rng.choice(3, 4000, p=[0.5, 0.3, 0.2])] + rng.normal(0, 0.12, (4000, 2)),
                    -1, 1)
            for _ in range(2)
        )  # fmt: skip
        one = made(former, before, rng, seed)
        assert one.centroids is not None
        start = np.array(one.centroids.centers_scaled)
        alarms += drift(new, one, made(new, now, rng, seed, former=start)).exceeded
    assert alarms == 0


def made(
    spec: StudySpec, records: np.ndarray, rng: np.random.Generator, seed: int, **options: Any
) -> Results:
    shape: dict[str, Any] = {"n_clusters": 3, "n_rounds": spec.n_rounds, "epsilon": 1.0}
    schedule = clear_schedule(features=spec.feature_names, seed=seed, **shape, **options)
    result = run_clear(schedule, [records], 3, (plan_for(n_features=2, **shape), rng))
    return make_results(spec, "alder", result, NO_NOISE)


# --- what does not go together -------------------------------------------------------------


def test_results_of_other_studies_are_refused() -> None:
    former, new = specs()
    was, is_ = (make_results(spec, "alder", found(), NO_NOISE) for spec in (former, new))
    with pytest.raises(AgreementError, match="the new results are of another study"):
        drift(new, was, was)
    with pytest.raises(AgreementError, match="not of the study that 'summer' follows"):
        drift(new, is_, is_)
    with pytest.raises(AgreementError, match="not of the study that 'spring' follows"):
        drift(former, was, was)
    with pytest.raises(AgreementError, match="has received no report"):
        drift(new, dataclasses.replace(was, report=None), is_)


# --- the section ---------------------------------------------------------------------------


def test_the_section_says_what_was_computed_and_its_figures_can_be_drawn() -> None:
    moved = MEANS.copy()
    moved[0, 0] += DEVIATIONS[0]
    seen = compared(found(), found(np.array([2000.0, 3000.0, 5000.0]), moved))
    section = drift_section(seen)
    assert "signature was not checked again" in section.notes[-1]
    assert section.paragraphs[0].startswith("A limit is passed: their sizes, where segment 3 is")
    (table,) = section.tables
    rows = [dict(zip((c.name for c in table.columns), row, strict=True)) for row in table.rows]
    assert [row["former_segment"] for row in rows] == [3, 2, 1]
    assert sum(segment.psi for segment in seen.segments) == pytest.approx(seen.psi)
    assert [row["passes"] for row in rows] == ["no", "no", "yes"]
    for figure in section.figures:
        assert svg(figure).startswith("<svg")
