"""The ledger: what it adds up to, what it refuses, and that it survives the process."""

import json
import math
import stat
from pathlib import Path

import numpy as np
import pytest

from mpcseg.errors import BudgetError, ConfigError
from mpcseg.privacy.budget import ADMISSION_ROUNDS, NoisePlan, no_noise_plan
from mpcseg.privacy.ledger import Ledger
from mpcseg.privacy.sensitivity import admission_sensitivities
from mpcseg.reference.sign import sign_for
from tests.unit.privacy.test_accounting import epsilon_by_ourselves
from tests.unit.privacy.test_budget import BLUNT, SHAPE, SHARP, planned, rounds_of

DIGEST = "ab" * 32


def spent(plan: NoisePlan) -> Ledger:
    """After the runs that stopped at their admission, and a whole one."""
    ledger = Ledger(plan, DIGEST)
    for run in range(ADMISSION_ROUNDS - 1):
        ledger.run = run
        ledger.spend("admission", 0)
    ledger.run = ADMISSION_ROUNDS
    whole_run(ledger, plan)
    return ledger


def whole_run(ledger: Ledger, plan: NoisePlan) -> None:
    for index, (kind, sign) in enumerate(rounds_of(plan)):
        ledger.verify_affordable(kind, sign)
        ledger.spend(kind, index, sign)


@pytest.mark.parametrize("epsilon", [0.5, 1.0, 2.0])
def test_a_study_spends_its_epsilon_by_an_independent_computation(epsilon: float) -> None:
    """From the noise that is added and the sensitivities of the sums, by the test's own formulas.

    Of one record at (1, …, 1): count 1, sums √d, squares √d, products √(d(d-1)/2), weights B.
    """
    plan = planned(epsilon=epsilon)
    ledger = Ledger(plan, DIGEST)
    whole_run(ledger, plan)

    k, d = 5, 6
    # How far the sign reaches past 1, read off the polynomial; and the margin of its evaluation.
    half = (float(np.abs(sign_for(SHARP)(np.linspace(-1, 1, 400_001))).max()) - 1 + 0.005) / 2
    weight = math.sqrt(sum((1 + half) ** (2 * (k - 1 - m)) * half ** (2 * m) for m in range(k)))
    margin = 1e-3  # of a sum's error

    def cost(sensitivity: float, n_sums: int, std: float) -> float:
        return (sensitivity + margin * math.sqrt(n_sums)) ** 2 / (2 * std**2)

    moments = plan.stds("moments")
    rho = cost(1, 1, moments[0]) + cost(math.sqrt(d), d, moments[1])
    rho += cost(math.sqrt(d), d, moments[1 + d])  # x_1²
    rho += cost(math.sqrt(d * (d - 1) / 2), d * (d - 1) // 2, moments[2 + d])  # x_1·x_2
    for kind, times in (("lloyd", 10), ("profile", 1)):
        stds = plan.stds(kind, SHARP)  # type: ignore[arg-type]
        rho += times * cost(weight, k, stds[0, d])
        rho += times * cost(weight * math.sqrt(d), k * d, stds[0, 0])
    rho += cost(weight * math.sqrt(d), k * d, plan.stds("profile", SHARP)[0, d + 1])
    for bound, std in zip(admission_sensitivities(d), plan.stds("admission")[0], strict=True):
        rho += bound**2 / (2 * std**2)
    assert ledger.spent_rho == pytest.approx(rho, rel=1e-6)
    assert ledger.epsilon == pytest.approx(epsilon_by_ourselves(rho, 1e-6), rel=1e-5)
    # What is left pays for the admission rounds of runs that stop there, at most 2 % of the budget.
    assert 0.985 * epsilon < ledger.epsilon < epsilon
    assert spent(plan).epsilon == pytest.approx(epsilon, rel=1e-6)


def test_a_round_that_would_overspend_is_refused_before_it_is_entered() -> None:
    plan = planned()
    ledger = spent(plan)
    before = ledger.entries
    for kind, sign in rounds_of(plan):
        with pytest.raises(BudgetError, match="epsilon 1 of 1 is spent") as caught:
            ledger.spend(kind, 99, sign)
        assert caught.value.hint
    assert ledger.entries == before


def test_one_round_too_many_is_refused_although_little_is_missing() -> None:
    plan = planned()
    ledger = Ledger(plan, DIGEST)
    ledger.spend("moments", 1)
    for index in range(10):
        ledger.spend("lloyd", 2 + index, BLUNT if index < 4 else SHARP)
    ledger.spend("lloyd", 12, SHARP)  # out of what is left for profile and admission
    with pytest.raises(BudgetError):
        ledger.verify_affordable("profile", SHARP)


def test_a_run_that_cannot_end_is_refused_at_its_start() -> None:
    plan = planned()
    ledger = Ledger(plan, DIGEST)
    for run in range(ADMISSION_ROUNDS):
        ledger.run = run
        ledger.verify_study_affordable()
        ledger.spend("admission", 0)
    with pytest.raises(BudgetError, match="another run"):
        ledger.verify_study_affordable()


def test_a_second_run_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    plan, path = planned(), tmp_path / "ledger.json"
    first = Ledger.load(path, plan, DIGEST)
    assert first.entries == ()
    whole_run(first, plan)
    first.save(path)
    second = Ledger.load(path, plan, DIGEST)
    assert second.entries == first.entries
    assert second.epsilon == first.epsilon
    with pytest.raises(BudgetError):
        second.verify_affordable("moments")
    with pytest.raises(BudgetError):
        second.verify_study_affordable()


def test_the_file_is_private_readable_and_replaced_at_once(tmp_path: Path) -> None:
    plan, path = planned(), tmp_path / "ledger.json"
    ledger = Ledger(plan, DIGEST)
    ledger.spend("admission", 0)
    ledger.save(path)
    inode = path.stat().st_ino
    ledger.spend("moments", 1)
    ledger.save(path)
    assert path.stat().st_ino != inode
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.json"]
    document = json.loads(path.read_text())
    assert document["study"] == DIGEST
    assert document["agreed_epsilon"] == 1
    assert document["spent_epsilon"] == pytest.approx(ledger.epsilon)
    assert [entry["kind"] for entry in document["entries"]] == ["admission", "moments"]


def test_without_noise_nothing_is_refused_and_the_file_says_so(tmp_path: Path) -> None:
    plan, path = no_noise_plan(**SHAPE), tmp_path / "ledger.json"
    ledger = Ledger(plan, DIGEST)
    for _ in range(2):
        ledger.verify_study_affordable()
        whole_run(ledger, plan)
    assert ledger.epsilon == math.inf
    ledger.save(path)
    again = Ledger.load(path, plan, DIGEST)
    assert again.entries == ledger.entries
    assert again.epsilon == math.inf
    assert json.loads(path.read_text())["spent_epsilon"] is None


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense", "[]", "{}", '{"study": "x"}',
        '{"study": "x", "entries": [{"kind": "lloyd"}]}',
        '{"study": "x", "entries": [{"kind": "gift", "index": 0, "sign": [], "rho": 1}]}',
        '{"study": "x", "entries": [{"kind": "lloyd", "index": 0, "sign": [], "rho": -1}]}',
        '{"study": "x", "entries": [{"kind": "lloyd", "index": 0, "sign": [], "rho": NaN}]}',
    ],
)  # fmt: skip
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match="not a privacy ledger") as caught:
        Ledger.load(path, planned(), "x")
    assert caught.value.hint


def test_the_ledger_of_another_study_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    Ledger(planned(), DIGEST).save(path)
    with pytest.raises(ConfigError, match="another study"):
        Ledger.load(path, planned(), "cd" * 32)
