"""What an operator's slip, or a file that somebody has taken away, must not give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import RoundOpened, RoundSpent
from mpcseg.errors import BudgetError, ConfigError
from mpcseg.nodes import logbook
from mpcseg.nodes.hosted import Limits, open_study
from mpcseg.nodes.hosting import study_folder
from mpcseg.nodes.key import run_key
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.upload_gate import UploadGate
from mpcseg.privacy.ledger import Ledger, finite
from mpcseg.reference.rounds import RoundKind
from mpcseg.study.spec import StudySpec
from tests.nodes.studies import Recorder
from tests.organisations import identity, no_noise, study_spec


def spec_of(name: str, **more: Any) -> StudySpec:
    return study_spec(
        name=name, compute="hub", key="keeper", parties=("alder", "birch"), n_rounds=1,
        retention_days=1.0, **more,
    )  # fmt: skip


def test_another_study_in_the_folder_leaves_one_that_was_stopped_alone(tmp_path: Path) -> None:
    limits = Limits(1, 60.0, 60.0, 10, UploadGate())
    first, second = (spec_of(name, privacy=no_noise()) for name in "ab")
    folder = study_folder(tmp_path, first, is_alone=True)
    with open_study(first, identity("hub"), folder, limits, Recorder()):
        kept = tmp_path / "study" / "party-alder" / "feature-x"
        kept.write_bytes(b"a ciphertext of a study that has not ended")
    folder = study_folder(tmp_path, second, is_alone=True)
    with open_study(second, identity("hub"), folder, limits, Recorder()):
        pass
    assert kept.exists()


def test_a_key_nodes_log_restores_its_ledger(tmp_path: Path) -> None:
    """ledger.json was removed, or is an old copy."""
    spec = spec_of("c")
    plan = study_plan(spec)
    rounds: list[tuple[RoundKind, tuple[int, ...]]] = [
        ("admission", ()),
        ("moments", ()),
        ("lloyd", plan.circuit.blunt),
        ("profile", plan.circuit.sharp),
    ]
    with AuditLog(tmp_path, spec, identity("keeper"), "key") as log:
        log.append(logbook.began(plan, recovery="none"))
        for number, (kind, sign) in enumerate(rounds):
            spent = RoundSpent(round=number, rho=finite(plan.noise.rho(kind, sign)))
            log.append(RoundOpened(round=number, kind=kind, sign=sign), spent)
    with pytest.raises(BudgetError):
        run_key(spec, identity("keeper"), "127.0.0.1:9", tmp_path, Recorder(), patience=0.5)


def test_a_log_that_was_lost_makes_no_round_free(tmp_path: Path) -> None:
    """A new log would number its runs anew, and a run's rounds are paid for once."""
    spec = spec_of("d")
    ledger = Ledger(study_plan(spec).noise, spec.digest)
    ledger.spend("admission", 0)
    ledger.save(tmp_path / "ledger.json")
    with pytest.raises(ConfigError, match="audit log beside it"):
        run_key(spec, identity("keeper"), "127.0.0.1:9", tmp_path, Recorder(), patience=0.5)
