"""Where a follow-up starts is written down once in a run, and stays what it was."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import StartedFrom
from mpcseg.errors import ConfigError, RecoveryError
from mpcseg.nodes.key_history import Start, last_run, start_of
from mpcseg.nodes.logbook import began
from mpcseg.nodes.planning import study_plan
from mpcseg.study.former import FormerCentroids, verify_former_is_given
from tests.organisations import identity, study_spec

FORMER = FormerCentroids("ab" * 32, "cd" * 32, np.zeros((2, 2)))
SPEC = study_spec(name="summer", former=FORMER.study_digest)
OWN = identity("keeper")


def a_start(log: AuditLog, folder: Path, former: FormerCentroids | None) -> Start:
    """Of a process that goes on with the run that is in the log."""
    run = last_run(log.earlier)
    assert run is not None
    start = start_of(SPEC, OWN, folder, (), keeps=False)
    return dataclasses.replace(start, run=run, former=former)


def test_it_is_noted_once_and_another_one_is_refused(tmp_path: Path) -> None:
    with AuditLog(tmp_path, SPEC, OWN, "key") as log:
        log.append(began(study_plan(SPEC)))
    for _ in range(2):
        with AuditLog(tmp_path, SPEC, OWN, "key") as log:
            a_start(log, tmp_path, FORMER).note_former(log)
    with AuditLog(tmp_path, SPEC, OWN, "key") as log:
        noted = [e.record for e in log.earlier if isinstance(e.record, StartedFrom)]
        assert noted == [StartedFrom(former="ab" * 32, results="cd" * 32)]
        other = dataclasses.replace(FORMER, results_digest="ef" * 32)
        with pytest.raises(RecoveryError, match="other results of the former study"):
            a_start(log, tmp_path, other).note_former(log)


def test_a_key_node_has_what_its_study_starts_from_and_nothing_else() -> None:
    verify_former_is_given(SPEC, FORMER)
    verify_former_is_given(study_spec(), None)
    for spec, former in (
        (SPEC, None),
        (SPEC, dataclasses.replace(FORMER, study_digest="ef" * 32)),
        (study_spec(), FORMER),
    ):
        with pytest.raises(ConfigError, match=r"are not given|follows no other study"):
            verify_former_is_given(spec, former)
