"""What is not in the report and why, how to read what is, and where it comes from."""

from __future__ import annotations

from mpcseg import __version__
from mpcseg.report.received import Received
from mpcseg.report.sections import Cell, Column, DataTable, Section
from mpcseg.report.terms import received as what_it_receives
from mpcseg.report.terms import roles, terms
from mpcseg.report.wording import counted


def hidden_section(received: Received) -> Section:
    """Which segments are hidden, and what else is withheld because of them."""
    hidden, smallest = received.table.hidden, received.spec.release.smallest_segment
    if not hidden.n_segments:
        return Section(
            name="hidden",
            title="What is hidden",
            paragraphs=(
                f"Nothing: every segment has the agreed {counted(smallest, 'customer')} or more, "
                "as far as the released sizes tell.",
            ),
        )
    withheld = [
        "quality indices, inertia and how the rounds ended",
        "joint means and correlations, and the map that is drawn from them",
        "spreads and noise in standard deviations",
    ]
    if received.table.n_records is None:
        withheld.append("the number of all customers")
    n_segments = hidden.n_segments + len(received.table.segments)
    verb = "is" if hidden.n_segments == 1 else "are"
    return Section(
        name="hidden",
        title="What is hidden",
        paragraphs=(
            f"{counted(hidden.n_segments, 'segment').capitalize()} of {n_segments} "
            f"{verb} hidden: {hidden.reason}.",
            f"Of all segments together, less is told than otherwise: {'; '.join(withheld)} are "
            "withheld. What the hidden segments are like together, their mean and roughly their "
            "spread, can follow from the rest all the same; what one of them is like does not.",
        ),
        notes=(
            "A segment of fewer customers than agreed is not shown, nor one that the noise may "
            "have made of nobody. One hidden segment alone would be the total minus the others; "
            "that is why a larger one can be hidden with it.",
        ),
    )


def reading_section(received: Received) -> Section:
    """How to read the report, and what it does not say."""
    spec = received.spec
    notes = [
        "The segments are groups of customers of all organisations together. Which organisation a "
        "customer is with is in no number here, and no organisation saw another's records.",
        f"Values were clipped to the agreed bounds before anything was computed, and every number "
        f"is rounded to {spec.release.significant_digits} significant digits by the key node.",
        "Clusters on encrypted records are made of approximate assignments: near a border between "
        "two segments a customer counts partly in both.",
        "K-means always finds as many segments as it is asked for, whether or not customers fall "
        "into groups. Another number of segments, other features or bounds give other segments.",
        "A segment's mean describes no single customer, and a difference between segments is no "
        "cause: whoever acts on a segment changes who is in it.",
        "What the segments may be used for is what the organisations agreed on: purpose and legal "
        "basis stand at the end of this report.",
    ]
    if received.table.is_noised:
        notes.insert(
            2,
            "Sizes and means hold noise on purpose. ± is its standard deviation: the value without "
            "noise is within it about two times out of three, and within twice of it 19 times out "
            "of 20. The approximate assignment and rounding come on top.",
        )
    return Section(
        name="reading",
        title="How to read this report, and what it does not say",
        notes=tuple(notes),
    )


def provenance_section(received: Received) -> Section:
    """Whose signature is on what, and under which agreement it was made."""
    results, spec = received.results, received.spec
    if received.is_verified:
        signature = f"signed by {spec.key.name}, which runs the key node; checked for this report"
    else:
        signature = (
            f"not checked again: read from a file of results that {results.recipient} had opened"
        )
    facts: list[tuple[Cell, ...]] = [
        ("study", results.study),
        ("digest of the agreement", results.study_digest),
        ("made for", results.recipient),
        ("results made at (UTC)", results.made_at),
        ("signature on the results", signature),
        ("program", f"mpcseg {__version__}"),
        *terms(spec),
    ]
    return Section(
        name="provenance",
        title="Where this comes from",
        tables=(
            DataTable(
                "provenance",
                "The results, and the terms that all organisations signed",
                (Column("fact", "What"), Column("value", "Value")),
                tuple(facts),
            ),
            _organisations(received),
            _features(received),
            *_checkpoints(received),
        ),
        notes=(
            "The agreement's digest is what every organisation signed: compare it with that of "
            "your own copy (mpcseg study show FILE). How the study ran is in the nodes' audit "
            "logs: mpcseg audit verify checks them against the checkpoints.",
        ),
    )


def _organisations(received: Received) -> DataTable:
    spec = received.spec
    return DataTable(
        "organisations",
        "Organisations",
        (
            Column("organisation", "Organisation"),
            Column("does", "Does"),
            Column("receives", "Receives"),
        ),
        tuple(
            (
                card.name,
                "; ".join(roles(spec, card)),
                "; ".join(what_it_receives(spec, card)) or "nothing",
            )
            for card in spec.organisations
        ),
    )


def _features(received: Received) -> DataTable:
    return DataTable(
        "features",
        "What was clustered on",
        (
            Column("feature", "Feature"),
            Column("transform", "Transform"),
            Column("lower", "Lower bound", 15),
            Column("upper", "Upper bound", 15),
        ),
        tuple(
            (feature.name, feature.transform, feature.lower, feature.upper)
            for feature in received.spec.features
        ),
    )


def _checkpoints(received: Received) -> tuple[DataTable, ...]:
    if not received.checkpoints:
        return ()
    return (
        DataTable(
            "checkpoints",
            "Checkpoints of the nodes' audit logs, as this organisation holds them",
            (
                Column("organisation", "Organisation"),
                Column("role", "Node"),
                Column("entries", "Entries"),
                Column("root", "Merkle root"),
                Column("signed_at", "Signed at (UTC)"),
            ),
            tuple(
                (head.organisation, head.role, head.size, head.root, head.time)
                for head in received.checkpoints
            ),
        ),
    )
