"""A reviewer sees which certificates counted, and whether everybody had signed for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import Began, CertificateUsed, Record, RenewalTaken
from mpcseg.errors import AuditError, MpcsegError, RenewalError, SignatureError
from mpcseg.study.agreement import load_agreement
from mpcseg.study.identity import renew_identity
from mpcseg.study.renewal import Renewal, new_renewal, renewed, write_renewal
from mpcseg.verification.evidence import Evidence, NotThereError, collect
from mpcseg.verification.renewal_checks import renewals_are_signed
from tests.organisations import identity, study_spec, write_study

SPEC = study_spec()
BEGAN = Began(version="1", tenseal="1", seal="1", parameter_set="none", parameter_digest="0" * 64)


@pytest.fixture(scope="module")
def renewals(tmp_path_factory: pytest.TempPathFactory) -> list[Renewal]:
    """Versions 2 and 3, of alder and of birch, signed by all."""
    folder, made, spec = tmp_path_factory.mktemp("renewals"), list[Renewal](), SPEC
    for name in ("alder", "birch"):
        new = renew_identity(identity(name), folder / name)
        one = new_renewal(spec, [new.card])
        for card in SPEC.organisations:
            one = one.signed_by(SPEC, new if card.name == name else identity(card.name))
        made.append(one)
        spec = renewed(spec, [one])
    return made


def evidence_of(folder: Path, renewals: Sequence[Renewal], *records: Record) -> Evidence:
    """A compute node's log, with renewals beside it."""
    with AuditLog(folder / "storage", SPEC, identity("hub"), "compute") as log:
        log.append(BEGAN, *records)
    for number, renewal in enumerate(renewals):
        write_renewal(renewal, folder / f"{number}.renewal")
    agreement = load_agreement(write_study(folder / "trial.agreement", SPEC))
    return collect(agreement, [folder], None, None)


def taken(renewal: Renewal) -> RenewalTaken:
    return RenewalTaken(version=renewal.terms.version, renewal=renewal.terms.digest)


def used(name: str, version: int) -> CertificateUsed:
    return CertificateUsed(organisation=name, version=version)


def test_renewals_that_everybody_has_signed_are_shown(
    tmp_path: Path, renewals: list[Renewal]
) -> None:
    second, third = renewals
    log = (taken(second), used("alder", 2), taken(second), taken(third), used("birch", 3))
    found = evidence_of(tmp_path / "all", renewals, *log)
    assert renewals_are_signed(found) == "version 2 (alder), version 3 (birch): signed by all"
    # A copy that was still on its way to the others takes nothing away.
    on_its_way = Renewal(second.terms, {})
    found = evidence_of(tmp_path / "copy", [second, third, on_its_way], *log)
    assert renewals_are_signed(found).endswith("signed by all")
    found = evidence_of(tmp_path / "none", [])
    assert renewals_are_signed(found) == "no certificate was renewed"
    with pytest.raises(NotThereError, match="version 2 of the agreement"):
        renewals_are_signed(evidence_of(tmp_path / "few", [], *log))


def test_what_was_not_signed_by_all_or_came_out_of_turn_is_found(
    tmp_path: Path, renewals: list[Renewal]
) -> None:
    second, third = renewals
    short = Renewal(second.terms, {**second.signatures})
    del short.signatures["birch"]  # type: ignore[attr-defined]
    other = RenewalTaken(version=2, renewal="ab" * 32)
    cases: list[tuple[str, Sequence[Renewal], tuple[Record, ...], type[MpcsegError], str]] = [
        ("unsigned", [short], (taken(second),), SignatureError, "'birch' under the renewal is"),
        ("gap", [third], (), RenewalError, "version 2 is due"),
        ("skipped", renewals, (taken(third),), AuditError, "takes version 3 after version 1"),
        ("back", renewals, (taken(second), taken(third), taken(second)), AuditError, "after"),
        ("other", renewals, (other,), AuditError, "another version 2"),
        ("early", renewals, (used("alder", 2),), AuditError, "'alder' out of turn"),
        (
            "older",
            renewals,
            (taken(second), taken(third), used("birch", 3), used("birch", 2)),
            AuditError,
            "'birch' out of turn",
        ),
        ("nobody", renewals, (taken(second), used("birch", 2)), AuditError, "never renewed"),
    ]
    for name, given, log, kind, reason in cases:
        with pytest.raises(kind, match=reason):
            renewals_are_signed(evidence_of(tmp_path / name, given, *log))
