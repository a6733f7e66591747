"""The plan that every node of a study derives from the agreement alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import rfc8785

from mpcseg.ckks.planner import Plan, plan_study
from mpcseg.privacy.budget import NoisePlan, no_noise_plan, noise_plan
from mpcseg.reference.rounds import RoundKind
from mpcseg.study.spec import StudySpec

# Digits to which nodes must agree on the noise: more than matter, fewer than a machine's
# mathematical library decides.
_DIGITS = 9


@dataclass(frozen=True)
class StudyPlan:
    """What all nodes of a study must plan alike.

    Attributes:
        circuit: parameter set, sign polynomials and slot ranges.
        noise: what every round adds and spends.
    """

    circuit: Plan
    noise: NoisePlan

    @cached_property
    def digest(self) -> str:
        """SHA-256 over both, 64 hex digits: compared at Join.

        Versions that would spend differently do not run together.
        """
        noise = self.noise
        rounds: list[tuple[RoundKind, tuple[int, ...]]] = [("admission", ()), ("moments", ())]
        rounds += [("lloyd", sign) for sign in noise.signs]
        rounds.append(("profile", noise.signs[-1]))
        figures = [_figures(noise, kind, sign) for kind, sign in rounds]
        if noise.scouting:
            figures += [
                _figures(noise, kind, noise.scout_sign(kind), k)
                for kind, k in noise.scouting.sequence
            ]
        totals = (_written(noise.total_rho), _written(noise.delta), noise.own_draw)
        content = (self.circuit.digest, totals, figures)
        return hashlib.sha256(rfc8785.dumps(content)).hexdigest()


def _figures(
    noise: NoisePlan, kind: RoundKind, sign: tuple[int, ...], n_clusters: int = 0
) -> tuple[RoundKind, tuple[int, ...], str, list[str]]:
    """What a round costs, and the noise in its sums."""
    stds = noise.stds(kind, sign, n_clusters).ravel().tolist()
    return kind, sign, _written(noise.rho(kind, sign)), [_written(std) for std in stds]


def _written(value: float) -> str:
    """A figure as text, for infinity has no form in JSON."""
    return f"{value:.{_DIGITS}g}"


def study_plan(spec: StudySpec) -> StudyPlan:
    """Return what every node plans for a study; the same where the version is the same.

    Raises:
        PlanError: no parameter set can carry the study.
    """
    circuit = plan_of(spec)
    return StudyPlan(circuit, noise_plan_of(spec, circuit))


def plan_of(spec: StudySpec) -> Plan:
    """Return the study's plan; the same on every node that runs the same version.

    Raises:
        PlanError: no parameter set can carry the study.
    """
    return plan_study(
        n_clusters=spec.most_clusters,
        n_features=spec.n_features,
        n_rounds=spec.n_rounds,
        scouting=spec.scouting,
        most_records=spec.most_records,
        parameter_set_name=spec.parameter_set,
        columns=spec.column_layout,
    )


def noise_plan_of(spec: StudySpec, plan: Plan) -> NoisePlan:
    """Return the noise that the agreement buys with its budget.

    The key node adds a draw of its own where the compute node's organisation, which knows the
    compute node's draws, receives results (docs/protocol.md section 7).
    """
    shape: dict[str, Any] = {
        "n_clusters": spec.most_clusters,
        "scouting": spec.scouting,
        "n_features": spec.n_features,
        "n_rounds": spec.n_rounds,
        "n_parties": len(spec.parties),
    }
    signs = (plan.blunt, plan.sharp)
    own_draw = spec.compute_receives
    if spec.privacy.epsilon == "none":
        return no_noise_plan(
            **shape,
            radius=spec.l2_radius,
            signs=signs,
            own_draw=own_draw,
            delta=spec.privacy.delta,
            columns=spec.column_layout,
        )
    return noise_plan(
        epsilon=spec.privacy.epsilon,
        delta=spec.privacy.delta,
        **shape,
        radius=spec.l2_radius,
        signs=signs,
        own_draw=own_draw,
        columns=spec.column_layout,
    )
