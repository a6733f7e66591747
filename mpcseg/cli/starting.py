"""What a node needs before it starts, made of its configuration; for commands and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpcseg.cli.agreed import studies_to_run, study_to_end, study_to_run
from mpcseg.cli.config import ComputeConfig, KeyConfig, PartyConfig
from mpcseg.study.documents import read_bytes
from mpcseg.study.former import FormerCentroids, open_former, verify_former_is_given
from mpcseg.study.identity import Identity
from mpcseg.study.results import sealed_bytes
from mpcseg.study.spec import StudySpec

if TYPE_CHECKING:
    from mpcseg.customers.cohort import Cohort


def party_study(settings: PartyConfig) -> StudySpec:
    """The study that a party node takes part in; raises as `study_to_run`."""
    return study_to_run(
        settings.study,
        settings.policy,
        settings.columns,
        renewals=settings.renewals,
        folder=settings.audit,
        role="party",
    )


def key_study(settings: KeyConfig) -> StudySpec:
    """The study that a key node leads; raises as `study_to_run`."""
    return study_to_run(
        settings.study,
        settings.policy,
        renewals=settings.renewals,
        folder=settings.output,
        role="key",
    )


def compute_studies(settings: ComputeConfig) -> list[StudySpec]:
    """The studies that a compute node serves, in the configuration's order.

    Raises as `study_to_run`.
    """
    return studies_to_run(
        settings.study,
        settings.policy,
        renewals=settings.renewals,
        folder=settings.storage,
        role="compute",
    )


def cohort_of(settings: PartyConfig, spec: StudySpec) -> Cohort:
    """A party's records; raises as `load_cohort`."""
    # Reading tables takes a second to import, which only party nodes have use for.
    from mpcseg.customers.cohort import load_cohort  # noqa: PLC0415

    return load_cohort(
        settings.source,
        spec.features,
        consent=spec.consent,
        radius=spec.l2_radius,
        columns=settings.columns,
        opt_out=settings.opt_out,
        profile=spec.profile_columns,
    )


def former_of(settings: KeyConfig, spec: StudySpec, own: Identity) -> FormerCentroids | None:
    """The centroids that a follow-up starts from; what is missing is said by the node.

    Raises:
        ConfigError: a file is absent or unreadable.
        AgreementError: the former study is not the one that this one follows.
        SealError: its results are not what its key node sealed to this organisation.
    """
    if settings.former_study is None or settings.former_sealed is None:
        verify_former_is_given(spec, None)
        return None
    former = study_to_end(settings.former_study)
    limit = 2 * sealed_bytes(former, own.name)
    sealed = read_bytes(settings.former_sealed, "the former study's results", limit=limit)
    return open_former(spec, own, former, sealed)
