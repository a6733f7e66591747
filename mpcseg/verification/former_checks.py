"""The check of ``mpcseg audit verify`` on where a study starts.

Runs at a reviewer; as :mod:`mpcseg.verification.checks`. That the key node's encrypted hyperplanes
are really those of the former centroids nobody but the key node can see (docs/threat-model.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from mpcseg.audit.records import Entry, RoundOpened, Sent, StartedFrom
from mpcseg.errors import AuditError
from mpcseg.study.follows import verify_follows
from mpcseg.study.spec import StudySpec
from mpcseg.verification.evidence import Evidence, NotThereError, records_of, runs_of
from mpcseg.wire.names import BlobKind, BlobName


def starts_as_agreed(evidence: Evidence) -> str:
    """The study starts where it was agreed: from joint moments, or from a former study's results.

    1. The key node's log says for every run that came to a round with centroids where it started:
       from results of the agreed former study, written down before the first round; or nothing, in
       a study of its own.
    2. Everybody has signed the former agreement, and the two go together.
    3. Those results are what the former study's key node has sent to this organisation.
    """
    spec, started = evidence.spec, set[str]()
    for run in runs_of(evidence.key):
        started |= _verify_run(spec, run)  # 1
    if spec.former is None:
        return "from the joint moments: it follows no other study"
    said = f"the key node says: from results of the study {spec.former[:16]}…"
    former = evidence.former
    if former is None:
        raise NotThereError(f"{said}; the former agreement was not given (--former)")
    for check in former.agreement.checks(None):  # 2
        if check.error:
            raise check.error
    verify_follows(spec, former.spec)
    for error in former.broken.values():
        raise error
    if ("key", former.spec.key.name) not in former.logs:
        raise NotThereError(f"{said}, which go together; no log of its key node was given")
    item = former.spec.recipients.index(spec.key.name)
    name = str(BlobName(BlobKind.RESULT, item=item))
    sent = {r.sha256 for r in records_of(former.key.entries, Sent) if r.blob == name}
    if not started <= sent:  # 3
        raise AuditError(
            f"the study started from results that the key node of '{former.spec.name}' has not "
            f"sent to {spec.key.name}",
            "They were made or changed by somebody else. Ask the key node's organisation.",
        )
    return f"from the results that '{former.spec.name}' released to {spec.key.name}"


def _verify_run(spec: StudySpec, run: Sequence[Entry]) -> set[str]:
    """Digests of the results that a run says it started from."""
    started = records_of(run, StartedFrom)
    if any(one.former != spec.former for one in started):
        raise AuditError("the key node started from another study than was agreed, or from any")
    rounds = [type(e.record) for e in run if isinstance(e.record, RoundOpened | StartedFrom)]
    if spec.former is not None and rounds and (rounds[0], len(started)) != (StartedFrom, 1):
        raise AuditError("the key node did not say, before its rounds, where the study starts")
    return {one.results for one in started}
