"""How segments have changed between a study and the one that follows it. Runs at a recipient.

Everything is computed from two `Results` that the recipient holds already: no sum is released for
it, and no budget spent. A change counts where it is larger than what noise, rounding and the chance
of who happens to be a customer explain, and large enough to matter.

- **Sizes**: the population stability index, PSI = Σ (q − p) · ln(q / p) over the segments' shares p
  before and q now.
- **Positions**: how far each segment's mean has moved, in standard deviations of all customers of
  the former study, and how unlikely that is by chance alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.special import chdtri

from mpcseg.errors import AgreementError
from mpcseg.report.drift_figures import Figures, figures_of
from mpcseg.study.results import Results
from mpcseg.study.spec import StudySpec

Array = npt.NDArray[np.float64]

# Of a change that chance alone would make once in so many studies.
_CHANCE = 0.001


@dataclass(frozen=True)
class Limits:
    """From when on a change is reported.

    Attributes:
        psi: population stability index; 0.1 to 0.25 is usually called a moderate change.
        z: of a move or a size against its uncertainty, as of a standard normal variable.
        move: standard deviations that a segment must have moved besides, for with many customers
            and little noise every move is certain.
    """

    psi: float = 0.2
    z: float = 3.0
    move: float = 0.5


@dataclass(frozen=True)
class SegmentDrift:
    """One segment in both studies, or in one of them only.

    Attributes:
        number: in the new study; None where it is not shown any more.
        former: its number in the former one; None where it was not shown there.
        share: of all customers now; None with ``number``.
        former_share: before; None with ``former``.
        share_z: of the change of the share.
        psi: its part of the index.
        move: of its mean, in standard deviations of the former study; None unless in both.
        move_z: likewise against what chance explains.
        moves: per feature, signed, in standard deviations; empty unless in both.
        started_elsewhere: the former segment from whose centroid its own began, where that is not
            the one it is closest to now.
    """

    number: int | None
    former: int | None
    share: float | None
    former_share: float | None
    share_z: float | None
    psi: float
    move: float | None
    move_z: float | None
    moves: tuple[float, ...]
    started_elsewhere: int | None


@dataclass(frozen=True)
class Drift:
    """What has changed, and whether it is enough to act on.

    Attributes:
        study: the new study's name.
        former_study: the former one's.
        features: names, in order.
        limits: that it was judged by.
        psi: population stability index.
        psi_noise: what noise and rounding alone would make it on average.
        psi_sampling: what chance would: as if customers were drawn anew each time.
        psi_explained: what both together would stay under in all but one of a thousand studies.
        segments: by new number, then those that are not shown any more.
    """

    study: str
    former_study: str
    features: tuple[str, ...]
    limits: Limits
    psi: float
    psi_noise: float
    psi_sampling: float
    psi_explained: float
    segments: tuple[SegmentDrift, ...]

    @property
    def sizes_changed(self) -> bool:
        """Whether the index is over its limit, and more than chance."""
        return self.psi >= self.limits.psi and self.psi > self.psi_explained

    def moved(self, segment: SegmentDrift) -> bool:
        """Whether a segment has moved far enough, and by more than chance."""
        return (
            segment.move is not None
            and segment.move_z is not None
            and segment.move >= self.limits.move
            and segment.move_z >= self.limits.z
        )

    @property
    def exceeded(self) -> bool:
        """Whether any limit is passed."""
        return self.sizes_changed or any(self.moved(segment) for segment in self.segments)


def drift(spec: StudySpec, former: Results, new: Results, limits: Limits | None = None) -> Drift:
    """Compare the results of a follow-up with those of the study that it follows.

    Segments are matched by the least sum of moves. Where a segment began is compared with that.

    Args:
        spec: the follow-up's agreement.
        former: results of the study that it follows, of the same recipient or another.
        new: its own.
        limits: the usual ones if not given.

    Raises:
        AgreementError: they are not of these two studies, or one of them has no report, or shows no
            segment.
    """
    _verify_they_go_together(spec, former, new)
    before, now = figures_of(spec, former), figures_of(spec, new)
    distances = _distances(before, now)
    rows, columns = linear_sum_assignment(distances)
    match = dict(zip(columns.tolist(), rows.tolist(), strict=True))
    shares = _Shares.of(before, now, match)
    segments = [_segment(before, now, shares, b, match.get(b)) for b in range(len(now.sizes))]
    gone = sorted(set(range(len(before.sizes))) - set(match.values()))
    segments += [_gone(before, a) for a in gone]
    expected = shares.psi_noise + shares.psi_sampling
    return Drift(
        study=new.study,
        former_study=former.study,
        features=new.features,
        limits=limits or Limits(),
        psi=float(shares.terms.sum()),
        psi_noise=shares.psi_noise,
        psi_sampling=shares.psi_sampling,
        psi_explained=_quantile(expected, len(shares.terms) - 1),
        segments=tuple(segments),
    )


def _verify_they_go_together(spec: StudySpec, former: Results, new: Results) -> None:
    if new.study_digest != spec.digest:
        raise AgreementError(
            f"the new results are of another study than '{spec.name}'",
            "Give the agreement that they were made under.",
        )
    if spec.former is None or former.study_digest != spec.former:
        raise AgreementError(
            f"the former results are not of the study that '{spec.name}' follows",
            "Drift is told between a study and the one that its agreement names as the former.",
        )
    for results in (former, new):
        if results.report is None:
            raise AgreementError(
                f"'{results.recipient}' has received no report of the study '{results.study}'",
                "Sizes and means of the segments are in the report: drift needs both studies'.",
            )
        if not results.report.segments:
            raise AgreementError(
                f"no segment of the study '{results.study}' is shown", "There is nothing to follow."
            )


def _distances(before: Figures, now: Figures) -> Array:
    """Between each former segment (row) and each new one, in standard deviations."""
    step = (now.means[None] - before.means[:, None]) / before.deviations
    return np.asarray(np.sqrt(np.nansum(step**2, axis=2)), dtype=np.float64)


@dataclass(frozen=True)
class _Shares:
    """Shares of the matched segments, in the new order, and of everybody else together.

    Attributes:
        before: shape (n,).
        now: shape (n,).
        stds: of the change of each share by chance, shape (n,).
        terms: of the index, shape (n,).
        place: of each matched new segment, by its row.
        psi_noise: as in `Drift`.
        psi_sampling: likewise.
    """

    before: Array
    now: Array
    stds: Array
    terms: Array
    place: dict[int, int]
    psi_noise: float
    psi_sampling: float

    @classmethod
    def of(cls, before: Figures, now: Figures, match: dict[int, int]) -> _Shares:
        """Put the segments of both studies side by side."""
        news = sorted(match)
        has_rest = any(f.has_others or len(f.sizes) > len(news) for f in (before, now))
        p, p_noise, n_before = before.shares([match[b] for b in news], rest=has_rest)
        q, q_noise, n_now = now.shares(news, rest=has_rest)
        middle = (p + q) / 2
        noise = p_noise + q_noise
        sampling = middle * (1 - middle) * (1 / n_before + 1 / n_now)
        return cls(
            before=p,
            now=q,
            stds=np.sqrt(noise + sampling),
            terms=(q - p) * np.log(q / p),
            place={b: place for place, b in enumerate(news)},
            psi_noise=float((noise / middle).sum()),
            psi_sampling=float((sampling / middle).sum()),
        )


def _segment(before: Figures, now: Figures, shares: _Shares, b: int, a: int | None) -> SegmentDrift:
    number, started = now.numbers[b], now.started_from(b, len(before.sizes))
    if a is None:
        share = float(now.sizes[b] / now.n_records)
        return SegmentDrift(number, None, share, None, None, 0.0, None, None, (), started)
    place = shares.place[b]
    change = shares.now[place] - shares.before[place]
    step = (now.means[b] - before.means[a]) / before.deviations
    variances = (before.variances[a] + now.variances[b]) / before.deviations**2
    return SegmentDrift(
        number=number,
        former=before.numbers[a],
        share=float(shares.now[place]),
        former_share=float(shares.before[place]),
        share_z=float(change / shares.stds[place]),
        psi=float(shares.terms[place]),
        move=float(np.sqrt(np.nansum(step**2))),
        move_z=_as_normal(step, variances),
        moves=tuple(step.tolist()),
        started_elsewhere=started if started != before.numbers[a] else None,
    )


def _gone(before: Figures, a: int) -> SegmentDrift:
    share = float(before.sizes[a] / before.n_records)
    return SegmentDrift(None, before.numbers[a], None, share, None, 0.0, None, None, (), None)


def _as_normal(step: Array, variances: Array) -> float:
    """How unlikely a move is by chance, as a standard normal variable would be.

    Σ step²/variance is chi-squared with d degrees of freedom if nothing has moved. Its cube root is
    normal to within a few hundredths (Wilson and Hilferty, 1931), also far out in the tail, where
    the probability itself is 0 in a double.
    """
    known = np.isfinite(step)
    d = int(known.sum())
    if d == 0:
        return 0.0
    statistic = float((step[known] ** 2 / variances[known]).sum())
    spread = 2 / (9 * d)
    return float((np.cbrt(statistic / d) - (1 - spread)) / np.sqrt(spread))


def _quantile(expected: float, freedom: int) -> float:
    """What an index that is chance alone stays under, given its mean: a scaled chi-square."""
    if freedom < 1:
        return 0.0
    return expected / freedom * float(chdtri(freedom, _CHANCE))
