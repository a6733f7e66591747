"""The agreement as a command needs it: to run a study, or for what comes after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mpcseg.audit.log import LOG_DIGITS, log_name
from mpcseg.audit.log_file import has_open_run, read_log
from mpcseg.audit.records import NodeRole
from mpcseg.errors import ExpiredError, RenewalError
from mpcseg.study.agreement import Agreement, load_agreement, utc_today
from mpcseg.study.policy import load_policy, verify_policy
from mpcseg.study.renewal import Renewal, load_renewal, renewed
from mpcseg.study.spec import StudySpec


def study_to_run(
    file: Path,
    policy: Path | None,
    columns: Mapping[str, str] | None = None,
    *,
    renewals: Sequence[Path] = (),
    folder: Path,
    role: NodeRole,
) -> StudySpec:
    """The terms of an agreement, if it may be run today and this organisation's policy allows it.

    Every node calls this before it does anything else: before a record is read or a key made.

    Args:
        file: the agreement.
        policy: the organisation's own; None for none.
        columns: agreed name to the organisation's own column name, which the policy may forbid.
        renewals: of certificates, of this study alone and in order.
        folder: where the node keeps its audit log. A run that this log has begun, and not ended,
            goes on after the agreement's last day: what it holds must still be deleted in order.
        role: of the node.

    Raises:
        ConfigError: a file is absent or unreadable.
        AgreementError: not an agreement, or not in order; a signature, the last day; or a renewal.
        PolicyError: the policy does not allow it; says which rule.
    """
    (spec,) = studies_to_run([file], policy, columns, renewals=renewals, folder=folder, role=role)
    return spec


def studies_to_run(
    files: Sequence[Path],
    policy: Path | None,
    columns: Mapping[str, str] | None = None,
    *,
    renewals: Sequence[Path] = (),
    folder: Path,
    role: NodeRole,
) -> list[StudySpec]:
    """The terms of several agreements for one node; otherwise as `study_to_run`.

    Args:
        files: the agreements.
        policy: as `study_to_run`, as those that follow.
        columns: as there.
        renewals: of all these studies, those of each in order.
        folder: as there.
        role: as there.
    """
    loaded = _load_renewals(renewals)
    specs = [_study_to_run(file, policy, columns or {}, loaded, folder, role) for file in files]
    _verify_all_taken(specs, loaded)
    return specs


def _study_to_run(
    file: Path,
    policy: Path | None,
    columns: Mapping[str, str],
    renewals: Sequence[Renewal],
    folder: Path,
    role: NodeRole,
) -> StudySpec:
    agreement = _renewed(file, renewals)
    spec = agreement.spec
    try:
        agreement.verify(utc_today())
    except ExpiredError:
        if not _is_under_way(folder, spec, role):
            raise
    if policy is not None:
        verify_policy(load_policy(policy), spec, columns)
    return spec


def _is_under_way(folder: Path, spec: StudySpec, role: NodeRole) -> bool:
    """Whether a node's own log has a run of this study that has not ended."""
    # One study has a compute node's folder to itself, several have one each in it.
    places = (folder, folder / spec.digest[:LOG_DIGITS])
    logs = (path for place in places for path in place.glob(log_name(spec, role, "*")))
    return any(has_open_run(read_log(path, spec).entries) for path in logs)


def study_to_end(path: Path, renewals: Sequence[Path] = ()) -> StudySpec:
    """The terms of an agreement for fetching results or closing, also after its last day.

    Args:
        path: the agreement.
        renewals: of certificates, of this study alone.

    Raises:
        ConfigError: a file is absent or unreadable.
        AgreementError: not an agreement, or changed; or a renewal is not in order.
        SignatureError: a signature is missing, foreign or wrong.
    """
    agreement, _ = renewed_agreement(path, renewals)
    for check in agreement.checks(None):
        if check.error:
            raise check.error
    return agreement.spec


def renewed_agreement(
    path: Path, renewals: Sequence[Path]
) -> tuple[Agreement, tuple[Renewal, ...]]:
    """An agreement whose signatures are still to be checked, with its renewals, which are not.

    Args:
        path: the agreement.
        renewals: of certificates, of this study alone and in order.

    Raises:
        ConfigError: a file is absent or unreadable.
        AgreementError: not an agreement, or changed.
        RenewalError: a renewal is not in order, was not signed by all, or is of another study.
    """
    loaded = _load_renewals(renewals)
    agreement = _renewed(path, loaded)
    _verify_all_taken([agreement.spec], loaded)
    return agreement, loaded


def _load_renewals(paths: Sequence[Path]) -> tuple[Renewal, ...]:
    """Read renewals of certificates, which are checked with their agreement.

    Raises:
        ConfigError: a file is absent or unreadable.
        RenewalError: not a renewal, or changed.
    """
    return tuple(load_renewal(path) for path in paths)


def _verify_all_taken(specs: Sequence[StudySpec], renewals: Sequence[Renewal]) -> None:
    """Check that no renewal was given of a study that is not.

    Raises:
        RenewalError: there is one.
    """
    digests = {spec.digest for spec in specs}
    if any(renewal.terms.study not in digests for renewal in renewals):
        raise RenewalError(
            "a renewal is of a study whose agreement is not given",
            "Name the renewals of the agreements that are named, and no others.",
        )


def _renewed(path: Path, renewals: Sequence[Renewal]) -> Agreement:
    """An agreement with those of some renewals that are its own.

    Raises:
        ConfigError: the file is absent or unreadable.
        AgreementError: not an agreement, or changed.
        RenewalError: a renewal is not in order, or was not signed by all.
    """
    agreement = load_agreement(path)
    own = [one for one in renewals if one.terms.study == agreement.spec.digest]
    return Agreement(renewed(agreement.spec, own), agreement.signatures)
