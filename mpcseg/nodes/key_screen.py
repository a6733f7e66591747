"""What the key node shows its operator of a round. Runs on: key node."""

from __future__ import annotations

from mpcseg.nodes.progress import Progress
from mpcseg.privacy.release import suppression, whole
from mpcseg.study.schedule import RoundRecord
from mpcseg.study.spec import ReleaseTerms


def show_round(
    record: RoundRecord, seconds: float, release: ReleaseTerms, progress: Progress
) -> None:
    """Show a round to the key node's operator, who is told no more than the agreement allows.

    Segments that the agreement would hide are counted only, and all numbers are rounded.
    """
    digits = release.significant_digits
    facts: dict[str, object] = {"sizes": None}
    notes = list(record.notes)
    if record.sizes is not None:
        sizes = record.sizes.tolist()
        decided = suppression(sizes, record.n_records, release.smallest_segment)
        facts["sizes"] = [whole(sizes[index], digits) for index in sorted(decided.shown)]
        if decided.hidden:
            # Notes speak of single clusters, which may be the hidden ones.
            notes = [f"{len(decided.hidden)} segments not shown: {decided.reason}"]
    if record.n_records >= release.smallest_segment:
        facts["n_records"] = whole(record.n_records, digits)
    progress.event(
        "round",
        index=record.index,
        round_kind=record.kind,
        sign=record.sign,
        shift=None if record.shift is None else float(f"{record.shift:.{digits}g}"),
        **facts,
        notes=notes,
        seconds=round(seconds, 3),
    )
