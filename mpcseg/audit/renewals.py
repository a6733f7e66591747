"""What nodes' logs say of renewals of certificates. Any node, and a reviewer."""

from __future__ import annotations

from collections.abc import Iterable

from mpcseg.audit.records import Entry, RenewalTaken
from mpcseg.errors import RenewalError
from mpcseg.study.spec import StudySpec
from mpcseg.study.versions import Version


def verify_keeps_renewals(entries: Iterable[Entry], spec: StudySpec) -> None:
    """Check that a node goes on with every renewal that it has taken.

    Without one, it would admit certificates again that were replaced.

    Raises:
        RenewalError: one is missing, or another one stands in its place.
    """
    given = {version.number: version.digest for version in spec.versions}
    for entry in entries:
        taken = entry.record
        if isinstance(taken, RenewalTaken) and given.get(taken.version) != taken.renewal:
            missing = taken.version not in given
            raise RenewalError(
                f"this node has taken version {taken.version} of the study '{spec.name}', "
                + ("which is not given" if missing else "and another one is given"),
                "Give every renewal of the study, in the order of their versions: --renewal FILE.",
            )


def renewals_to_take(entries: Iterable[Entry], spec: StudySpec) -> list[RenewalTaken]:
    """What a node writes down when it begins with renewals that its log does not have yet."""
    known = {e.record.version for e in entries if isinstance(e.record, RenewalTaken)}
    return [_taken(version) for version in spec.versions if version.number not in known]


def _taken(version: Version) -> RenewalTaken:
    return RenewalTaken(version=version.number, renewal=version.digest)
