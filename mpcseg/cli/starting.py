"""Nodes, run as their configuration says; the same for commands and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpcseg.cli.agreed import studies_to_run, study_to_end, study_to_run
from mpcseg.cli.config import ComputeConfig, KeyConfig, PartyConfig
from mpcseg.cli.results import write_results
from mpcseg.study.documents import read_bytes
from mpcseg.study.former import FormerCentroids, open_former, verify_former_is_given
from mpcseg.study.identity import Identity
from mpcseg.study.results import Results, open_results, sealed_bytes
from mpcseg.study.spec import StudySpec

if TYPE_CHECKING:
    from mpcseg.customers.cohort import Cohort
    from mpcseg.nodes.progress import Progress
    from mpcseg.nodes.summary import KeySummary, PartySummary


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


def cohort_of(settings: PartyConfig, spec: StudySpec, shown: Progress) -> Cohort:
    """A party's records, of which is said who takes part; raises as `load_cohort`."""
    # Reading tables takes a second to import, which only party nodes have use for.
    from mpcseg.customers.cohort import load_cohort  # noqa: PLC0415

    cohort = load_cohort(
        settings.source,
        spec.features,
        consent=spec.consent,
        radius=spec.l2_radius,
        columns=settings.columns,
        opt_out=settings.opt_out,
        profile=spec.profile_columns,
    )
    for warning in cohort.warnings:
        shown.event("cohort_warning", warning=warning)
    shown.event("cohort", account=cohort.account)
    return cohort


def take_part(
    settings: PartyConfig,
    spec: StudySpec,
    own: Identity,
    shown: Progress,
    *,
    restart: bool = False,
) -> PartySummary:
    """Run a party node to its end; raises as `load_cohort` and `run_party`."""
    cohort = cohort_of(settings, spec, shown)

    from mpcseg.nodes.party import run_party  # noqa: PLC0415  gRPC and TenSEAL are slow to import

    done = run_party(
        spec,
        own,
        settings.address,
        cohort,
        shown,
        audit=settings.audit,
        patience=settings.patience,
        key_fingerprint=settings.key_fingerprint,
        restart=restart,
        proxy=settings.proxy,
        max_upload_mbit=settings.max_upload_mbit,
    )
    shown.event("results_ready", n_records=done.n_records)
    return done


def lead(
    settings: KeyConfig,
    spec: StudySpec,
    own: Identity,
    former: FormerCentroids | None,
    shown: Progress,
) -> tuple[KeySummary, Results | None]:
    """Run a key node to its end, and open what its own organisation receives.

    Returns:
        What it measured; and its organisation's results, which are in the output folder as well.
        None where it receives nothing.

    Raises:
        MpcsegError: as `run_key`; or the results cannot be written.
    """
    from mpcseg.nodes.key import run_key  # noqa: PLC0415  gRPC and TenSEAL are slow to import

    done = run_key(
        spec,
        own,
        settings.address,
        settings.output,
        shown,
        patience=settings.patience,
        keeps_recovery=settings.recovery == "sealed",
        proxy=settings.proxy,
        former=former,
    )
    if own.name not in spec.recipients:
        return done, None
    opened = open_results(spec, own, done.sealed[own.name])
    write_results(opened, settings.output)
    return done, opened


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
