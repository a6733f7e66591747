"""What is in a compute node's storage folder, for its operator. Reads, and changes nothing.

Runs on: compute node, or anywhere with a copy of its folder.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from mpcseg.audit.log import log_path
from mpcseg.audit.log_file import read_log
from mpcseg.errors import EvidenceError
from mpcseg.nodes.blob_store import StudyFiles
from mpcseg.nodes.hosting import study_folder
from mpcseg.nodes.membership import Membership
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.resume import rebuild, restore_ledger, run_to_resume
from mpcseg.nodes.storage_check import Flaw, flaws, holds, resting
from mpcseg.nodes.study_rules import study_rules
from mpcseg.nodes.study_state import StudyState
from mpcseg.privacy.ledger import Ledger
from mpcseg.study.spec import StudySpec


@dataclass(frozen=True)
class Inspection:
    """What a folder holds.

    Attributes:
        course: how far the study is, in a sentence.
        n_whole: blobs and releases that are what the log says.
        n_lost: blobs that came, are not there, and will be asked for again.
        flaws: what the study rests on and is not there as the log has it.
    """

    course: str
    n_whole: int = 0
    n_lost: int = 0
    flaws: tuple[Flaw, ...] = ()


def inspect_storage(spec: StudySpec, storage: Path) -> Inspection:
    """Compare a folder with the log in it.

    Args:
        spec: the study.
        storage: the folder, also where several studies have one each in it.

    Raises:
        EvidenceError: there is no log of this study.
        LogError: the log is damaged, or says what cannot have happened.
        StorageError: a file cannot be read.
    """
    storage = study_folder(storage, spec, is_alone=False)
    log = log_path(storage, spec, "compute", spec.compute.name)
    if not log.exists():
        raise EvidenceError(
            f"there is no audit log {log}",
            "Name the folder that the compute node was given as --storage, and an agreement of a "
            "study that it has served.",
        )
    entries = read_log(log, spec).entries
    run = run_to_resume(entries)
    if run is None:
        return Inspection("the last run of the study has ended: nothing is kept or missing")
    if run.end_decided:
        return Inspection("the study is being ended: start the node once more, and it completes it")
    plan = study_plan(spec)
    ledger = Ledger(plan.noise, spec.digest)
    restore_ledger(ledger, entries)
    ledger.run = run.number
    # What was taken was allowed, whatever the operator allows now.
    rules = study_rules(spec, plan, sys.maxsize)
    state = StudyState(rules, Membership(patience=1.0, arrival=1.0), ledger)
    files = StudyFiles(storage)
    found = rebuild(state, run, holds(files))
    wrong = tuple(flaws(files, state, found))
    resting_on = {path for path, _ in resting(files, state, found)}
    return Inspection(
        course=f"the study is {state.phase.value}; {len(found.evaluated)} rounds are done",
        n_whole=len(resting_on - {flaw.path for flaw in wrong}),
        n_lost=len(found.lost),
        flaws=wrong,
    )
