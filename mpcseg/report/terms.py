"""Terms of an agreement in words: for the screen and for documents."""

from __future__ import annotations

from collections.abc import Iterator

from mpcseg.study.card import PublicCard, spoken
from mpcseg.study.cluster_range import clusters_in_words
from mpcseg.study.profile_columns import PARTY_COLUMN
from mpcseg.study.spec import StudySpec

_CROSSED = 2


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


def crossed_cells(spec: StudySpec) -> str | None:
    """Which agreed columns may tell small cells together; None where noise is agreed, or none may.

    Small cells are hidden in each column by itself: what a category hides may be the difference of
    two values that others show, and a mean of zeros and ones is a count.
    """
    if spec.privacy.is_noised:
        return None
    categories = [column.name for column in spec.categories]
    if spec.party_shares:
        categories.append(PARTY_COLUMN)
    counts = [
        column.name
        for column in spec.numeric_columns
        if (column.transform, column.lower, column.upper) == ("identity", 0, 1)
    ]
    if len(categories) < _CROSSED and not counts:
        return None
    return (
        f"without noise, small cells may follow from columns together ("
        f"{', '.join([*categories, *counts])}): they are hidden in each column by itself, and "
        "categories within one another and 0/1 columns defeat that"
    )


def terms(spec: StudySpec) -> tuple[tuple[str, str], ...]:
    """The terms beside organisations and features, each with its name."""
    release = spec.release
    return (
        ("purpose", spec.purpose),
        ("legal basis", spec.legal_basis),
        ("segments", f"{clusters_in_words(spec.n_clusters)}, in {spec.n_rounds} rounds at most"),
        ("consent", _consent(spec)),
        ("privacy", _privacy(spec)),
        ("shown", f"segments of {release.smallest_segment:,} customers and more, "
                  f"{release.significant_digits} significant digits"),
        ("sizes", _party_shares(spec)),
        ("fairness", f"a group under {exact(spec.fairness.threshold)} of its share of everybody "
                     "is under-represented, in protected columns"),
        ("radius", _radius(spec)),
        ("kept", f"for {exact(spec.retention_days)} days by the compute node"),
        ("last day", f"{spec.expires} (UTC)"),
        ("parameter set", spec.parameter_set),
        ("seed", str(spec.seed)),
        ("follows", _former(spec)),
    )  # fmt: skip


def _consent(spec: StudySpec) -> str:
    if spec.consent is None:
        return "every record in the parties' tables takes part"
    return f"only records with '{spec.consent.value}' in the column '{spec.consent.column}'"


def _radius(spec: StudySpec) -> str:
    if spec.radius is None:
        return "records are clipped by the features' bounds alone"
    return f"scaled records are clipped to an L2 norm of {exact(spec.radius)}"


def _privacy(spec: StudySpec) -> str:
    privacy = spec.privacy
    if isinstance(privacy.epsilon, str):
        return f"NO NOISE. {privacy.acknowledgement}"
    return f"noise, epsilon {exact(privacy.epsilon)} and delta {privacy.delta!r} for everything"


def _party_shares(spec: StudySpec) -> str:
    if spec.party_shares:
        return "SIZES BY PARTY are told to everybody who receives the report"
    return "of all parties together only"


def _former(spec: StudySpec) -> str:
    if spec.former is None:
        return "no other study: starting centroids come from the joint moments"
    return (
        "starts from the released centroids of the study with the digest "
        f"{spec.former}, to read out: {spoken(spec.former)}"
    )
