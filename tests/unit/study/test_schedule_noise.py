"""The schedule under noise: what it finds, what it says of its own accuracy, and where it stops."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from mpcseg.errors import ProtocolError, TooFewRecordsError
from mpcseg.reference.lloyd import lloyd
from mpcseg.reference.metrics import inertia
from mpcseg.reference.moments import moment_sums
from mpcseg.study.schedule import StudyResult
from tests.unit.study.clear_study import (
    after_admission,
    clear_schedule,
    clear_sums,
    plan_for,
    run_clear,
)

DATA = Path(__file__).resolve().parents[3].parent / "shared" / "data"


def blobs(n: int = 20_000, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    places = np.array([[-0.7, -0.6, 0.2], [0.7, -0.5, -0.4], [0.0, 0.75, 0.5]])
    return np.clip(places[rng.integers(3, size=n)] + rng.normal(0, 0.1, (n, 3)), -1, 1)


def noised_study(
    records: np.ndarray,
    k: int,
    epsilon: float,
    seed: int,
    *,
    own_draw: bool = False,
    n_rounds: int = 8,
) -> StudyResult:
    shape = {"epsilon": epsilon, "own_draw": own_draw, "n_rounds": n_rounds, "n_clusters": k}
    features = [f"f{j}" for j in range(records.shape[1])]
    study = clear_schedule(features=features, seed=seed, **shape)  # type: ignore[arg-type]
    plan = plan_for(n_features=len(features), **shape)  # type: ignore[arg-type]
    return run_clear(study, [records], k, (plan, np.random.default_rng(seed)))


@pytest.fixture(scope="module")
def cdnow() -> np.ndarray:
    """Scaled by round bounds, as an agreement would have them."""
    if not DATA.is_dir():
        pytest.skip(f"the real tables are not at {DATA}")
    table = pd.read_csv(DATA / "cdnow_rfm.csv")
    columns = []
    for name, lower, upper in [
        ("recency_days", 0, 546), ("frequency", 1, 200), ("monetary", 0, 10_000),
        ("units", 1, 1_000), ("tenure_days", 455, 546), ("active_span_days", 0, 546),
    ]:  # fmt: skip
        log = np.log1p if name in ("frequency", "monetary", "units") else np.asarray
        low, high = float(log(lower)), float(log(upper))
        values = log(table[name].to_numpy(dtype=float))
        columns.append(np.clip(2 * (values - low) / (high - low) - 1, -1, 1))
    return np.column_stack(columns)


@pytest.fixture(scope="module")
def least(cdnow: np.ndarray) -> float:
    """Inertia of the best of ten scikit-learn starts, in the standardised metric."""
    best = KMeans(5, n_init=10, random_state=0).fit(cdnow / cdnow.std(axis=0))
    return float(best.inertia_)


@pytest.mark.parametrize("own_draw", [False, True])
@pytest.mark.parametrize(("epsilon", "most"), [(1.0, 1.01), (2.0, 1.004)])
def test_accuracy_on_customers_under_the_whole_budget(
    cdnow: np.ndarray, least: float, epsilon: float, most: float, own_draw: bool
) -> None:
    """Median of five seeds against the best of ten scikit-learn starts, k = 5, delta = 1e-6."""
    weights = 1 / cdnow.var(axis=0)
    ratios = []
    for seed in range(5):
        result = noised_study(cdnow, 5, epsilon, seed, own_draw=own_draw)
        ratios.append(inertia(cdnow, result.cluster_centers, weights) / least)
    assert np.median(ratios) <= most


def test_all_rounds_are_made_with_the_sharp_sign() -> None:
    result = noised_study(blobs(), 3, 1.0, 0)
    assert [r.sign for r in result.history] == [(), ()] + [(7, 15)] * 9
    assert result.n_iter == 8
    assert result.converged  # the last move is no more than its noise
    assert "stopped" in result.history[-2].notes[-1]


def test_separated_clusters_are_found_and_the_report_is_about_right() -> None:
    records = blobs()
    result = noised_study(records, 3, 1.0, 3)
    reference, _ = lloyd(records, result.starting_centers, 50, 1 / records.var(axis=0))
    np.testing.assert_allclose(result.cluster_centers, reference, atol=0.02)
    np.testing.assert_allclose(result.segment_means, reference, atol=0.02)
    np.testing.assert_allclose(result.segment_spreads, 0.1, atol=0.06)
    assert (result.segment_spreads > 0).all()
    assert result.n_records == pytest.approx(20_000, abs=400)
    assert result.segment_sizes.sum() == pytest.approx(20_000, abs=500)


def test_stated_deviations_are_those_of_the_errors() -> None:
    """Over many seeds: sizes and means of well separated groups against the truth."""
    records = blobs(12_000)
    truth, _ = lloyd(records, np.array([[-0.7, -0.6, 0.2], [0.7, -0.5, -0.4], [0.0, 0.75, 0.5]]),
                     50, 1 / records.var(axis=0))  # fmt: skip
    nearest = np.linalg.norm(records[:, None] - truth, axis=2).argmin(axis=1)
    counts = np.bincount(nearest)
    size_errors, mean_errors = [], []
    for seed in range(15):
        result = noised_study(records, 3, 1.0, seed, n_rounds=5)
        order = np.linalg.norm(truth[:, None] - result.cluster_centers, axis=2).argmin(axis=1)
        size_errors.append((result.segment_sizes[order] - counts) / result.size_stds[order])
        mean_errors.append((result.segment_means[order] - truth) / result.mean_stds[order])
    # 45 and 135 errors; the means' are not independent, hence the wide limits.
    assert 0.7 < np.std(size_errors) < 1.4
    assert 0.7 < np.std(mean_errors) < 1.4


def test_without_noise_no_deviation_is_stated() -> None:
    records = blobs(2000)
    result = run_clear(clear_schedule(n_clusters=3, features=["a", "b", "c"]), [records], 3)
    assert not result.size_stds.any()
    assert not result.mean_stds.any()


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 6),
    st.integers(1, 5),
    st.integers(2, 3000),
    st.sampled_from([0.05, 0.5, 2.0, 10.0]),
    st.integers(1, 6),
)
def test_any_records_and_any_noise_end_in_a_result_inside_the_domain_or_in_a_refusal(
    seed: int, k: int, d: int, n: int, epsilon: float, n_rounds: int
) -> None:
    """Constant features, few records, noise that drowns all: no other error, no other value."""
    rng = np.random.default_rng(seed)
    records = rng.choice([-1.0, -0.99, 0.2, 1.0], (n, d))
    try:
        result = noised_study(records, k, epsilon, seed, n_rounds=n_rounds)
    except TooFewRecordsError:
        return
    for values in (result.cluster_centers, result.segment_means):
        assert np.abs(values).max() <= 1
    assert np.isfinite(result.segment_sizes).all()
    assert (result.segment_spreads >= 0).all()
    assert (result.segment_spreads <= 1).all()
    assert (result.size_stds > 0).all()
    assert (result.mean_stds > 0).all()
    assert (result.mean_stds <= 1).all()
    assert np.isfinite(result.inertia)
    assert (np.linalg.eigvalsh(result.feature_covariance) > 0).all()
    assert (result.feature_weights > 0).all()


def test_records_lost_in_the_noise_are_said_to_be_too_few() -> None:
    records = blobs(100)
    study = after_admission(
        clear_schedule(n_clusters=3, features=["a", "b", "c"], epsilon=0.1, n_rounds=8)
    )
    with pytest.raises(TooFewRecordsError, match="too few records for this noise") as caught:
        study.receive(moment_sums(records))
    assert "mpcseg plan" in (caught.value.hint or "")
    study = after_admission(
        clear_schedule(n_clusters=3, features=["a", "b", "c"], epsilon=0.1, n_rounds=8)
    )
    with pytest.raises(TooFewRecordsError, match="as far as the noise lets see"):
        study.receive(-moment_sums(records))


@pytest.mark.parametrize("kind", ["moments", "lloyd", "profile"])
def test_noise_is_plausible_and_what_noise_cannot_be_is_not(kind: str) -> None:
    records = blobs(3000)
    shape = {"n_clusters": 3, "n_rounds": 3, "epsilon": 1.0}
    study = clear_schedule(features=["a", "b", "c"], **shape)  # type: ignore[arg-type]
    plan = plan_for(n_features=3, **shape)  # type: ignore[arg-type]
    while (request := study.request()) is not None and request.kind != kind:
        study.receive(clear_sums(request, records, 3))
    assert request is not None
    sums, stds = clear_sums(request, records, 3), plan.effective_stds(request.kind, request.sign)
    impossible = sums + 1e4 * stds
    impossible.flat[0] = sums.flat[0]  # in the moments, the count that the others are held against
    with pytest.raises(ProtocolError):
        study.receive(impossible)
    assert study.request() is request
    study.receive(sums + 6 * stds)
    assert study.request() is not request


def emptied(sums: np.ndarray, cluster: int) -> np.ndarray:
    """The cluster's records are all in the one before it."""
    moved = sums.copy()
    moved[cluster - 1] += moved[cluster]
    moved[cluster] = 0.0
    return moved


def test_a_cluster_lost_in_the_noise_keeps_its_place() -> None:
    """Of 400 records nobody can say whether a cluster is empty: reseeding it would be a guess."""
    records = blobs(400)
    study = after_admission(
        clear_schedule(n_clusters=3, features=["a", "b", "c"], epsilon=1.0, n_rounds=6)
    )
    study.receive(moment_sums(records))
    request = study.request()
    assert request is not None
    record = study.receive(emptied(clear_sums(request, records, 3), 1))
    assert "cluster 1 is empty or lost in the noise and kept its place" in record.notes


def test_a_cluster_that_is_certainly_empty_is_reseeded_but_not_while_means_are_averaged() -> None:
    records = blobs(20_000)
    study = after_admission(
        clear_schedule(n_clusters=3, features=["a", "b", "c"], epsilon=1.0, n_rounds=5)
    )
    study.receive(moment_sums(records))
    told = []
    for _ in range(5):
        request = study.request()
        assert request is not None
        sums = emptied(clear_sums(request, records, 3), 1)
        told.append(" ".join(study.receive(sums).notes))
    assert "cluster 1 was empty and was reseeded" in told[0]
    assert all("kept its place" in text for text in told[-3:])
