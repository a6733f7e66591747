"""Short descriptive names for segments, suggested from what stands out in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mpcseg.report.model import Segment

_WORDS = 2
_NAME_CHARACTERS = 24


def suggested_names(segments: Sequence[Segment]) -> tuple[str, ...]:
    """A name per segment, all of them different.

    The two features that stand out most make the name; where two segments would have the same,
    further features are added, and where nothing tells them apart, their numbers.
    """
    longest = max((len(segment.features) for segment in segments), default=0)
    names = [_name(segment, _WORDS) for segment in segments]
    for words in range(_WORDS + 1, longest + 1):
        counts = Counter(names)
        names = [
            _name(segment, words) if counts[name] > 1 else name
            for segment, name in zip(segments, names, strict=True)
        ]
    counts = Counter(names)
    return tuple(
        f"{name} ({segment.number})" if counts[name] > 1 else name
        for segment, name in zip(segments, names, strict=True)
    )


def _name(segment: Segment, words: int) -> str:
    if segment.is_empty:
        return "No customers"
    parts = [
        f"{summary.remark} {_short(summary.feature)}" for summary in segment.distinguishing[:words]
    ]
    if not parts:
        return "Close to the average"
    text = ", ".join(parts)
    return text[0].upper() + text[1:]


def _short(feature: str) -> str:
    if len(feature) <= _NAME_CHARACTERS:
        return feature
    return feature[: _NAME_CHARACTERS - 1] + "…"
