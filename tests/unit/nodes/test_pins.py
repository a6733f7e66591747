"""Which certificates the compute node admits while they are renewed, also after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import Began, CertificateUsed
from mpcseg.audit.renewals import renewals_to_take
from mpcseg.errors import RenewalError, StorageError, UnknownCertificateError
from mpcseg.nodes.pins import Pins, used_versions, warn_of_ends
from mpcseg.study.identity import Identity, renew_identity
from mpcseg.study.spec import StudySpec
from mpcseg.study.versions import Version
from tests.nodes.studies import Recorder
from tests.organisations import identity, study_spec


@pytest.fixture(scope="module")
def alders(tmp_path_factory: pytest.TempPathFactory) -> list[Identity]:
    """An organisation's identity, and two renewals of it."""
    folder = tmp_path_factory.mktemp("alders")
    return [identity("alder"), *(renew_identity(identity("alder"), folder / n) for n in "ab")]


def with_versions(alders: list[Identity]) -> StudySpec:
    return study_spec().renewed(
        [
            Version(number, f"{number:064x}", {"alder": own.certificate_pem})
            for number, own in enumerate(alders[1:], start=2)
        ]
    )


def test_an_old_certificate_counts_until_the_new_one_was_used(alders: list[Identity]) -> None:
    first, second, third = (own.fingerprint for own in alders)
    noted: list[CertificateUsed] = []
    refused: list[str] = []
    pins = Pins(with_versions(alders), note=noted.append, refused=refused.append)
    assert pins.admit(first) == pins.admit(first) == "alder"
    assert noted == []
    assert pins.admit(second) == "alder"
    assert noted == [CertificateUsed(organisation="alder", version=2)]
    with pytest.raises(UnknownCertificateError, match="certificate of 'alder' was renewed"):
        pins.admit(first)
    assert pins.admit(second) == pins.admit(third) == "alder"
    assert len(noted) == 2
    for old in (first, second):
        assert pins.name_of(old) is None
        with pytest.raises(UnknownCertificateError):
            pins.admit(old)
    assert refused == ["alder"] * 2  # once for each of the two
    assert alders[0].certificate_pem not in pins.certificates
    assert alders[2].certificate_pem in pins.certificates
    assert pins.admit(identity("birch").fingerprint) == "birch"
    assert pins.admit(identity("oak").fingerprint) is None


def test_the_old_certificate_goes_on_where_the_use_of_the_new_one_cannot_be_written(
    alders: list[Identity],
) -> None:
    def full(_: CertificateUsed) -> None:
        raise StorageError("the disk is full")

    pins = Pins(with_versions(alders), note=full)
    for _ in range(2):
        with pytest.raises(StorageError):
            pins.admit(alders[1].fingerprint)
    assert pins.admit(alders[0].fingerprint) == "alder"


def test_a_certificate_that_ends_soon_is_told(tmp_path: Path) -> None:
    for days, n_messages in ((13, 1), (15, 0)):
        soon = renew_identity(identity("alder"), tmp_path / str(days), days=days)
        told = Recorder()
        warn_of_ends(study_spec(known={"alder": soon}), told)
        assert len(told.messages) == n_messages
        assert all("certificate of alder ends on" in text for text in told.messages)


def test_a_restart_neither_forgets_what_was_used_nor_goes_on_without_a_renewal(
    tmp_path: Path, alders: list[Identity]
) -> None:
    spec, hub = with_versions(alders), identity("hub")
    zero = "0" * 64
    began = Began(version="1", tenseal="1", seal="1", parameter_set="none", parameter_digest=zero)
    with AuditLog(tmp_path, spec, hub, "compute") as log:
        log.append(began, *renewals_to_take(log.earlier, spec))
        pins = Pins(spec, used_versions(log.earlier), log.append)
        pins.admit(alders[2].fingerprint)
    with AuditLog(tmp_path, spec, hub, "compute") as log:
        assert renewals_to_take(log.earlier, spec) == []
        pins = Pins(spec, used_versions(log.earlier), log.append)
        with pytest.raises(UnknownCertificateError):
            pins.admit(alders[1].fingerprint)
    for fewer, reason in (
        (study_spec(), "version 2 of the study 'trial', which is not given"),
        (spec.renewed(spec.versions[:1]), "version 3 of the study 'trial', which is not given"),
        (
            spec.renewed([spec.versions[0], Version(3, zero, {})]),
            "version 3 of the study 'trial', and another one is given",
        ),
    ):
        with pytest.raises(RenewalError, match=reason):
            AuditLog(tmp_path, fewer, hub, "compute")
