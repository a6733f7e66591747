"""The schedule of a study from its agreement and plan. Runs on: key node."""

from __future__ import annotations

from mpcseg.nodes.planning import StudyPlan
from mpcseg.study.former import FormerCentroids
from mpcseg.study.schedule import Schedule
from mpcseg.study.spec import StudySpec


def schedule_of(
    spec: StudySpec, plan: StudyPlan, n_blocks: int, former: FormerCentroids | None = None
) -> Schedule:
    """Make the schedule of a study.

    Args:
        spec: the study.
        plan: parameter set, sign polynomials and noise.
        n_blocks: of all parties together.
        former: where a study that follows another starts.
    """
    slots = plan.circuit.parameters.slots
    return Schedule(
        n_clusters=spec.most_clusters,
        n_rounds=spec.n_rounds,
        feature_names=spec.feature_names,
        # How many blocks a single party has is not the key node's to know.
        parties={party.name: n_blocks for party in spec.parties},
        slots=slots,
        most_records=_most_records(spec, n_blocks * slots),
        blunt=plan.circuit.blunt,
        sharp=plan.circuit.sharp,
        seed=spec.seed,
        noise=plan.noise,
        smallest_segment=spec.release.smallest_segment,
        former=former.centers if former else None,
    )


def _most_records(spec: StudySpec, slots: int) -> int:
    """Records that all parties can have: as agreed, or as many as their blocks have slots."""
    agreed = [most for most in spec.most_records if most is not None]
    return min(sum(agreed), slots) if len(agreed) == len(spec.parties) else slots
