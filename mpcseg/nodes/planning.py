"""The plan that every node of a study derives from the agreement alone."""

from __future__ import annotations

from mpcseg.ckks.planner import Plan, plan_study
from mpcseg.study.spec import StudySpec


def plan_of(spec: StudySpec) -> Plan:
    """Return the study's plan; the same on every node that runs the same version.

    Raises:
        PlanError: no parameter set can carry the study.
    """
    return plan_study(
        n_clusters=spec.n_clusters,
        n_features=spec.n_features,
        n_rounds=spec.n_rounds,
        most_records=spec.most_records,
        parameter_set_name=spec.parameter_set,
    )
