"""Which certificates of a study's organisations count, version by version.

The agreement is version 1. A renewal (`mpcseg.study.renewal`) is the next one: the same terms, the
same signing and sealing keys, other certificates. Any node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mpcseg.study.card import PublicCard

FIRST = 1
"""The agreement itself."""


@dataclass(frozen=True)
class Version:
    """A renewal that was checked and counts.

    Attributes:
        number: 2, 3, …
        digest: SHA-256 of what everybody has signed, 64 hex digits.
        certificates: PEM text of the new ones, by organisation.
    """

    number: int
    digest: str
    certificates: Mapping[str, bytes]


def cards_by_version(card: PublicCard, versions: Sequence[Version]) -> dict[int, PublicCard]:
    """An organisation's cards, the agreement's first, by the version that they came with.

    Args:
        card: of the agreement.
        versions: all renewals, in order.
    """
    cards = {FIRST: card}
    for version in versions:
        pem = version.certificates.get(card.name)
        if pem is not None:
            fields = {**card.model_dump(), "certificate_pem": pem}
            cards[version.number] = PublicCard.model_validate(fields)
    return cards
