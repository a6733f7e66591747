"""Results: each recipient gets what it is entitled to, and nobody learns of small segments."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from mpcseg.errors import AgreementError, ConfigError, SealError
from mpcseg.privacy.budget import no_noise_plan, noise_plan
from mpcseg.privacy.ledger import Ledger
from mpcseg.privacy.release import significant
from mpcseg.study import results as module
from mpcseg.study.figures import Quality
from mpcseg.study.nearest import ReleasedCentroids
from mpcseg.study.outcome import StudyResult
from mpcseg.study.results import (
    NO_NOISE,
    PrivacySpent,
    Results,
    make_results,
    open_results,
    privacy_spent,
    read_results,
    seal_results,
    sealed_bytes,
)
from mpcseg.study.sealing import seal
from mpcseg.study.spec import StudySpec
from tests.made_up import FEATURES, NOTE, SPENT, agreed, finished, report
from tests.organisations import identity

SPEC = agreed()
SIZES = [1200.4, 15.2, 650.1, 0.0, 303.3]


def numbers(value: object) -> list[float]:
    """All numbers in a document."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [number for entry in value for number in numbers(entry)]
    return [value] if isinstance(value, float) else []


# --- what is in the document ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipient", "has_report", "has_centroids"),
    [("alder", True, True), ("birch", True, False), ("hub", False, True)],
)
def test_each_recipient_gets_what_the_agreement_gives_it(
    recipient: str, has_report: bool, has_centroids: bool
) -> None:
    results = make_results(SPEC, recipient, finished(SIZES), SPENT)
    assert (results.report is not None) == has_report
    assert (results.centroids is not None) == has_centroids
    text = results.canonical.decode()
    assert ("centers_scaled" in text, "deviation" in text) == (has_centroids, has_report)


def test_nobody_else_gets_anything() -> None:
    for name in ("keeper", "stranger"):
        with pytest.raises(AgreementError, match=f"gives '{name}' no results"):
            make_results(SPEC, name, finished(SIZES), SPENT)


@pytest.mark.parametrize("digits", [2, 3, 6])
def test_every_number_is_rounded(digits: int) -> None:
    spec = agreed(release={"significant_digits": digits})
    document = make_results(spec, "alder", finished(SIZES), NO_NOISE).document
    found = numbers(document)
    assert len(found) > 20
    assert found == [significant(number, digits) for number in found]
    raw = {float(value) for value in finished(SIZES).cluster_centers.ravel()}
    assert not raw & set(found)


def test_segments_come_by_size_with_their_figures_in_original_units() -> None:
    result = finished([300, 1200.4, 650.1, 200, 100])
    spec = agreed(release={"significant_digits": 6})
    got = report(make_results(spec, "alder", result, SPENT))
    assert [segment.cluster for segment in got.segments] == [1, 2, 0, 3, 4]
    assert [segment.number for segment in got.segments] == [1, 2, 3, 4, 5]
    assert [segment.size for segment in got.segments] == [1200, 650, 300, 200, 100]
    assert (got.n_records, got.n_hidden, got.hidden_reason) == (2450, 0, "")
    for segment in got.segments:
        a = segment.cluster
        assert segment.share == pytest.approx(segment.size / 2450, rel=1e-5)
        assert segment.noise == pytest.approx(result.size_stds[a], rel=1e-5)
        for j, (feature, figures) in enumerate(zip(FEATURES, segment.features, strict=True)):
            mean, spread = result.segment_means[a, j], result.segment_spreads[a, j]
            assert float(feature.scale(figures.centre)) == pytest.approx(mean, abs=1e-5)
            expected = np.clip([mean - spread, mean + spread], -1, 1)
            assert feature.scale([figures.low, figures.high]) == pytest.approx(expected, abs=1e-5)
            sd = math.sqrt(result.feature_covariance[j, j])
            deviation = (mean - result.feature_means[j]) / sd
            assert figures.deviation == pytest.approx(deviation, rel=1e-5)
    # 400 units wide, so that a scaled unit is 200.
    recency = got.segments[0].features[0]
    assert recency.noise == pytest.approx(200 * result.mean_stds[1, 0], rel=1e-5)


def test_where_nothing_is_hidden_the_quality_is_that_of_the_study() -> None:
    result = finished([300, 1200.4, 650.1, 200, 100])
    quality = report(make_results(SPEC, "alder", result, SPENT)).quality
    assert quality.inertia == significant(result.inertia, 3)
    assert (quality.n_rounds, quality.converged) == (7, True)
    assert NOTE in quality.notes
    assert "cluster 1 was empty" in quality.notes


def test_the_quality_says_nothing_of_hidden_segments() -> None:
    quality = report(make_results(SPEC, "alder", finished(SIZES), SPENT)).quality
    assert quality == Quality(None, None, None, (NOTE,))


def test_where_segments_are_hidden_nothing_is_told_of_all_customers_spreads() -> None:
    got = report(make_results(SPEC, "alder", finished(SIZES), SPENT))
    assert got.n_hidden > 1
    assert got.moments is None
    features = [feature for segment in got.segments for feature in segment.features]
    assert features
    assert all(feature.spread is None is feature.deviation_noise for feature in features)


def test_joint_moments_are_those_of_all_customers_in_original_units() -> None:
    result = finished([300, 1200.4, 650.1, 200, 100])
    covariance = result.feature_covariance.copy()
    covariance[0, 1] = covariance[1, 0] = -0.4 * np.sqrt(covariance[0, 0] * covariance[1, 1])
    got = report(make_results(SPEC, "alder", replace(result, feature_covariance=covariance), SPENT))
    assert got.moments is not None
    for sign, told in ((0, got.moments.centres), (-1, got.moments.lows), (1, got.moments.highs)):
        scaled = result.feature_means + sign * np.sqrt(np.diag(covariance))
        expected = [
            float(np.clip(feature.unscale(np.clip(x, -1, 1)), feature.lower, feature.upper))
            for feature, x in zip(FEATURES, scaled.tolist(), strict=True)
        ]
        assert told == tuple(significant(value, 3) for value in expected)
    assert got.moments.correlations == (-0.4,)


def test_spreads_and_noise_are_told_in_standard_deviations_of_all_customers() -> None:
    result = finished([300, 1200.4, 650.1, 200, 100])
    got = report(make_results(SPEC, "alder", result, SPENT))
    overall = np.sqrt(np.diag(result.feature_covariance))
    for segment in got.segments:
        for j, feature in enumerate(segment.features):
            spread = result.segment_spreads[segment.cluster, j] / overall[j]
            noise = result.mean_stds[segment.cluster, j] / overall[j]
            assert feature.spread == significant(float(spread), 3)
            assert feature.deviation_noise == significant(float(noise), 3)


def test_quality_indices_are_not_told_of_means_that_drown_in_noise() -> None:
    result = finished([300, 1200.4, 650.1, 200, 100])
    assert report(make_results(SPEC, "alder", result, SPENT)).quality.explained is not None
    drowned = replace(result, mean_stds=np.full((5, 2), 1.0))
    quality = report(make_results(SPEC, "alder", drowned, SPENT)).quality
    assert quality.inertia is not None
    assert (quality.explained, quality.calinski_harabasz, quality.davies_bouldin) == (None,) * 3


def test_opened_results_are_read_back_from_the_file_that_was_kept() -> None:
    results = make_results(SPEC, "alder", finished(SIZES), SPENT)
    kept = json.dumps(results.document, indent=2).encode()
    assert read_results(SPEC, kept) == results
    for wrong in (
        b"",
        b"[1]",
        kept[:-2],
        kept.replace(b"mpcseg results 2", b"mpcseg results 1"),
        kept.replace(b'"recipient": "alder"', b'"recipient": 3'),
        kept.replace(SPEC.digest.encode(), b"0" * 64),
    ):
        with pytest.raises(ConfigError, match="no results of 'trial'"):
            read_results(SPEC, wrong)


def test_notes_are_bounded() -> None:
    result = finished([300, 1200.4, 650.1, 200, 100])
    record = replace(result.history[0], notes=tuple(f"{i} " + "long " * 99 for i in range(30)))
    notes = report(
        make_results(SPEC, "alder", replace(result, history=(record,)), SPENT)
    ).quality.notes
    assert len(notes) == 10
    assert max(len(note) for note in notes) == 200
    assert notes[-1] == "and 21 notes more"


def test_noise_that_leads_out_of_the_bounds_is_not_shown() -> None:
    result = finished([300, 1200.4, 650.1, 200, 100])
    wild = replace(
        result,
        segment_means=result.segment_means * 50,
        segment_spreads=result.segment_spreads * 1e4,
        mean_stds=result.mean_stds * 1e6,
    )
    for segment in report(make_results(SPEC, "alder", wild, SPENT)).segments:
        for feature, figures in zip(FEATURES, segment.features, strict=True):
            assert (figures.low, figures.high) == (feature.lower, feature.upper)
            assert feature.lower <= figures.centre <= feature.upper
            assert figures.noise == (feature.upper - feature.lower) / 2


def test_without_noise_no_noise_is_told() -> None:
    results = make_results(agreed(noise=False), "alder", finished(SIZES), NO_NOISE)
    for segment in report(results).segments:
        assert segment.noise is None
        assert {figures.noise for figures in segment.features} == {None}
    assert results.privacy == PrivacySpent(None, None, {})


def test_where_nothing_can_be_shown_there_is_no_total_and_no_metric() -> None:
    spec = agreed(2)
    results = make_results(spec, "alder", finished([900, 3]), SPENT)
    got, centroids = report(results), results.centroids
    assert (got.n_records, got.segments, got.n_hidden) == (None, (), 2)
    assert got.quality == Quality(None, None, None, ())
    assert "no segment" in got.hidden_reason
    assert centroids is not None
    assert centroids.document == {
        "segments": [], "centers_scaled": [], "feature_weights": [],
        "features": ["recency", "money"], "suppressed": 2,
    }  # fmt: skip


def test_an_empty_segment_is_shown_as_such_only_where_nothing_need_be_hidden() -> None:
    spec = agreed(3, release={"smallest_segment": 1})
    got = report(make_results(spec, "alder", finished([900, 0, 3]), SPENT))
    assert [segment.size for segment in got.segments] == [900, 3, 0]
    last = got.segments[-1]
    assert {(figures.low, figures.deviation) for figures in last.features} == {(None, 0.0)}


def test_centroids_are_those_of_the_shown_segments_and_fit_for_labelling() -> None:
    result = finished(SIZES)
    centroids = make_results(SPEC, "hub", result, SPENT).centroids
    assert centroids is not None
    assert (centroids.segments, centroids.suppressed) == ((1, 2), 3)
    np.testing.assert_allclose(centroids.centers_scaled, result.cluster_centers[[0, 2]], rtol=5e-3)
    read = ReleasedCentroids.of_document(centroids.document, SPEC.feature_names)
    np.testing.assert_allclose(read.weights, result.feature_weights, rtol=5e-3)


# --- nothing of a hidden segment -----------------------------------------------------------

SMALL_AND_LARGE = st.lists(
    st.one_of(st.integers(0, 30), st.integers(30, 5000)), min_size=5, max_size=5
)


@given(SMALL_AND_LARGE, st.data())
@settings(max_examples=60, deadline=None)
def test_the_document_does_not_depend_on_what_hidden_segments_are_like(
    sizes: list[int], data: st.DataObject
) -> None:
    """Another study, with quite other hidden segments and the same total: the same document."""
    result = finished(sizes)
    hidden = [a for a in range(5) if a not in _shown(make_results(SPEC, "alder", result, SPENT))]
    if not hidden:
        return
    other = finished(sizes, seed=1)
    fields: dict[str, Any] = {}
    for name in (
        "cluster_centers", "segment_means", "segment_spreads", "size_stds", "mean_stds",
    ):  # fmt: skip
        fields[name] = getattr(result, name).copy()
        fields[name][hidden] = getattr(other, name)[hidden]
    together = sum(sizes[a] for a in hidden)
    first = data.draw(st.integers(0, min(together, 19)))
    counts = result.segment_sizes.copy()
    counts[hidden] = 0.0
    counts[hidden[0]], counts[hidden[1]] = first, together - first
    other = replace(
        result, **fields, segment_sizes=counts, inertia=1.0, n_iter=3, converged=False,
        starting_centers=other.starting_centers, history=result.history[:1],
    )  # fmt: skip
    if _shown(make_results(SPEC, "alder", other, SPENT)) != _shown(
        make_results(SPEC, "alder", result, SPENT)
    ):
        return  # this split would be published in another way
    for recipient in SPEC.recipients:
        mine, others = (
            {**make_results(SPEC, recipient, one, SPENT).document, "made_at": ""}
            for one in (result, other)
        )
        assert rfc8785.dumps(mine) == rfc8785.dumps(others)


def _shown(results: Results) -> list[int]:
    return [segment.cluster for segment in report(results).segments]


@given(SMALL_AND_LARGE)
@settings(max_examples=60, deadline=None)
def test_the_released_statistics_span_no_sum_over_a_small_group(sizes: list[int]) -> None:
    """Linear algebra on what the document says, without a look at how it was made.

    The unknowns are each segment's count, sums and sums of squares. A released statistic is a
    row over them: the totals, which n_records, deviations and weights give; those of each shown
    segment; and the inertia, if it is told. No sum over hidden segments that are too few may
    follow.
    """
    result = finished(sizes)
    document = json.loads(make_results(SPEC, "alder", result, SPENT).canonical)
    got, k, d = document["report"], len(sizes), len(FEATURES)
    width = 2 * d + 1
    rows: list[np.ndarray] = []
    if got["n_records"] is not None:
        rows += [np.tile(np.eye(width)[m], k) for m in range(width)]
    shown = [segment["cluster"] for segment in got["segments"]]
    rows += [np.eye(k * width)[a * width + m] for a in shown for m in range(width)]
    if got["quality"]["inertia"] is not None:
        rows.append(_inertia_row(result, got["quality"]["inertia"]))
    span = np.array(rows).reshape(-1, k * width)
    rank = np.linalg.matrix_rank(span) if rows else 0
    hidden = [a for a in range(k) if a not in shown]
    for n in range(1, len(hidden) + 1):
        for group in itertools.combinations(hidden, n):
            if n > 1 and sum(sizes[a] for a in group) >= 20:
                continue
            for m in range(width):
                row = np.zeros(k * width)
                row[[a * width + m for a in group]] = 1
                assert np.linalg.matrix_rank(np.vstack([span, row])) == rank + 1


def _inertia_row(result: StudyResult, inertia: float) -> np.ndarray:
    """The inertia as a statistic, which is what its value says it is."""
    weights = result.feature_weights
    row = np.array(
        [
            [weights @ center**2, *(-2 * weights * center), *weights]
            for center in result.cluster_centers
        ]
    )
    moments = np.column_stack(
        [
            np.ones(len(row)),
            result.segment_means,
            result.segment_means**2 + result.segment_spreads**2,
        ]
    )
    sums = moments * np.maximum(result.segment_sizes, 0)[:, None]
    assert inertia == pytest.approx(float((row * sums).sum()), rel=5e-3)
    return row.ravel()


@pytest.mark.parametrize("tiny", [0, 1, 7, 19])
def test_an_empty_segment_and_a_tiny_one_are_the_same_to_a_reader(tiny: int) -> None:
    sizes = [1000, tiny, 600, 200 - tiny, 300]
    got = make_results(SPEC, "alder", finished(sizes), SPENT)
    assert _shown(got) == [0, 2, 4]
    other = make_results(SPEC, "alder", finished([1000, 10, 600, 190, 300]), SPENT)
    assert report(got).hidden_reason == report(other).hidden_reason
    assert [s.size for s in report(got).segments] == [s.size for s in report(other).segments]
    assert report(got).n_records == report(other).n_records


def test_a_segment_that_is_lost_in_the_noise_is_hidden_whatever_its_size() -> None:
    result = finished([1000, 90, 600, 250, 300])
    assert 1 in _shown(make_results(SPEC, "alder", result, SPENT))
    # What the schedule makes of a segment that it cannot tell from an empty one.
    result.segment_means[1], result.segment_spreads[1] = result.cluster_centers[1], 0.0
    got = make_results(SPEC, "alder", result, SPENT)
    assert 1 not in _shown(got)
    assert "lost in the noise" in report(got).hidden_reason


# --- sealing -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sealed() -> dict[str, bytes]:
    return seal_results(SPEC, identity("keeper"), finished(SIZES), SPENT)


def test_what_was_sealed_opens_as_it_was(sealed: dict[str, bytes]) -> None:
    assert list(sealed) == list(SPEC.recipients) == ["hub", "alder", "birch"]
    for name, content in sealed.items():
        opened = open_results(SPEC, identity(name), content)
        made = make_results(SPEC, name, finished(SIZES), SPENT)
        assert replace(opened, made_at="") == replace(made, made_at="")
        assert opened.recipient == name


def test_the_sealed_length_tells_nothing_but_the_agreement() -> None:
    keeper = identity("keeper")
    plenty = [300, 400, 500, 600, 700]
    for digits in (2, 6):
        spec = agreed(release={"significant_digits": digits})
        lengths = {name: {sealed_bytes(spec, name)} for name in spec.recipients}
        loud = finished(plenty)
        notes = tuple("\x01" * 300 for _ in range(50))
        loud = replace(loud, history=(replace(loud.history[0], notes=notes),))
        for result in (finished(plenty), finished(SIZES), finished([0, 0, 0, 0, 9]), loud):
            for name, content in seal_results(spec, keeper, result, SPENT).items():
                lengths[name].add(len(content))
        assert {len(found) for found in lengths.values()} == {1}


def test_many_features_and_segments_fit_the_length_that_was_told() -> None:
    features = [{"name": f"Ünïcødé {'é' * 50} {i}", "lower": 0, "upper": 1} for i in range(9)]
    spec = agreed(12, features=features)
    small = finished([100.0 + a for a in range(12)])
    wide = {
        name: np.tile(getattr(small, name), 5)[:, :9]
        for name in ("cluster_centers", "segment_means", "segment_spreads", "mean_stds")
    }
    result = replace(
        small, **wide, feature_means=np.zeros(9), feature_covariance=np.eye(9) / 3,
        feature_weights=np.full(9, 1 / 3),
    )  # fmt: skip
    for name, content in seal_results(spec, identity("keeper"), result, SPENT).items():
        assert len(content) == sealed_bytes(spec, name)
        assert open_results(spec, identity(name), content).study == spec.name


def test_only_the_key_nodes_organisation_seals() -> None:
    for other in (identity("hub"), identity("keeper", 1)):
        with pytest.raises(AgreementError, match="does not run the key node"):
            seal_results(SPEC, other, finished(SIZES), SPENT)


def test_the_carrier_cannot_read_what_is_for_others(sealed: dict[str, bytes]) -> None:
    spec = agreed(release={"centroids": ["alder"]})  # the compute node's owner gets nothing
    for name, content in seal_results(spec, identity("keeper"), finished(SIZES), SPENT).items():
        assert name.encode() in content[:200]
        for word in (b"recency", b"centers_scaled", b"segments", b"inertia"):
            assert word not in content
        for reader in ("hub", "keeper"):
            info = b"mpcseg results\0" + bytes.fromhex(spec.digest) + name.encode()
            with pytest.raises(SealError):
                identity(reader).open_sealed(content.split(b"\n", 3)[3], info)


OTHER_STUDY = agreed(name="autumn")


def forged(
    document: bytes | None = None,
    signer: str = "keeper",
    spec: StudySpec = SPEC,
    recipient: str = "alder",
    signed_for: tuple[StudySpec, str] = (SPEC, "alder"),
) -> bytes:
    """Sealed bytes that anybody could make, but for the signature."""
    if document is None:
        document = make_results(spec, recipient, finished(SIZES), SPENT).canonical
    study, name = signed_for
    signed = bytes.fromhex(study.digest) + name.encode() + b"\0" + document
    content = len(document).to_bytes(4, "big") + identity(signer).sign("results", signed) + document
    info = b"mpcseg results\0" + bytes.fromhex(spec.digest) + recipient.encode()
    header = f"mpcseg results 2\n{spec.digest}\n{recipient}\n".encode()
    return header + seal(spec.card_of(recipient), content, info)


def changed(content: bytes, at: int) -> bytes:
    """One bit of one byte changed."""
    copy = bytearray(content)
    copy[at] ^= 1
    return bytes(copy)


def nonsense(change: Callable[[dict[str, Any]], object]) -> bytes:
    """Results of the right form but for one thing, which the key node signed nonetheless."""
    document = make_results(SPEC, "alder", finished(SIZES), SPENT).document
    change(document)
    return forged(rfc8785.dumps(document))


def of_another_study() -> bytes:
    """What the key node sealed for alder in another study."""
    return seal_results(OTHER_STUDY, identity("keeper"), finished(SIZES), SPENT)["alder"]


def not_canonical() -> bytes:
    """The right results, with blanks between them."""
    document = make_results(SPEC, "alder", finished(SIZES), SPENT).document
    return forged(json.dumps(document).encode())


def heading(content: bytes) -> bytes:
    """What stands in the clear before the sealed bytes."""
    return content[: -len(content.split(b"\n", 3)[3])]


def with_header(content: bytes, *, digest: str = SPEC.digest, name: str = "alder") -> bytes:
    """The same sealed bytes under another heading."""
    return f"mpcseg results 2\n{digest}\n{name}\n".encode() + content.split(b"\n", 3)[3]


CHANGED = "changed on the way"
NOT_SIGNED = "not signed by 'keeper'"
NONSENSE = "something that is not results"

ELSEWHERE = "for another organisation than 'alder'"
NOT_RESULTS = "not a file of sealed results"
Sealed = dict[str, bytes]

# What alder opens; whether it opens; if not, why not.
OPERATIONS: list[tuple[str, Callable[[Sealed], bytes], bool, str]] = [
    ("as it was sealed", lambda s: s["alder"], True, ""),
    ("made by hand, the right way", lambda s: forged(), True, ""),
    ("birch's results", lambda s: s["birch"], False, ELSEWHERE),
    ("birch's, under alder's name", lambda s: with_header(s["birch"]), False, CHANGED),
    ("of another study", lambda s: of_another_study(), False, "of another study than 'trial'"),
    (
        "of another study, under this one's digest",
        lambda s: with_header(of_another_study()),
        False,
        CHANGED,
    ),
    (
        "of another study, sealed anew for this one by the carrier",
        lambda s: forged(signed_for=(OTHER_STUDY, "alder")),
        False,
        NOT_SIGNED,
    ),
    (
        "birch's, sealed anew for alder by birch",
        lambda s: forged(signed_for=(SPEC, "birch")),
        False,
        NOT_SIGNED,
    ),
    ("signed by the compute node's owner", lambda s: forged(signer="hub"), False, NOT_SIGNED),
    ("signed by the recipient itself", lambda s: forged(signer="alder"), False, NOT_SIGNED),
    (
        "of another version",
        lambda s: s["alder"].replace(b"results 2", b"results 1", 1),
        False,
        NOT_RESULTS,
    ),
    ("nothing", lambda s: b"", False, NOT_RESULTS),
    ("something else", lambda s: b"\n\n\n\n", False, NOT_RESULTS),
    ("a heading alone", lambda s: heading(s["alder"]), False, CHANGED),
    ("cut off", lambda s: s["alder"][:-1], False, CHANGED),
    ("with something appended", lambda s: s["alder"] + b"\0", False, CHANGED),
    ("the last byte changed", lambda s: changed(s["alder"], -1), False, CHANGED),
    ("a byte in the middle changed", lambda s: changed(s["alder"], 3000), False, CHANGED),
    (
        "the first sealed byte changed",
        lambda s: changed(s["alder"], len(heading(s["alder"]))),
        False,
        CHANGED,
    ),
    ("an empty document", lambda s: forged(b""), False, NONSENSE),
    ("no JSON", lambda s: forged(b"\xff{"), False, NONSENSE),
    ("a list", lambda s: forged(b"[]"), False, NONSENSE),
    ("very deep JSON", lambda s: forged(b"[" * 100_000), False, NONSENSE),
    ("not canonical", lambda s: not_canonical(), False, NONSENSE),
    ("a field too many", lambda s: nonsense(lambda d: d.update(more=1)), False, NONSENSE),
    ("a field too few", lambda s: nonsense(lambda d: d.pop("study")), False, NONSENSE),
    ("birch inside", lambda s: nonsense(lambda d: d.update(recipient="birch")), False, NONSENSE),
    (
        "other features",
        lambda s: nonsense(lambda d: d.update(features=["x", "y"])),
        False,
        NONSENSE,
    ),
    ("no time", lambda s: nonsense(lambda d: d.update(made_at="today")), False, NONSENSE),
    (
        "a number as text",
        lambda s: nonsense(lambda d: d["privacy"].update(epsilon="1")),
        False,
        NONSENSE,
    ),
    (
        "centroids of too few features",
        lambda s: nonsense(lambda d: d["centroids"].update(centers_scaled=[[0.1], [0.2]])),
        False,
        NONSENSE,
    ),
    (
        "more segments than centroids",
        lambda s: nonsense(lambda d: d["centroids"].update(segments=[1, 2, 3])),
        False,
        NONSENSE,
    ),
]


@pytest.mark.parametrize(
    ("make", "success", "reason"),
    [operation[1:] for operation in OPERATIONS],
    ids=[operation[0] for operation in OPERATIONS],
)
def test_opening_succeeds_or_says_why_not(
    sealed: Sealed, make: Callable[[Sealed], bytes], success: bool, reason: str
) -> None:
    content = make(sealed)
    if success:
        assert open_results(SPEC, identity("alder"), content).recipient == "alder"
        return
    with pytest.raises(SealError, match=reason) as refused:
        open_results(SPEC, identity("alder"), content)
    assert refused.value.hint


def test_no_changed_byte_is_accepted() -> None:
    content = forged()
    for at in range(0, len(content), 97):
        with pytest.raises(SealError):
            open_results(SPEC, identity("alder"), changed(content, at))


def test_another_identity_of_the_same_name_cannot_open(sealed: dict[str, bytes]) -> None:
    with pytest.raises(SealError, match="another card of 'alder'"):
        open_results(SPEC, identity("alder", 1), sealed["alder"])


# --- the budget ----------------------------------------------------------------------------


def plan_fields(spec: StudySpec) -> dict[str, Any]:
    return {
        "n_clusters": spec.n_clusters, "n_features": spec.n_features, "n_rounds": 2,
        "n_parties": 2, "radius": spec.l2_radius, "signs": ((7, 7), (7, 15)),
    }  # fmt: skip


def spend_everything(ledger: Ledger) -> None:
    ledger.spend("admission", 0)
    ledger.spend("moments", 1)
    ledger.spend("lloyd", 2, (7, 7))
    ledger.spend("lloyd", 3, (7, 15))
    ledger.spend("profile", 4, (7, 15))


def test_the_budget_is_told_by_kind_of_round() -> None:
    plan = noise_plan(epsilon=1.0, delta=1e-6, own_draw=False, **plan_fields(SPEC))
    ledger = Ledger(plan, SPEC.digest)
    spend_everything(ledger)
    spent = privacy_spent(SPEC, ledger)
    # What is left pays for admission rounds of runs that stop there.
    assert 0.985 < spent.epsilon < 1.0
    assert spent.delta == SPEC.privacy.delta
    assert list(spent.shares) == ["admission", "moments", "lloyd", "profile"]
    assert sum(spent.shares.values()) == pytest.approx(1)
    assert max(spent.shares, key=lambda kind: spent.shares[kind]) == "lloyd"
    assert asdict(make_results(SPEC, "birch", finished(SIZES), spent))["privacy"]["delta"] == 1e-6


def test_without_noise_there_is_no_budget_to_tell_of() -> None:
    spec = agreed(noise=False)
    ledger = Ledger(no_noise_plan(**plan_fields(spec)), spec.digest)
    spend_everything(ledger)
    assert privacy_spent(spec, ledger) == NO_NOISE


def test_the_format_is_told() -> None:
    assert make_results(SPEC, "birch", finished(SIZES), SPENT).document["format"] == module._FORMAT
