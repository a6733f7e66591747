"""Which certificates the compute node admits, while certificates of a study are renewed.

An organisation's nodes change to its new certificate one after the other, and not at the moment at
which the compute node takes the renewal. So the old one counts until the new one was used, and not
any longer: what an organisation has replaced opens no door. Runs on: compute node.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping

from mpcseg.audit.records import CertificateUsed, Entry
from mpcseg.errors import UnknownCertificateError
from mpcseg.nodes.progress import Progress
from mpcseg.study.certificate import load_certificate
from mpcseg.study.spec import StudySpec
from mpcseg.study.versions import FIRST

_SOON = datetime.timedelta(days=14)

Note = Callable[[CertificateUsed], None]
"""Puts on record, before the call is answered, that a new certificate was used."""


def used_versions(entries: Iterable[Entry]) -> dict[str, int]:
    """The version of the newest certificate that each organisation has used, by a node's log."""
    used: dict[str, int] = {}
    for entry in entries:
        record = entry.record
        if isinstance(record, CertificateUsed):
            used[record.organisation] = max(record.version, used.get(record.organisation, FIRST))
    return used


def warn_of_ends(spec: StudySpec, progress: Progress) -> None:
    """Say which certificates end soon, so that they are renewed before; any node, at its start."""
    now = datetime.datetime.now(datetime.UTC)
    for organisation in spec.organisations:
        card = spec.current_card(organisation.name)
        end = load_certificate(card.certificate_pem).not_valid_after_utc
        if end - now < _SOON:
            progress.message(
                f"the certificate of {card.name} ends on {end:%Y-%m-%d}, and the study cannot go "
                "on after it: renew it with mpcseg identity renew and mpcseg study renewal"
            )


class Pins:
    """The certificates of a study's organisations.

    Args:
        spec: the study.
        used: version of the newest certificate that an organisation has used, where it was renewed.
        note: called when an organisation comes with a newer one for the first time; what it raises
            leaves the older one counting.
        refused: called with the organisation's name, once for each certificate that was replaced
            and that somebody comes with.
    """

    def __init__(
        self,
        spec: StudySpec,
        used: Mapping[str, int] | None = None,
        note: Note | None = None,
        refused: Callable[[str], None] | None = None,
    ) -> None:
        self._used = dict(used or {})
        self._note = note
        self._refused = refused
        self._told: set[str] = set()
        self._known: dict[str, tuple[str, int]] = {}
        self._pem: dict[str, bytes] = {}
        for organisation in spec.organisations:
            for version, card in spec.cards_of(organisation.name).items():
                self._known[card.fingerprint] = (organisation.name, version)
                self._pem[card.fingerprint] = card.certificate_pem

    @property
    def certificates(self) -> set[bytes]:
        """Those that count, PEM text."""
        return {pem for fingerprint, pem in self._pem.items() if self.name_of(fingerprint)}

    def name_of(self, fingerprint: str) -> str | None:
        """Whose certificate it is; None for one that does not count."""
        name, version = self._known.get(fingerprint, ("", 0))
        return name if name and version >= self._used.get(name, FIRST) else None

    def admit(self, fingerprint: str) -> str | None:
        """Whose certificate it is, by which somebody calls; as `name_of`.

        Raises:
            UnknownCertificateError: its organisation has used a newer one.
            StorageError: that it uses a newer one for the first time cannot be written down.
        """
        name, version = self._known.get(fingerprint, ("", 0))
        newest = self._used.get(name, FIRST)
        if name and version < newest:
            if self._refused is not None and fingerprint not in self._told:
                self._told.add(fingerprint)
                self._refused(name)
            raise UnknownCertificateError(
                f"the certificate of '{name}' was renewed, and the new one is in use: the old one "
                "counts no more",
                "Start this node with the renewed identity, and give it the renewal.",
            )
        if name and version > newest:
            if self._note is not None:
                self._note(CertificateUsed(organisation=name, version=version))
            self._used[name] = version
        return name or None
