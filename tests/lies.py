"""Audit logs as a lying node would write them: other records, chained and signed all the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from mpcseg.audit.checkpoint import sign_checkpoint
from mpcseg.audit.log_file import FIRST_CHAIN, LogFile, chained
from mpcseg.audit.merkle import Tree, leaf_hash
from mpcseg.audit.records import Entry, NodeRole, Record
from mpcseg.study.closing import now
from mpcseg.study.spec import StudySpec
from mpcseg.verification.evidence import Evidence
from tests.organisations import identity

Change = Callable[[list[Record]], Sequence[Record]]


def log_of(
    spec: StudySpec,
    role: NodeRole,
    organisation: str,
    records: Sequence[Record],
    told: Sequence[Entry] = (),
) -> LogFile:
    """A log that holds together, with these records, under its organisation's signature.

    Times and salts are those of the entries that were told, as far as these go.
    """
    entries, tree, chain = [], Tree(), FIRST_CHAIN
    for number, record in enumerate(records):
        if number < len(told):
            entry = told[number].model_copy(update={"record": record})
        else:
            entry = Entry(number=number, study=spec.digest, time=now(), record=record)
        leaf = leaf_hash(entry.canonical())
        tree.append(leaf)
        chain = chained(chain, leaf)
        entries.append(entry)
    head = sign_checkpoint(identity(organisation), role, spec.digest, len(entries), tree.root())
    return LogFile(Path("made"), organisation, role, tuple(entries), (head,), tree, chain)


def with_lie(evidence: Evidence, role: NodeRole, organisation: str, change: Change) -> Evidence:
    """The evidence, but one node has written something else."""
    told = evidence.logs[role, organisation]
    records = change([entry.record for entry in told.entries])
    lie = log_of(evidence.spec, role, organisation, records, told.entries)
    return dataclasses.replace(evidence, logs={**evidence.logs, (role, organisation): lie})
