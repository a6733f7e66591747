"""The agreement as a command needs it: to run a study, or for what comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mpcseg.study.agreement import load_agreement, load_study
from mpcseg.study.policy import load_policy, verify_policy
from mpcseg.study.spec import StudySpec


def study_to_run(
    file: Path, policy: Path | None, columns: Mapping[str, str] | None = None
) -> StudySpec:
    """The terms of an agreement, if it may be run today and this organisation's policy allows it.

    Every node calls this before it does anything else: before a record is read or a key made.

    Args:
        file: the agreement.
        policy: the organisation's own; None for none.
        columns: agreed name to the organisation's own column name, which the policy may forbid.

    Raises:
        ConfigError: a file is absent or unreadable.
        AgreementError: not an agreement, or not in order; a signature, the last day.
        PolicyError: the policy does not allow it; says which rule.
    """
    spec = load_study(file)
    if policy is not None:
        verify_policy(load_policy(policy), spec, columns or {})
    return spec


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
