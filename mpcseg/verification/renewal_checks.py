"""The check of ``mpcseg audit verify`` on renewals of certificates (docs/verification.md).

Runs at a reviewer; renewals and logs are foreign bytes.
"""

from __future__ import annotations

from mpcseg.audit.log_file import LogFile
from mpcseg.audit.records import CertificateUsed, RenewalTaken
from mpcseg.errors import AuditError
from mpcseg.study.renewal import load_renewal, renewed
from mpcseg.study.versions import FIRST, Version
from mpcseg.verification.evidence import Evidence, NotThereError


def renewals_are_signed(evidence: Evidence) -> str:
    """Every certificate that counted beside those of the agreement was signed for by everybody.

    1. The renewals that were given are versions 2, 3, … of this study without a gap, each of them
       signed by all and following from the one before.
    2. Each log takes them in this order, and those that were given, not others.
    3. The compute node admits a new certificate of an organisation only after it has taken the
       renewal that brings it, and goes back to no older one.
    """
    found = [load_renewal(path) for path in evidence.renewals]
    # Of several copies, the one with the most signatures: the others were on their way to it.
    found.sort(key=lambda one: len(one.signatures))
    own = {one.terms.digest: one for one in found if one.terms.study == evidence.spec.digest}
    in_order = sorted(own.values(), key=lambda one: one.terms.version)
    versions = renewed(evidence.spec, in_order).versions  # 1
    given = {version.number: version for version in versions}
    missing = [number for log in evidence.logs.values() for number in _taken(log, given)]  # 2, 3
    if missing:
        raise NotThereError(
            f"nodes went by version {min(missing)} of the agreement; its renewal was not given"
        )
    _ = evidence.compute  # Without its log, nobody knows what it has admitted.
    if not versions:
        return "no certificate was renewed"
    said = (f"version {v.number} ({', '.join(v.certificates)})" for v in versions)
    return f"{', '.join(said)}: signed by all"


def _taken(log: LogFile, given: dict[int, Version]) -> list[int]:
    """The versions that a log has taken and that were not given; raises what it took wrongly."""
    newest, missing = FIRST, []
    used: dict[str, int] = {}
    for entry in log.entries:
        record = entry.record
        if isinstance(record, RenewalTaken):
            # A second session of one process writes down again what it goes by.
            if record.version not in (newest, newest + 1):
                raise AuditError(f"{log} takes version {record.version} after version {newest}")
            newest = record.version
            if newest not in given:
                missing.append(newest)
            elif given[newest].digest != record.renewal:
                raise AuditError(
                    f"{log} took another version {newest} of the agreement than everybody signed",
                    "There are two renewals of one version. Compare the files.",
                )
        elif isinstance(record, CertificateUsed):
            name, version = record.organisation, record.version
            is_known = version not in given or name in given[version].certificates
            if log.role != "compute" or not used.get(name, FIRST) < version <= newest:
                raise AuditError(f"{log} admits a certificate of '{name}' out of turn")
            if not is_known:
                raise AuditError(f"{log} admits a certificate of '{name}' that was never renewed")
            used[name] = version
    return missing
