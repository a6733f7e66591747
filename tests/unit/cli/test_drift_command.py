"""``mpcseg drift``, and the same in ``mpcseg report``: for people, files and schedulers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mpcseg.cli.app import app
from mpcseg.cli.results import write_results
from mpcseg.errors import ConfigError, DriftError, MpcsegError
from mpcseg.study.results import NO_NOISE, make_results
from tests.organisations import write_study
from tests.unit.report.test_drift import found, specs


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Arguments of the command for two studies between which a third of the customers moved on."""
    former, new = specs()
    write_results(make_results(former, "birch", found(), NO_NOISE), tmp_path / "former")
    now = found(np.array([2000.0, 3000.0, 5000.0]))
    write_results(make_results(new, "birch", now, NO_NOISE), tmp_path / "new")
    arguments = ["drift", tmp_path / "former", tmp_path / "new"]
    for option, spec in (("--former-study", former), ("--study", new)):
        arguments += [option, write_study(tmp_path / f"{spec.name}.agreement", spec)]
    return list(map(str, arguments))


def ended(*arguments: object) -> tuple[str, BaseException | None]:
    done = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})
    return done.output, done.exception


def test_the_command_is_for_people_and_for_schedulers(files: list[str], tmp_path: Path) -> None:
    labels = [tmp_path / f"{name}.csv" for name in ("old", "now")]
    labels[0].write_text("id,segment,distance\n007,1,0.5\nb,2,0.5\nc,2,1\n")
    labels[1].write_text("id,segment,distance\n007,3,0.5\nb,1,0.5\nd,2,1\n")
    folder = tmp_path / "drift"
    more = ["--format", "html,csv", "--output", folder, "--labels", *labels]
    output, error = ended(*files, *more)
    assert type(error) is DriftError
    assert error.exit_status == 80
    assert "population stability index is 0.550, more than chance explains" in output
    document = json.loads((folder / "drift.json").read_text())
    assert (document["exceeded"], document["sizes_changed"], document["moved"]) == (True, True, [])
    migrated = json.loads((folder / "migration.json").read_text())
    assert migrated["joined"] == {"2": 1}
    assert migrated["left"] == {"2": 1}
    text = (folder / "report.html").read_text()
    assert "<script" not in text
    assert text.count("<svg") == 3
    assert ended(*files, "--psi", 0.6)[1] is None


def test_the_segment_report_says_what_has_changed(files: list[str], tmp_path: Path) -> None:
    where = {"--former-study": files[4], "--former-results": tmp_path / "former"}
    arguments = ["report", files[6], "--results", tmp_path / "new" / "results.json"]
    arguments += ["--format", "html,csv", "--output", tmp_path / "report"]
    output, error = ended(*arguments, *(part for pair in where.items() for part in pair))
    assert error is None, output
    assert "What has changed since spring" in (tmp_path / "report" / "report.html").read_text()
    assert (tmp_path / "report" / "tables" / "drift.csv").exists()
    _, error = ended(*arguments, "--former-study", files[4])
    assert type(error) is ConfigError


def test_errors_have_other_statuses_than_a_passed_limit(files: list[str], tmp_path: Path) -> None:
    for wrong in ("{}", "no JSON", '{"format": "mpcseg results 0"}'):
        (tmp_path / "new" / "results.json").write_text(wrong)
        _, error = ended(*files)
        assert type(error) is ConfigError
    (tmp_path / "new" / "results.json").unlink()
    _, error = ended(*files)
    assert isinstance(error, MpcsegError)
    assert error.exit_status not in (0, DriftError.exit_status)
