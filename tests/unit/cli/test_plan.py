"""``mpcseg plan``: the numbers that it shows are the planner's, and bad ones are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mpcseg.ckks.capacity import needs, study_seconds
from mpcseg.ckks.planner import plan_study
from mpcseg.cli.app import app
from mpcseg.cli.clusters import parse_clusters
from mpcseg.errors import ConfigError, MpcsegError, PlanError
from mpcseg.privacy.budget import NoisePlan, noise_plan
from mpcseg.privacy.forecast import TYPICAL_DEVIATION, Forecast, records_needed
from mpcseg.reference.rounds import ScoutTerms
from mpcseg.report.table import plain
from mpcseg.study.agreement import freeze, write_agreement
from tests.organisations import signed, study_spec
from tests.unit.study.clear_study import clear_schedule, plan_for, run_clear

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


def test_a_plan_of_a_range_shows_what_choosing_costs() -> None:
    options = ("--features", "2", "--rounds", "8", "--records", "90000,90000")
    text = " ".join(shown("--clusters", "2-4", *options).split())
    plan = plan_study(
        n_clusters=4, n_features=2, n_rounds=8, records_per_party=(90000, 90000),
        scouting=ScoutTerms((2, 3, 4), 2, 2),
    )  # fmt: skip
    assert "choose from 2 to 4 clusters, 18 short rounds come first, on 4 of 22 blocks" in text
    assert f"{plain(plan.scout_seconds())} s of one core" in text
    fixed = plan_study(n_clusters=4, n_features=2, n_rounds=8, records_per_party=(90000, 90000))
    assert plan.decrypted_values - fixed.decrypted_values == 2 * (2 * 27 + 45)
    assert plan.digest != fixed.digest
    (of_range, of_fixed) = (needs(one, workers=1) for one in (plan, fixed))
    assert of_range[1].seconds == pytest.approx(of_fixed[1].seconds + plan.scout_seconds())
    assert all(a.sent > b.sent for a, b in zip(of_range[1:], of_fixed[1:], strict=True))


@pytest.mark.parametrize("clusters", ["3-", "x", "2-3-4", "4-3", "2-30", "-3"])
def test_clusters_that_are_no_number_and_no_range_are_refused(clusters: str) -> None:
    with pytest.raises(ConfigError, match="--clusters"):
        parse_clusters(clusters)


def test_a_plan_shows_what_each_node_needs() -> None:
    numbers = {"n_clusters": 5, "n_features": 6, "n_rounds": 10}
    options = ("--clusters", "5", "--features", "6", "--rounds", "10", "--records", "9000,500")
    text = shown(*options, "--workers", "3", "--megabits", "20")
    plan = plan_study(**numbers, records_per_party=(9000, 500))
    for need in needs(plan, workers=3):
        row = next(line for line in text.splitlines() if line.startswith(f"│ {need.node}"))
        for size in (need.memory, need.disk, need.sent):
            assert f"{plain(size / 1e6)} MB" in row
    minutes = study_seconds(plan, workers=3, megabits=20) / 60
    assert f"{plain(minutes)} minutes over links of 20 Mbit/s" in text


def test_more_clusters_need_a_larger_set() -> None:
    assert "ckks-16384" in shown("--clusters", "5", "--features", "6", "--rounds", "10")
    assert "ckks-32768" in shown("--clusters", "8", "--features", "6", "--rounds", "10")


@pytest.mark.parametrize("how", ["agreement", "draft"])
def test_a_study_is_planned_with_its_digest_and_noise(tmp_path: Path, how: str) -> None:
    """Also before anybody has signed: that is when it helps."""
    spec = study_spec(n_clusters=4, parties={"alder": 4000, "birch": 3000})
    path = tmp_path / "trial.agreement"
    write_agreement(signed(spec) if how == "agreement" else freeze(spec), path)
    text = shown("--study", str(path))
    assert spec.digest in text.splitlines()
    assert "Of 7,000 records" in text


NUMBERS = ("--clusters", "5", "--features", "6", "--rounds", "8")


def noise(own_draw: bool, epsilon: float = 1.0) -> NoisePlan:
    return noise_plan(
        epsilon=epsilon, delta=1e-6, n_clusters=5, n_features=6, n_rounds=8, n_parties=1,
        radius=6**0.5, signs=((7, 7), (7, 15)), own_draw=own_draw,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("records", "verdict"), [(440, "drowned"), (5000, "blurred"), (23_570, "sharp")]
)
def test_noise_is_foretold_in_words_and_warned_of(records: int, verdict: str) -> None:
    text = shown(*NUMBERS, "--records", str(records))
    assert "Noise for epsilon 1, delta 1e-06" in text
    assert f"the segments will be {verdict}" in text.lower()
    assert ("WARNING" in text) == (verdict != "sharp")
    forecast = Forecast(noise(own_draw=False), records)
    assert f"off by {plain(100 * forecast.share_std)} percentage points" in " ".join(text.split())
    assert f"off by {plain(forecast.coordinate_std)} standard" in " ".join(text.split())


def test_without_an_agreement_both_cases_are_judged_and_told_apart() -> None:
    text = " ".join(shown(*NUMBERS, "--records", "12000").split())
    third, two = text.split("receives results (as where two organisations")
    assert "receives nothing (a third one): Of 12,000 records" in third
    assert "segments will be sharp" in third
    assert "WARNING" not in third
    forecast = Forecast(noise(own_draw=True), 12_000)
    assert forecast.verdict == "blurred"
    assert "WARNING: the segments will be blurred" in two
    assert f"off by {plain(forecast.coordinate_std)} standard" in two


def test_both_cases_of_the_compute_node_are_shown() -> None:
    text = shown(*NUMBERS)
    for own_draw, case in ((False, "receives nothing"), (True, "receives results")):
        (row,) = [line for line in text.splitlines() if case in line]
        std = noise(own_draw).effective_stds("lloyd", (7, 15))[0, 0]
        assert f"± {std:.3g}" in row
    assert "--records tells" in text


def test_a_larger_epsilon_is_foretold_to_help() -> None:
    assert "WARNING" in shown(*NUMBERS, "--records", "5000", "--epsilon", "1")
    assert "WARNING" not in shown(*NUMBERS, "--records", "5000", "--epsilon", "4")
    needed = [records_needed(noise(False, epsilon), "sharp") for epsilon in (0.5, 1, 2, 4)]
    assert needed == sorted(needed, reverse=True)


def test_without_noise_the_warning_is_of_another_kind_and_blunt_rounds_come_back() -> None:
    text = shown(*NUMBERS, "--epsilon", "none")
    assert "WARNING: without noise" in text
    assert "lloyd, early" in text
    assert "lloyd, early" not in shown(*NUMBERS)


def test_a_forecast_is_what_a_noised_study_comes_to() -> None:
    """Deviations of the final centroids over seeds, four equal groups far apart."""
    rng = np.random.default_rng(0)
    corners = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]]) * 0.4
    records = np.repeat(corners, 1000, axis=0) + rng.normal(0, 0.05, (4000, 2))
    shape = {"n_clusters": 4, "n_rounds": 4, "epsilon": 1.0}
    plan = plan_for(n_features=2, **shape)
    found = []
    for seed in range(12):
        study = clear_schedule(features=["a", "b"], seed=seed, **shape)
        centers = run_clear(study, [records], 4, (plan, np.random.default_rng(seed)))
        for corner, members in zip(corners, np.split(records, 4), strict=True):
            offset = centers.cluster_centers - members.mean(axis=0)
            found.append(offset[np.linalg.norm(centers.cluster_centers - corner, axis=1).argmin()])
    deviation = np.std(found) / records.std(axis=0).mean()
    # The forecast is for another spread, and knows nothing of the totals that correct the sums.
    expected = Forecast(plan, 4000).coordinate_std * TYPICAL_DEVIATION / records.std(axis=0).mean()
    assert 0.6 * expected < deviation < 1.1 * expected


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("--clusters 3 --features 3", "needs --rounds as well"),
        ("--rounds 3", "needs --clusters and --features as well"),
        ("--clusters 1", "--clusters 1 is too few: a study has 2 segments at least"),
        ("--features 0 --rounds 3", "--features 0 is too few"),
    ],
)
def test_a_plan_names_the_options_that_it_misses(given: str, said: str) -> None:
    done = CliRunner().invoke(app, ["plan", *given.split()])
    assert isinstance(done.exception, MpcsegError)
    assert said in done.exception.message


@pytest.mark.parametrize(
    ("clusters", "said"),
    [
        ("3-6", "not one number of segments"),
        ("few", "not one number of segments"),
        ("1", "2 segments at least"),
    ],
)
def test_a_demo_with_a_range_is_told_who_takes_one(clusters: str, said: str) -> None:
    done = CliRunner().invoke(app, ["demo", "--clusters", clusters])
    assert isinstance(done.exception, MpcsegError)
    assert said in done.exception.message
    assert said != "not one number of segments" or "study new" in done.exception.hint


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
        (["--clusters", "5", "--features", "6", "--rounds", "3", "--epsilon", "much"], ConfigError),
        (["--clusters", "5", "--features", "6", "--rounds", "3", "--epsilon", "0"], ConfigError),
        (["--clusters", "5", "--features", "6", "--rounds", "3", "--delta", "2"], ConfigError),
    ],
)  # fmt: skip
def test_numbers_that_make_no_plan_are_refused(
    arguments: list[str], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        CliRunner().invoke(app, ["plan", *arguments], env=WIDE, catch_exceptions=False)
    assert isinstance(caught.value, MpcsegError)
    assert caught.value.hint
