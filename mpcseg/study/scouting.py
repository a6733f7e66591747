"""Tries numbers of clusters out, on a sample of the blocks: scout and appraisal rounds.

docs/protocol.md section 10. A state machine without IO, inside the schedule; only the key node runs
it. Each number of clusters is begun from several starts; each start takes a few scout rounds, which
move its centroids as lloyd rounds do, and one appraisal round, which shows how good they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcseg.errors import ProtocolError
from mpcseg.reference.moments import Moments
from mpcseg.reference.rounds import RoundKind, ScoutTerms
from mpcseg.study.centroids import (
    SEPARATION,
    emptiness_threshold,
    separate,
    split_largest,
    splitting_axis,
)
from mpcseg.study.choice import Appraisal, Choice, Judged, Whole, candidates_of, choose, judged
from mpcseg.study.estimation import Means, Totals, hides_small_clusters, noised_means
from mpcseg.study.start import N_POINTS, sample_from_moments, scattered_centers, starting_centers

Array = NDArray[np.float64]


# Of a start: the best of fewer draws than a study's own start takes, for it is one of many.
_POINTS, _STARTS = 4000, 5


@dataclass(frozen=True, eq=False)
class Step:
    """A round that is wanted.

    Attributes:
        kind: scout or appraisal.
        n_clusters: k.
        centers: that assign, shape (k, d).
    """

    kind: RoundKind
    n_clusters: int
    centers: Array


class Scouting:
    """Decides the rounds that come between the moments and the lloyd rounds.

    Args:
        terms: the numbers of clusters, starts and rounds.
        moments: of all records together.
        seed: of the draws of starting centroids and of points; not secret.
    """

    def __init__(self, terms: ScoutTerms, moments: Moments, seed: int) -> None:
        self._terms, self._moments, self._seed = terms, moments, seed
        self._weights = 1 / np.diag(moments.covariance)
        self._made = 0
        self._sign_error: float
        self._totals: Totals
        self._appraisals: dict[int, list[Appraisal]] = {k: [] for k in terms.candidates}
        self._centers = self._start(terms.candidates[0], 0)

    def step(self) -> Step | None:
        """Return the round to ask for now; None when all are in."""
        if self._made == len(self._terms.sequence):
            return None
        kind, k = self._terms.sequence[self._made]
        return Step(kind, k, self._centers)

    def receive(self, sums: Array, stds: Array, sign_error: float) -> Array:
        """Take the sums of the step in.

        Args:
            sums: scout: shape (k, d + 1); appraisal: (k, 2d + 1).
            stds: of their noise, same shape.
            sign_error: of the round's sign.

        Returns:
            Sizes of the clusters in the sample, shape (k,).
        """
        kind, k = self._terms.sequence[self._made]
        d = len(self._weights)
        first, first_stds = self._corrected(sums[:, : d + 1], stds[:, : d + 1])
        self._made += 1
        if kind == "scout":
            self._move(first, first_stds, sign_error)
        else:
            self._sign_error = sign_error
            self._appraisals[k].append(
                Appraisal(self._centers, first, first_stds, sums[:, d + 1 :], stds[:, d + 1 :])
            )
            if self._made < len(self._terms.sequence):
                following = self._terms.sequence[self._made][1]
                self._centers = self._start(following, len(self._appraisals[following]))
        return np.asarray(first[:, -1], dtype=np.float64)

    def choice(self, smallest_segment: float) -> Choice:
        """Judge all numbers of clusters and choose one, when all rounds are in.

        Args:
            smallest_segment: customers that a segment must have to be shown.
        """
        if self.step() is not None:
            raise ProtocolError("a number of clusters was to be chosen before the scout rounds")
        rng = np.random.default_rng(self._seed)
        points = sample_from_moments(self._moments, N_POINTS, rng)
        starts = [self._judged(k) for k in self._terms.candidates]
        judged = candidates_of(starts, points, self._weights)
        return choose(judged, smallest_segment / max(self._moments.n_records, 1.0))

    def _judged(self, k: int) -> list[Judged]:
        return [judged(one, self._whole(one)) for one in self._appraisals[k]]

    def _start(self, k: int, number: int) -> Array:
        """Starting centroids: the best that the moments tell, what was found before, or others."""
        rng = np.random.default_rng([self._seed, k, number])
        if number == 0:
            centers = starting_centers(self._moments, k, rng, n_points=_POINTS, n_starts=_STARTS)
        elif number == 1 and k > self._terms.candidates[0]:
            centers = self._one_more(k)
        else:
            centers = scattered_centers(self._moments, k, rng, _POINTS)
        return separate(centers, self._weights)[0]

    def _one_more(self, k: int) -> Array:
        """The best segments of one fewer, of which that of the largest inertia is split."""
        best = max(self._judged(k - 1), key=lambda one: one.explained)
        inertias = best.sizes[:, None] * best.spreads**2 * self._weights
        split = int(inertias.sum(axis=1).argmax())
        axis = int(inertias[split].argmax())
        shift = np.zeros(len(self._weights))
        shift[axis] = max(float(best.spreads[split, axis]), SEPARATION)
        moved = [best.centers[split] - shift, best.centers[split] + shift]
        rest = np.delete(best.centers, split, axis=0)
        return np.asarray(np.clip(np.vstack([rest, moved]), -1.0, 1.0), dtype=np.float64)

    def _corrected(self, first: Array, stds: Array) -> tuple[Array, Array]:
        """Sums over all clusters are those of the sample, and better known with every round."""
        if not self._made:
            self._totals = Totals(first.sum(axis=0), np.sqrt(len(first)) * stds[0])
            return first, stds
        return self._totals.correct(first, stds)

    def _move(self, first: Array, stds: Array, sign_error: float) -> None:
        n_records = float(first[:, -1].sum())
        means = noised_means(first, stds, emptiness_threshold(n_records, sign_error), self._centers)
        centers = means.values
        if not hides_small_clusters(float(stds[0, -1]), n_records, len(first)):
            centers = self._refilled(means, first[:, -1])
        self._centers = separate(centers, self._weights)[0]

    def _refilled(self, means: Means, sizes: Array) -> Array:
        """Centroids of which each empty one is reseeded in the largest cluster."""
        filled, centers = means.filled, means.values
        if filled.all() or not filled.any():
            return centers
        remaining = np.where(filled, sizes, 0.0)
        displacement = splitting_axis(self._moments, centers[filled], sizes[filled])
        for empty in np.flatnonzero(~filled).tolist():
            centers, largest = split_largest(centers, remaining, empty, displacement)
            remaining[[empty, largest]] = remaining[largest] / 2
        return centers

    def _whole(self, one: Appraisal) -> Whole:
        """The sample as a whole, as it stands beside an appraisal.

        In a noised study all appraisals tell of it together, for each has measured its squares.
        Without noise each has its own word: weights that do not quite add up to 1 do so alike in
        its parts and in its whole.
        """
        if one.first_stds.any():
            every = [other for some in self._appraisals.values() for other in some]
            squares = np.array([other.squares.sum(axis=0) for other in every])
            # Noise of a sum over k clusters has k times the variance.
            variances = [len(other.squares) * other.square_stds[0] ** 2 for other in every]
            second = np.average(squares, axis=0, weights=1 / np.array(variances))
            totals = self._totals.values
        else:
            second, totals = one.squares.sum(axis=0), one.first.sum(axis=0)
        n_records = max(float(totals[-1]), 1.0)
        mean = totals[:-1] / n_records
        variance = np.maximum(second / n_records - mean**2, 1e-9)
        return Whole(
            n_records=n_records,
            mean=mean,
            inertia=float(n_records * variance @ self._weights),
            feature_weights=self._weights,
            threshold=emptiness_threshold(n_records, self._sign_error),
        )
