"""Terms of an agreement in words: for the screen and for documents."""

from __future__ import annotations

from collections.abc import Iterator

from mpcseg.study.card import PublicCard
from mpcseg.study.spec import StudySpec


def roles(spec: StudySpec, card: PublicCard) -> Iterator[str]:
    """What an organisation does in a study."""
    if card.name == spec.compute.name:
        yield "runs the compute node"
    if card.name == spec.key.name:
        yield "runs the key node"
    for party in spec.parties:
        if party.name == card.name:
            most = party.most_records
            yield "brings records" + (f", {most:,} at most" if most is not None else "")


def received(spec: StudySpec, card: PublicCard) -> Iterator[str]:
    """Which results an organisation receives."""
    if card.name in spec.release.report:
        yield "the report"
    if card.name in spec.release.centroids:
        yield "the centroids"


def exact(number: float) -> str:
    """A number with all its digits: what is signed must be what was seen."""
    return f"{number:,.0f}" if float(number).is_integer() and abs(number) < 1e15 else repr(number)
