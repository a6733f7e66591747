"""``mpcseg plan``: the numbers that it shows are the planner's, and bad ones are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpcseg.ckks.planner import plan_study
from mpcseg.cli.app import app
from mpcseg.demo.tables import generated_tables
from mpcseg.demo.workspace import make_workspace
from mpcseg.errors import ConfigError, MpcsegError, PlanError

WIDE = {"COLUMNS": "200"}


def shown(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["plan", *arguments], env=WIDE, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_a_plan_shows_set_cost_and_precision() -> None:
    text = shown("--clusters", "5", "--features", "6", "--rounds", "10", "--records", "9000,500")
    plan = plan_study(n_clusters=5, n_features=6, n_rounds=10, records_per_party=(9000, 500))
    assert plan.parameters.name in text
    assert f"{plan.n_blocks} blocks" in text
    assert f"{plan.decrypted_values} sums" in text
    assert f"{plan.key_switches_per_pair} key switches" in text
    assert f"{plan.precision()[-1].bits:.1f}" in text


def test_more_clusters_need_a_larger_set() -> None:
    assert "ckks-16384" in shown("--clusters", "5", "--features", "6", "--rounds", "10")
    assert "ckks-32768" in shown("--clusters", "8", "--features", "6", "--rounds", "10")


def test_a_study_file_is_planned_with_its_digest(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    workspace = make_workspace(
        folder, generated_tables(3, 1), n_clusters=4, n_rounds=6, seed=1, workers=2
    )
    assert workspace.spec.digest in shown("--study", str(workspace.study)).splitlines()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--clusters", "5"], ConfigError),
        (["--clusters", "5", "--features", "6", "--rounds", "3", "--records", "1,x"], ConfigError),
        (["--clusters", "5", "--features", "6", "--rounds", "3", "--records", "0"], ConfigError),
        (["--clusters", "1", "--features", "6", "--rounds", "3"], PlanError),
        (["--clusters", "0", "--features", "6", "--rounds", "3"], PlanError),
        (
            ["--clusters", "5", "--features", "6", "--rounds", "3",
             "--parameter-set", "ckks-16384-5"],
            PlanError,
        ),
    ],
)  # fmt: skip
def test_numbers_that_make_no_plan_are_refused(
    arguments: list[str], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        CliRunner().invoke(app, ["plan", *arguments], env=WIDE, catch_exceptions=False)
    assert isinstance(caught.value, MpcsegError)
    assert caught.value.hint
