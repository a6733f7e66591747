"""The planner picks the smallest set, and its predictions are those of the circuits."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mpcseg.ckks.parameters import ParameterSet, max_levels, parameter_set
from mpcseg.ckks.planner import plan_study
from mpcseg.errors import PlanError
from tests.unit.ckks.conftest import Keys


@pytest.mark.parametrize(
    ("n_clusters", "name"),
    [
        (2, "ckks-16384-9"),
        (3, "ckks-16384-10"),
        (4, "ckks-16384-11"),
        (5, "ckks-16384-11"),
        (6, "ckks-32768-12"),
        (8, "ckks-32768-12"),
        (9, "ckks-32768-12"),
        (10, "ckks-32768-13"),
        (20, "ckks-32768-14"),
    ],
)
def test_smallest_set_by_number_of_clusters(n_clusters: int, name: str) -> None:
    plan = plan_study(n_clusters=n_clusters, n_features=4, n_rounds=5)
    assert plan.parameters.name == name
    assert plan.start_level(plan.sharp) == plan.parameters.n_levels


def test_twelve_key_switches_a_pair() -> None:
    assert plan_study(n_clusters=5, n_features=6, n_rounds=1).key_switches_per_pair == 12


def test_counts_of_a_whole_round() -> None:
    plan = plan_study(n_clusters=5, n_features=6, n_rounds=1)
    counts = plan.block_counts(plan.sharp)
    switches = sum(n for (name, _), n in counts.items() if name == "relinearise")
    assert switches == 10 * 12 + 5 * 3


def test_decrypted_values_are_those_of_the_rounds_alone() -> None:
    plan = plan_study(n_clusters=5, n_features=6, n_rounds=10)
    assert plan.decrypted_values == 3 + (1 + 6 + 21) + 10 * 5 * 7 + 5 * 13
    three = plan_study(n_clusters=5, n_features=6, n_rounds=10, most_records=(9, None, 20_000))
    assert three.n_sums("admission") == 3 * 3
    assert three.decrypted_values == plan.decrypted_values + 2 * 3


def test_admission_takes_nine_key_switches_for_each_feature_of_each_upload() -> None:
    plan = plan_study(n_clusters=8, n_features=6, n_rounds=1)

    def switches(*, norm: bool) -> int:
        counts = plan.admission_counts(norm=norm)
        return sum(n for (name, _), n in counts.items() if name == "relinearise")

    assert switches(norm=False) == 6 * 9
    assert switches(norm=True) == 6 * 9 + 9
    assert plan.admission_counts(norm=False)["multiply_plain", 0] == 6


def test_admission_costs_by_upload_not_by_shared_block() -> None:
    def seconds(*most: int | None) -> float:
        return plan_study(
            n_clusters=3, n_features=2, n_rounds=1, most_records=most
        ).admission_seconds()

    assert seconds(100, 200, 300) == pytest.approx(3 * seconds(100))
    assert seconds(30_000) > 3 * seconds(None)


def test_bytes_are_those_of_real_blobs(keys: Keys) -> None:
    plan = plan_study(n_clusters=5, n_features=2, n_rounds=1)
    block = np.zeros((3, plan.parameters.slots))
    assert plan.upload_bytes_per_block == sum(map(len, keys.encryptor.encrypt(block)))
    row = np.array([0.1, 0.2, 0.3])
    one = sum(map(len, keys.secret.encrypt_hyperplane(row, plan.start_level(plan.sharp))))
    assert plan.hyperplane_bytes(plan.sharp) == 10 * one


def test_a_named_set_that_is_too_small_is_refused_with_the_right_one() -> None:
    with pytest.raises(PlanError, match="need 12") as caught:
        plan_study(n_clusters=8, n_features=2, n_rounds=1, parameter_set_name="ckks-16384-11")
    assert "ckks-32768-12" in caught.value.hint


@pytest.mark.parametrize("name", ["", "planned ", "ckks-16384", "ckks-4096-3", "ckks-16384-12"])
def test_names_that_are_no_secure_set(name: str) -> None:
    with pytest.raises(PlanError):
        parameter_set(name)


def test_sets_stay_within_seals_128_bit_table() -> None:
    assert (max_levels(16384), max_levels(32768)) == (11, 25)
    for parameters in (ParameterSet(16384, 11), ParameterSet(32768, 25)):
        assert parameters.ring.context.parameters_set()
        assert all(prime.bit_length() == 31 for prime in parameters.primes)
        assert len(set(parameters.primes)) == parameters.n_key_primes


@pytest.mark.parametrize("impossible", [(1, 3, 3), (3, 0, 3), (3, 3, 0)])
def test_impossible_studies(impossible: tuple[int, int, int]) -> None:
    k, d, rounds = impossible
    with pytest.raises(PlanError):
        plan_study(n_clusters=k, n_features=d, n_rounds=rounds)


def test_small_parties_share_a_block() -> None:
    def plan(most: list[int | None], records: list[int] | None = None):
        return plan_study(
            n_clusters=5,
            n_features=2,
            n_rounds=1,
            most_records=most,
            records_per_party=records or [],
        )

    assert (plan([None, None], [100, 9000]).n_blocks, plan([100, 5000]).n_blocks) == (3, 1)
    assert plan([100, 5000, 4000]).n_blocks == 2
    assert plan([100, 5000, 4000]).n_uploads == 3
    mixed = plan([100, None, 200], [50, 20000, 150])
    assert (mixed.n_blocks, mixed.n_uploads) == (4, 5)
    # Masks cost the same however many blocks there are; all the rest four times as much.
    ratio = mixed.round_seconds(mixed.sharp) / plan([100]).round_seconds(mixed.sharp)
    assert 3.0 < ratio < 4.0


@pytest.mark.parametrize("n_clusters", [2, 5, 8, 24, 40])
def test_slot_sums_have_room_for_a_billion_records_with_any_number_of_clusters(
    n_clusters: int,
) -> None:
    plan = plan_study(n_clusters=n_clusters, n_features=1, n_rounds=1)
    assert plan.most_records > 1e9


def test_the_digest_covers_what_nodes_must_plan_alike() -> None:
    def digest(k: int = 5, most: tuple[int | None, ...] = (None,), name: str = "planned") -> str:
        return plan_study(
            n_clusters=k, n_features=2, n_rounds=1, most_records=most, parameter_set_name=name
        ).digest

    assert digest() == digest()
    others = {digest(4), digest(most=(100,)), digest(name="ckks-32768-12")}
    assert len(others | {digest()}) == 4


def test_the_digest_covers_the_sign_polynomials() -> None:
    plan = plan_study(n_clusters=5, n_features=2, n_rounds=1)
    sharper = dataclasses.replace(plan, sharp=(15, 15))
    assert sharper.digest != plan.digest
