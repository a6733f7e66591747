"""The agreement as a command needs it: to run a study, or for what comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mpcseg.audit.log import LOG_DIGITS, log_name
from mpcseg.audit.log_file import has_open_run, read_log
from mpcseg.audit.records import NodeRole
from mpcseg.errors import ExpiredError
from mpcseg.study.agreement import load_agreement, load_study
from mpcseg.study.policy import load_policy, verify_policy
from mpcseg.study.spec import StudySpec


def study_to_run(
    file: Path,
    policy: Path | None,
    columns: Mapping[str, str] | None = None,
    *,
    folder: Path,
    role: NodeRole,
) -> StudySpec:
    """The terms of an agreement, if it may be run today and this organisation's policy allows it.

    Every node calls this before it does anything else: before a record is read or a key made.

    Args:
        file: the agreement.
        policy: the organisation's own; None for none.
        columns: agreed name to the organisation's own column name, which the policy may forbid.
        folder: where the node keeps its audit log. A run that this log has begun, and not ended,
            goes on after the agreement's last day: what it holds must still be deleted in order.
        role: of the node.

    Raises:
        ConfigError: a file is absent or unreadable.
        AgreementError: not an agreement, or not in order; a signature, the last day.
        PolicyError: the policy does not allow it; says which rule.
    """
    try:
        spec = load_study(file)
    except ExpiredError:
        spec = study_to_end(file)
        if not _is_under_way(folder, spec, role):
            raise
    if policy is not None:
        verify_policy(load_policy(policy), spec, columns or {})
    return spec


def _is_under_way(folder: Path, spec: StudySpec, role: NodeRole) -> bool:
    """Whether a node's own log has a run of this study that has not ended."""
    # One study has a compute node's folder to itself, several have one each in it.
    places = (folder, folder / spec.digest[:LOG_DIGITS])
    logs = (path for place in places for path in place.glob(log_name(spec, role, "*")))
    return any(has_open_run(read_log(path, spec).entries) for path in logs)


def study_to_end(path: Path) -> StudySpec:
    """The terms of an agreement for fetching results or closing, also after its last day.

    Raises:
        ConfigError: the file is absent or unreadable.
        AgreementError: not an agreement, or changed.
        SignatureError: a signature is missing, foreign or wrong.
    """
    agreement = load_agreement(path)
    for check in agreement.checks(None):
        if check.error:
            raise check.error
    return agreement.spec
