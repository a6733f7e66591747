"""What has changed, in plain words."""

from __future__ import annotations

from mpcseg.report.drift import Drift, SegmentDrift

_NAMED = 2
"""Features that are named for a move: those that moved farthest."""


def summary(drift: Drift) -> tuple[str, ...]:
    """Sentences on all segments together; the verdict first."""
    moved = [segment for segment in drift.segments if drift.moved(segment)]
    verdict = "No limit is passed: the segments are much as they were."
    if drift.exceeded:
        passed = ["their sizes"] * drift.sizes_changed
        passed += [f"where segment {segment.number} is" for segment in moved]
        verdict = f"A limit is passed: {', '.join(passed)}."
    explained = (
        "more than chance explains"
        if drift.psi > drift.psi_explained
        else "no more than chance explains"
    )
    return (
        verdict,
        f"Sizes: the population stability index is {drift.psi:.3f}, {explained}. If nothing had "
        f"changed, it would be about {drift.psi_noise + drift.psi_sampling:.3f} "
        f"({drift.psi_noise:.3f} by noise and rounding, {drift.psi_sampling:.3f} by who happens to "
        f"be a customer), and over {drift.psi_explained:.3f} once in a thousand studies. The limit "
        f"is {drift.limits.psi:g}.",
    )


def verdict(drift: Drift, segment: SegmentDrift) -> str:
    """One segment's change in a sentence."""
    if segment.number is None:
        return f"Former segment {segment.former} is not shown any more."
    if segment.former is None:
        return f"Segment {segment.number} is shown for the first time."
    said = f"Segment {segment.number}, formerly {segment.former}: "
    said += f"{_size(drift, segment)}; {_place(drift, segment)}."
    if segment.started_elsewhere is not None:
        said += (
            f" It began where former segment {segment.started_elsewhere} was, and is closer to "
            f"{segment.former} now: look at both."
        )
    return said


def _size(drift: Drift, segment: SegmentDrift) -> str:
    before, now, z = segment.former_share, segment.share, segment.share_z
    if before is None or now is None or z is None or abs(z) < drift.limits.z:
        return "its share has not changed beyond chance"
    return f"{'grew' if now > before else 'shrank'} from {before:.1%} to {now:.1%} of all customers"


def _place(drift: Drift, segment: SegmentDrift) -> str:
    if segment.move is None or segment.move_z is None or segment.move_z < drift.limits.z:
        return "it has not moved beyond chance"
    known = [
        (name, step)
        for name, step in zip(drift.features, segment.moves, strict=True)
        if step == step  # noqa: PLR0124  NaN is not
    ]
    farthest = sorted(known, key=lambda pair: -abs(pair[1]))[:_NAMED]
    named = ", ".join(f"{name} {step:+.2f} sd" for name, step in farthest)
    little = "" if drift.moved(segment) else ", less than the limit"
    return f"it moved by {segment.move:.2f} sd ({named}){little}"
