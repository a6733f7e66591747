"""From opened results to merged labels, offline: the two commands that a recipient gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score
from typer.testing import CliRunner

from mpcseg.cli.app import app
from mpcseg.errors import ConfigError, MpcsegError
from mpcseg.report.files import write_json
from tests.organisations import no_noise, save_identity, study_spec, write_study
from tests.unit.shapes.studies import ManyClusters, moons


def run(*arguments: object, fails: type[MpcsegError] | None = None) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "160"})
    if fails is None:
        assert done.exit_code == 0, f"{done.output} {done.exception!r}"
        return done.output
    assert type(done.exception) is fails
    return str(done.exception)


@pytest.fixture
def received(tmp_path: Path) -> tuple[Path, list[object]]:
    """A folder with alder's results and table, and the options that name the study."""
    study: ManyClusters = moons()
    known = {name: save_identity(tmp_path / name, name) for name in ("alder", "birch")}
    spec = study_spec(
        known=known, features=study.spec.features, n_clusters=16, n_rounds=2, privacy=no_noise()
    )
    agreement = write_study(tmp_path / "moons.agreement", spec, known)
    results = dataclasses.replace(study.results, study_digest=spec.digest)
    write_json(tmp_path / "results.json", results.document)
    columns = {
        feature.name: feature.unscale(column)
        for feature, column in zip(study.spec.features, study.records.T, strict=True)
    }
    frame = pd.DataFrame({"id": range(len(study.truth)), **columns})
    frame.to_parquet(tmp_path / "customers.parquet")
    return tmp_path, ["--study", agreement, "--results", tmp_path / "results.json"]


def test_two_moons_go_from_results_to_merged_labels(received: tuple[Path, list[object]]) -> None:
    folder, of_study = received
    merged, labels = folder / "merged.json", folder / "labels.parquet"
    told = run("shapes", *of_study[1:], "--by", "density", "--output", merged)
    assert "Merged segments of trial (density)" in told
    table = ["--data", folder / "customers.parquet", "--id-column", "id"]
    own = ["--identity", folder / "alder", *table, "--progress", "none"]
    told = run("party", "results", *of_study, *own, "--merged", merged, "--labels", labels)
    assert "(1,500 own customers: " in told
    found = pd.read_parquet(labels)
    assert list(found.columns) == ["id", "segment", "part", "distance", "confidence", "far"]
    assert found["confidence"].between(0, 1).all()
    assert adjusted_rand_score(moons().truth, found["segment"]) > 0.98

    url = f"sqlite:///{folder / 'shop.db'}"
    into = ["--labels", url, "--labels-table", "segments"]
    told = run("party", "results", *of_study, *own, "--merged", merged, *into)
    assert "Labels: table 'segments' of the sqlite database (1,500 own customers" in told
    assert url not in told


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--labels", "l.csv", "--labels-table", "t"], "--labels is a file"),
        (["--labels", "sqlite:///l.db"], "no table is named"),
        (["--labels-table", "t"], "are for labels"),
        (["--sealed", "alder.sealed"], "--sealed and --results are both given"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    received: tuple[Path, list[object]],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    reason: str,
) -> None:
    folder, of_study = received
    monkeypatch.chdir(folder)
    table = ["--data", "customers.parquet", "--id-column", "id"]
    own = ["--identity", folder / "alder", *table]
    assert reason in run("party", "results", *of_study, *own, *options, fails=ConfigError)


def test_results_of_another_organisation_are_not_labelled_by(
    received: tuple[Path, list[object]],
) -> None:
    folder, of_study = received
    told = run("party", "results", *of_study, "--identity", folder / "birch", fails=ConfigError)
    assert "holds the results of 'alder', not of 'birch'" in told


def test_a_number_of_segments_that_cannot_be_had_is_said_plainly(
    received: tuple[Path, list[object]],
) -> None:
    _, of_study = received
    told = run("shapes", *of_study[1:], "--by", "ward", "--segments", 17, fails=ConfigError)
    assert "16 segments cannot be merged into 17" in told
