"""Nodes that would spend differently do not run together: the digest that Join compares."""

from __future__ import annotations

from typing import Any

import pytest

from mpcseg.nodes.planning import study_plan
from tests.organisations import no_noise, study_spec

SPEC = study_spec()
BOTH = {"report": ["alder", "hub"], "centroids": ["alder"]}


def test_every_node_plans_the_same() -> None:
    again = study_spec(seed=7, purpose="Another purpose.")
    assert study_plan(SPEC).digest == study_plan(SPEC).digest == study_plan(again).digest


@pytest.mark.parametrize(
    "changes",
    [
        {"privacy": {"epsilon": 1.5}},
        {"privacy": {"delta": 1e-7}},
        {"privacy": no_noise()},
        {"radius": 1.0},
        {"n_rounds": 3},
        {"n_clusters": 3},
        {"parties": ("alder", "birch", "cedar")},
        {"release": BOTH},
    ],
    ids=lambda changes: f"{changes!r:.40}",
)
def test_what_decides_on_noise_is_compared(changes: dict[str, Any]) -> None:
    assert study_plan(study_spec(**changes)).digest != study_plan(SPEC).digest


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("budget.MOMENTS_SHARE", 0.2),
        ("budget.ADMISSION_SHARE", 0.01),
        ("sensitivity.SUM_MARGIN", 1),
    ],
)
def test_a_version_that_splits_the_budget_otherwise_is_another_one(
    monkeypatch: pytest.MonkeyPatch, place: str, value: float
) -> None:
    before = study_plan(SPEC).digest
    monkeypatch.setattr(f"mpcseg.privacy.{place}", value)
    assert study_plan(SPEC).digest != before


@pytest.mark.parametrize("privacy", [{}, {"privacy": no_noise()}], ids=["noise", "none"])
def test_the_key_node_draws_where_the_compute_nodes_organisation_receives(
    privacy: dict[str, Any],
) -> None:
    assert not study_plan(study_spec(**privacy)).noise.own_draw
    assert study_plan(study_spec(release=BOTH, **privacy)).noise.own_draw
    two = study_spec(compute="birch", key="alder", parties=("alder", "birch"), **privacy)
    assert study_plan(two).noise.own_draw
