"""Merged segments: figures that follow from the parts, the file, and what the noise decides."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpcseg.errors import AgreementError, ConfigError
from mpcseg.report.files import write_json
from mpcseg.shapes.merged import merge_segments, read_mapping
from mpcseg.shapes.merging import merged_by
from mpcseg.study.results import Results
from mpcseg.study.statistics import SegmentStatistics, released_statistics
from tests.unit.shapes.studies import moons, noised_moons


def test_sizes_means_and_spreads_are_those_of_the_customers_together() -> None:
    study = moons()
    statistics, rows = released_statistics(study.spec, study.results), study.nearest
    exact: SegmentStatistics = dataclasses.replace(
        statistics,
        sizes=np.bincount(rows).astype(float),
        means=np.array([study.records[rows == a].mean(axis=0) for a in range(16)]),
        spreads=np.array([study.records[rows == a].std(axis=0) for a in range(16)]),
    )
    groups = np.arange(16) % 3
    merged = merge_segments(study.spec, exact, groups, "ward")
    assert [segment.number for segment in merged.segments] == [1, 2, 3]
    for segment in merged.segments:
        members = np.array(segment.members) - 1
        own = study.records[np.isin(rows, members)]
        assert set(groups[members]) == {groups[members[0]]}
        assert segment.size == pytest.approx(len(own), rel=0.005)
        for j, feature in enumerate(segment.features):
            mean, std = own[:, j].mean(), own[:, j].std()
            expected = study.spec.features[j].unscale([mean, mean - std, mean + std])
            assert list(dataclasses.astuple(feature)) == pytest.approx(expected, rel=0.006)
    assert sum(segment.share for segment in merged.segments) == pytest.approx(1.0, abs=0.002)


def test_the_file_of_merged_segments_says_where_each_segment_belongs(tmp_path: Path) -> None:
    study, path = moons(), tmp_path / "merged.json"
    merged = merged_by(study.spec, study.results, "ward", 3)
    write_json(path, merged.document)
    assert read_mapping(path, study.spec) == merged.of_released
    assert sorted(merged.of_released) == list(range(1, 17))
    assert set(merged.of_released.values()) == {1, 2, 3}


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "mpcseg merged segments 0"},
        {"segments": []},
        {"segments": [{"segment": 1, "members": [1, 1]}]},
        {"segments": [{"segment": 1, "members": [1]}, {"segment": 2, "members": [1]}]},
        {"segments": [{"segment": "one", "members": [1]}]},
        {"segments": None},
    ],
)
def test_what_is_no_file_of_merged_segments_is_refused(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    study, path = moons(), tmp_path / "merged.json"
    document = merged_by(study.spec, study.results, "ward", 3).document
    path.write_text(json.dumps({**document, **changes}))
    with pytest.raises(ConfigError, match="is not a file of merged segments"):
        read_mapping(path, study.spec)


def test_merged_segments_of_another_study_are_refused(tmp_path: Path) -> None:
    study, path = moons(), tmp_path / "merged.json"
    write_json(path, merged_by(study.spec, study.results, "ward", 3).document)
    other = study.spec.model_copy(update={"name": "other"})
    with pytest.raises(ConfigError, match="merges segments of another study than 'other'"):
        read_mapping(path, dataclasses.replace(study, spec=_fresh(other)).spec)


def _fresh(spec: Any) -> Any:
    return type(spec).model_validate(spec.model_dump(by_alias=True))


def test_noise_shows_in_sizes_and_in_how_often_members_stay_together() -> None:
    study = noised_moons()
    merged = merged_by(study.spec, study.results, "density", 2)
    assert all(segment.size_noise is not None for segment in merged.segments)
    stays = [segment.together for segment in merged.segments if len(segment.members) > 1]
    assert stays
    assert all(share is not None and 0 < share <= 1 for share in stays)
    again = merged_by(study.spec, study.results, "density", 2)
    assert again == merged
    exact = merged_by(moons().spec, moons().results, "density")
    assert all(segment.together is segment.size_noise is None for segment in exact.segments)


def without(results: Results, numbers: set[int]) -> Results:
    """Results in which some segments have no customers."""
    assert results.report is not None
    segments = tuple(
        dataclasses.replace(
            segment,
            size=0,
            features=tuple(
                dataclasses.replace(feature, low=None, high=None) for feature in segment.features
            ),
        )
        if segment.number in numbers
        else segment
        for segment in results.report.segments
    )
    return dataclasses.replace(
        results, report=dataclasses.replace(results.report, segments=segments)
    )


def test_a_segment_without_customers_goes_where_its_centroid_is_nearest() -> None:
    study = moons()
    merged = merged_by(study.spec, without(study.results, {4}), "ward", 3).of_released
    centers = study.released.centers * np.sqrt(study.released.weights)
    squares = ((centers - centers[3]) ** 2).sum(axis=1)
    squares[3] = np.inf
    assert merged[4] == merged[int(squares.argmin()) + 1]


def test_nothing_can_be_merged_of_one_segment_or_without_the_report() -> None:
    study = moons()
    with pytest.raises(ConfigError, match="fewer than two segments with customers"):
        merged_by(study.spec, without(study.results, set(range(2, 17))), "ward")
    with pytest.raises(AgreementError, match="sizes and spreads of the segments are in the report"):
        merged_by(study.spec, dataclasses.replace(study.results, report=None), "ward")
