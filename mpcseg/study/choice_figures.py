"""What may be told of how the number of segments was chosen: rounded, without small segments.

The key node makes these figures. The indices of a number of segments are of all its segments
together: from those of one number and what is shown of another, a segment that is hidden in one of
them would follow. So nothing is told where the study hides a segment, and nothing of a number of
which a segment would have been hidden.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mpcseg.privacy.release import significant
from mpcseg.study.choice import Candidate
from mpcseg.study.outcome import StudyResult
from mpcseg.study.spec import StudySpec

LONGEST_REASON = 400
"""Characters, so that the length of a document can be told beforehand."""


@dataclass(frozen=True)
class CandidateFigures:
    """One number of segments that was tried out, on a sample of the customers.

    All but the number are None where they are not told. Noise is a standard deviation, and None
    without noise.

    Attributes:
        n_segments: the number.
        inertia: part of the total inertia that is left within segments, between 0 and 1.
        inertia_noise: of the noise in it.
        calinski_harabasz: the larger the better.
        calinski_harabasz_noise: of the noise in it.
        davies_bouldin: the smaller the better; also None where fewer than two segments have
            customers.
        davies_bouldin_noise: of the noise in it.
        stability: mean adjusted Rand index of any two starts: 1 where they come to the same
            borders, about 0 where they agree by chance.
    """

    n_segments: int
    inertia: float | None = None
    inertia_noise: float | None = None
    calinski_harabasz: float | None = None
    calinski_harabasz_noise: float | None = None
    davies_bouldin: float | None = None
    davies_bouldin_noise: float | None = None
    stability: float | None = None


@dataclass(frozen=True)
class ChoiceFigures:
    """How the number of segments was chosen.

    Attributes:
        chosen: the number.
        candidates: all that were tried out, ascending.
        reason: why, in words; empty where segments of the study are hidden.
    """

    chosen: int
    candidates: tuple[CandidateFigures, ...]
    reason: str


def choice_figures(spec: StudySpec, result: StudyResult, n_hidden: int) -> ChoiceFigures | None:
    """What may be told of the choice; None where the number of segments was agreed. Key node.

    Args:
        spec: the agreement.
        result: what the schedule made of the released sums.
        n_hidden: how many segments of the study are not shown.
    """
    if result.choice is None:
        return None
    return ChoiceFigures(
        chosen=result.choice.chosen.n_clusters,
        candidates=tuple(
            CandidateFigures(one.n_clusters)
            if n_hidden or one.smallest_share < result.choice.smallest_share
            else _told(spec, one)
            for one in result.choice.candidates
        ),
        reason="" if n_hidden else result.choice.reason[:LONGEST_REASON],
    )


def longest_choice(spec: StudySpec, count: int, number: float) -> ChoiceFigures | None:
    """Figures in which everything is told and every number is as wide as given."""
    if spec.scouting is None:
        return None
    one = CandidateFigures(count, *(number,) * 7)
    return ChoiceFigures(count, (one,) * len(spec.scouting.candidates), "-" * LONGEST_REASON)


def choice_fits(spec: StudySpec, choice: ChoiceFigures | None) -> bool:
    """Whether a choice is one of this study."""
    if choice is None or spec.scouting is None:
        return choice is None and spec.scouting is None
    numbers = tuple(one.n_segments for one in choice.candidates)
    return numbers == spec.scouting.candidates and choice.chosen in numbers


def _told(spec: StudySpec, one: Candidate) -> CandidateFigures:
    digits = spec.release.significant_digits

    def told(value: float) -> float | None:
        return significant(value, digits) if math.isfinite(value) else None

    explained, harabasz, bouldin = (
        told(std) if spec.privacy.is_noised else None for std in one.stds
    )
    return CandidateFigures(
        n_segments=one.n_clusters,
        inertia=told(1 - one.explained),
        inertia_noise=explained,
        calinski_harabasz=told(one.calinski_harabasz),
        calinski_harabasz_noise=harabasz,
        davies_bouldin=told(one.davies_bouldin),
        davies_bouldin_noise=bouldin if math.isfinite(one.davies_bouldin) else None,
        stability=told(one.stability),
    )
