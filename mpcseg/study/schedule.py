"""The rounds of a study as a state machine without IO: what the key node decides, and when.

docs/protocol.md sections 3 to 5 and 9, docs/privacy.md. Only the key node runs this. It asks for
one round at a time and is fed the decrypted sums of that round:

    admission  →  moments  →  lloyd (blunt sign)  →  lloyd (sharp sign)  →  profile

Where the number of clusters is to be chosen, scout and appraisal rounds come after the moments
(`mpcseg.study.scouting`), and the lloyd rounds start from what they found.

1. The *admission* round shows, party by party, whether the ciphertexts keep to the agreed domain.
   If one party's do not, the study ends here.
2. The *moments* round gives means and covariance; from them follow the feature weights 1/sd² and
   the starting centroids; those of a study that follows another are the former's.
3. *lloyd* rounds move the centroids. The first two fifths use the blunt sign, or fewer if the
   centroids rest before; the rest use the sharp one. They end when no centroid moves by more than
   the tolerance, or after ``n_rounds``. The last step is a plain one.
4. The *profile* round assigns once more, by the final centroids, for sizes, means, spreads and
   inertia.

In a noised study all lloyd rounds are made, with the sharp sign (the blunt one's weights need 9 %
more noise), the last two steps are plain, and the final centroids are means over three rounds. What
is made of noised sums is in `mpcseg.study.estimation`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mpcseg.errors import ConfigError, ProtocolError
from mpcseg.privacy.budget import NoisePlan
from mpcseg.privacy.forecast import AVERAGED
from mpcseg.reference.hyperplanes import hyperplanes
from mpcseg.reference.moments import Moments
from mpcseg.reference.rounds import SCOUT_KINDS, RoundKind, sums_shape
from mpcseg.reference.sign import sign_for
from mpcseg.study.centroids import (
    emptiness_threshold,
    lengths,
    relaxation,
    separate,
    split_largest,
    splitting_axis,
)
from mpcseg.study.checks import (
    NOISE_DEVIATIONS,
    verify_admission,
    verify_enough_records,
    verify_features_vary,
    verify_possible_number,
)
from mpcseg.study.choice import Choice
from mpcseg.study.column_estimates import ColumnEstimates, Sizes, estimate_columns
from mpcseg.study.estimation import (
    Means,
    Totals,
    hides_small_clusters,
    noised_means,
    repaired_moments,
    shrinkage,
)
from mpcseg.study.outcome import RoundRecord, RoundRequest, StudyResult
from mpcseg.study.scouting import Scouting
from mpcseg.study.segments import Centroids, Segments, segments_from_profile
from mpcseg.study.start import following_centers, starting_centers

__all__ = ["RoundRecord", "RoundRequest", "Schedule", "StudyResult"]

# Largest centre move, in standard deviations, at which the centroids are at rest. Lloyd's error
# is quadratic in the distance to the optimum: 1e-3 is far below a part in 10,000 of the inertia.
TOLERANCE = 1e-3
# Where blunt rounds rest is 0.05 to 0.1 away from where sharp ones do: no need to settle first.
BLUNT_TOLERANCE = 0.02
# A feature this narrow in its bounds makes most |t| too small for the sign (section 4).
NARROW_DEVIATION = 0.02
# In a noised study: rounds over which the final centroids are averaged, and how many of them come
# after plain steps (docs/privacy.md).
PLAIN_STEPS = 2
# A last move is at rest if its square is at most this many times the noise in the mean moved to; on
# average, noise alone makes it twice that, for the mean moved from has as much.
REST_IN_NOISE = 6.0


class Schedule:
    """Decides every round of a study; the key node feeds it sums and asks what comes next.

    Args:
        n_clusters: k, at least 2; the largest, where the noise plan says how it is chosen.
        n_rounds: lloyd rounds at most, at least 1.
        feature_names: the agreed features in order; named in errors and notes.
        parties: blocks that each party uploaded (an upper bound will do), by name, in the order of
            the agreement; one that breaks the rules is named in the error.
        slots: of a block.
        most_records: that all parties together can have.
        blunt: degrees of the composite sign of the early rounds.
        sharp: degrees of the composite sign of the late rounds and the profile round.
        seed: of the draw of the starting centroids; not secret.
        noise: what is added to every sum; has the agreed radius.
        former: centroids that a former study has released, by number, shape (m, d) with
            1 <= m <= k: where this one starts. None for a study of its own.
        tolerance: largest move in standard deviations at which the rounds end.
        smallest_segment: customers of a segment that may be shown; matters where k is chosen.

    Raises:
        ConfigError: for fewer than two clusters, no round, no feature, or a noise plan of another
            shape.
        ValueError: for degrees that have no cached sign polynomial.
    """

    def __init__(  # noqa: PLR0913  the terms of an agreement
        self,
        *,
        n_clusters: int,
        n_rounds: int,
        feature_names: Sequence[str],
        parties: Mapping[str, int],
        slots: int,
        most_records: int,
        blunt: tuple[int, ...],
        sharp: tuple[int, ...],
        seed: int,
        noise: NoisePlan,
        former: NDArray[np.float64] | None = None,
        tolerance: float = TOLERANCE,
        smallest_segment: int = 1,
    ) -> None:
        if n_clusters < 2:
            raise ConfigError(f"n_clusters is {n_clusters}", "Ask for two clusters or more.")
        if n_rounds < 1:
            raise ConfigError(f"n_rounds is {n_rounds}", "Ask for one round or more.")
        if not feature_names:
            raise ConfigError("the study has no features", "Name at least one feature.")
        planned = (noise.n_clusters, noise.n_rounds, noise.n_features, noise.n_parties)
        if planned != (n_clusters, n_rounds, len(feature_names), len(parties)):
            raise ConfigError(
                f"the noise plan is for {planned} clusters, rounds, features and parties",
                "Make it from the same agreement.",
            )
        self._k, self._d = n_clusters, len(feature_names)
        if former is not None and not (
            1 <= len(former) <= self._k and former.shape[1:] == (self._d,)
        ):
            raise ConfigError(
                f"the former study's centroids are {former.shape}, not of {self._k} clusters and "
                f"{self._d} features",
                "A study follows one with the same features and number of segments.",
            )
        self._former = former
        self._names = tuple(feature_names)
        self._parties, self._slots = dict(parties), slots
        self._most_records = most_records
        self._n_rounds, self._tolerance, self._seed = n_rounds, tolerance, seed
        self._blunt, self._sharp = sign_for(blunt), sign_for(sharp)
        self._noise, self._smallest_segment = noise, smallest_segment
        self._scouting: Scouting | None = None
        self._choice: Choice | None = None
        # Two fifths, measured on real tables: fewer blunt rounds cost key switches, more leave
        # the sharp rounds too few steps to settle.
        self._n_blunt = 0 if noise.is_noised else 2 * n_rounds // 5

        self._history: list[RoundRecord] = []
        self._result: StudyResult | None = None
        self._request: RoundRequest | None = RoundRequest(0, "admission", (), None)
        self._sign = self._blunt if self._n_blunt else self._sharp
        self._made = 0
        self._converged = False
        self._previous_step: NDArray[np.float64] | None = None
        self._estimates: list[Means] = []
        # Set by the moments round.
        self._n_records: int
        self._moments: Moments
        self._totals: Totals
        self._weights: NDArray[np.float64]
        self._start: NDArray[np.float64]
        self._centers: NDArray[np.float64]
        self._center_stds: NDArray[np.float64]
        self._last_means: NDArray[np.float64]

    def request(self) -> RoundRequest | None:
        """Return the round to ask for now, the same one until its sums are in; None at the end."""
        return self._request

    def receive(self, sums: NDArray[np.float64]) -> RoundRecord:
        """Take the decrypted sums of the current request and decide the next one.

        Args:
            sums: admission: shape (n_parties, 3); moments: (1 + d + d(d + 1)/2,); scout and lloyd:
                (k, d + 1); appraisal: (k, 2d + 1); profile: (k, 2d + 1 + c), c of profile columns.

        Returns:
            What the round came to.

        Raises:
            ProtocolError: if no round is open, or the sums have a wrong shape or values that no
                records can have. The schedule is unchanged then.
            AdmissionError: if a party's records are not in the agreed domain.
            TooFewRecordsError: if all parties together have fewer records than clusters, or than
                the noise lets see.
            ConstantFeatureError: if a feature does not vary.
        """
        if self._request is None:
            raise ProtocolError("sums arrived after the last round of the study")
        checked = self._verified(self._request, np.asarray(sums, dtype=np.float64))
        if self._request.kind == "admission":
            record = self._receive_admission(self._request, checked)
        elif self._request.kind == "moments":
            record = self._receive_moments(self._request, checked)
        elif self._request.kind in SCOUT_KINDS:
            record = self._receive_scout(self._request, checked)
        elif self._request.kind == "lloyd":
            record = self._receive_lloyd(self._request, checked)
        else:
            record = self._receive_profile(self._request, checked)
        return record

    def result(self) -> StudyResult:
        """Return the result of the study.

        Raises:
            ProtocolError: before the profile round is in.
        """
        if self._result is None:
            raise ProtocolError("the study has no result before its profile round")
        return self._result

    def _stds(self, request: RoundRequest) -> NDArray[np.float64]:
        """Standard deviations of the noise in the sums of a request, in their shape."""
        return self._noise.effective_stds(request.kind, request.sign, request.n_clusters)

    def _verified(self, request: RoundRequest, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of a request if records in the domain can have them."""
        k, d = request.n_clusters or self._k, self._d
        wanted = sums_shape(request.kind, k, d, len(self._parties), self._noise.columns)
        if sums.shape != wanted:
            raise ProtocolError(
                f"round {request.index} ({request.kind}) has {wanted} sums, not {sums.shape}"
            )
        if request.kind == "admission":
            largest = np.inf  # judged by limits of its own
        elif request.kind == "moments":
            largest = max(float(sums[0]), 0.0) + NOISE_DEVIATIONS * float(self._stds(request)[0])
        else:
            # |x| <= 1 and a weight is a product of k - 1 factors of at most 1 + error/2.
            error = sign_for(request.sign).error
            n_records = self._moments.n_records + NOISE_DEVIATIONS * self._count_std
            factor = 1 + error / 2
            largest = n_records * factor ** (k - 1)
            # The weights of one record add up to no more than this, whatever its signs: at most
            # one cluster has no factor under 0, where a factor is -error/2 at the least.
            in_all = largest + n_records * k * error / 2 * factor ** (k - 2)
        # 5 % and one record of allowance for the errors of the encrypted evaluation.
        allowed = 1.05 * largest + 1 + NOISE_DEVIATIONS * self._stds(request)
        if not np.all(np.isfinite(sums)) or np.any(np.abs(sums) > allowed):
            raise ProtocolError(
                f"the sums of round {request.index} ({request.kind}) cannot be those of records",
                "The nodes' keys or parameters do not match, or the precision is exhausted.",
            )
        if request.kind == "moments":
            std = float(self._stds(request)[0])
            verify_possible_number(float(sums[0]), self._most_records, std, request.index)
        elif request.kind != "admission":
            std = math.sqrt(k) * float(self._stds(request)[0, d])
            verify_possible_number(float(sums[:, d].sum()), 1.05 * in_all, std, request.index)
        return sums

    def _receive_admission(self, request: RoundRequest, sums: NDArray[np.float64]) -> RoundRecord:
        verify_admission(sums, self._parties, self._slots, self._noise)
        record = RoundRecord(request.index, request.kind, request.sign, None, 0, None, ())
        self._open("moments", record)
        return record

    def _receive_moments(self, request: RoundRequest, sums: NDArray[np.float64]) -> RoundRecord:
        stds = self._stds(request)
        n_records = round(float(sums[0]))
        verify_enough_records(n_records, self._k, float(stds[0]))
        if self._noise.is_noised:
            moments = repaired_moments(sums, stds, self._d)
        else:
            moments = Moments.from_sums(sums, self._d)
            verify_features_vary(self._names, moments)
        variances = np.diag(moments.covariance)
        notes = [
            f"feature {name!r} fills little of its bounds; tighter ones sharpen the assignment"
            for name, variance in zip(self._names, variances, strict=True)
            if np.sqrt(variance) <= NARROW_DEVIATION
        ]
        self._n_records, self._moments, self._weights = n_records, moments, 1 / variances
        order = [*range(1, self._d + 1), 0]
        self._totals = Totals(sums[order], stds[order])
        self._count_std = float(stds[0])
        if self._noise.scouting:
            self._scouting = Scouting(self._noise.scouting, moments, self._seed)
        else:
            notes += self._start_from(self._starting_centers(moments))
        record = RoundRecord(
            request.index, request.kind, request.sign, None, n_records, None, tuple(notes)
        )
        self._open("scout" if self._scouting else "lloyd", record)
        return record

    def _start_from(self, centers: NDArray[np.float64]) -> list[str]:
        """Begin the lloyd rounds at some centroids; returns notes."""
        self._start, moved = separate(centers, self._weights)
        self._k = len(self._start)
        self._centers = self._last_means = self._start
        self._center_stds = np.zeros_like(self._start)
        return [f"starting centroid {b} coincided with another and was set apart" for b in moved]

    def _receive_scout(self, request: RoundRequest, sums: NDArray[np.float64]) -> RoundRecord:
        scouting, notes = self._scouting, []
        if scouting is None:
            raise ProtocolError("a scout round came in, and the agreement fixes the clusters")
        error = sign_for(request.sign).error
        sizes = scouting.receive(sums, self._stds(request), error)
        is_last = scouting.step() is None
        if is_last:
            self._choice = scouting.choice(self._smallest_segment)
            notes = self._start_from(self._choice.chosen.centers)
        record = RoundRecord(
            request.index, request.kind, request.sign, None, self._n_records, sizes, tuple(notes)
        )
        self._open("lloyd" if is_last else "scout", record)
        return record

    def _starting_centers(self, moments: Moments) -> NDArray[np.float64]:
        rng = np.random.default_rng(self._seed)
        if self._former is None:
            return starting_centers(moments, self._k, rng)
        return following_centers(self._former, moments, self._k, rng)

    def _receive_lloyd(self, request: RoundRequest, sums: NDArray[np.float64]) -> RoundRecord:
        corrected, stds = self._totals.correct(sums, self._stds(request))
        sizes = corrected[:, -1]
        threshold = emptiness_threshold(self._moments.n_records, self._sign.error)
        means = noised_means(corrected, stds, threshold, self._centers)
        step = means.values - self._centers
        shift = float(lengths(step, self._weights).max())
        self._made += 1
        notes: list[str] = []

        self._converged = bool(means.filled.all()) and self._is_at_rest(step, means)
        ends_early = self._converged and not self._noise.is_noised
        finished = ends_early or self._made == self._n_rounds
        self._move(step, means, finished=finished)
        self._refill(means, sizes, finished, notes)
        self._last_means = np.where(means.filled[:, None], means.values, self._last_means)
        self._centers, moved = separate(self._centers, self._weights)
        notes += [f"centroid {b} coincided with another and was set apart" for b in moved]

        if self._made >= self._n_blunt or shift < BLUNT_TOLERANCE:
            self._sign = self._sharp
        if ends_early:
            notes.append(f"converged: no centroid moved by {self._tolerance:g} or more")
        elif finished:
            notes.append("stopped: all rounds are made")
        record = RoundRecord(
            request.index, request.kind, request.sign, shift, self._n_records, sizes.copy(),
            tuple(notes),
        )  # fmt: skip
        self._open("profile" if finished else "lloyd", record)
        return record

    def _is_at_rest(self, step: NDArray[np.float64], means: Means) -> bool:
        """Whether the centroids have stopped, or move by no more than the noise in their means."""
        if self._noise.is_noised:
            explained = np.where(np.isfinite(means.stds), means.stds, 0.0) ** 2 @ self._weights
            return bool((lengths(step, self._weights) ** 2 <= REST_IN_NOISE * explained).all())
        is_sharp = self._sign is self._sharp
        return is_sharp and float(lengths(step, self._weights).max()) < self._tolerance

    def _move(self, step: NDArray[np.float64], means: Means, *, finished: bool) -> None:
        """Move the centroids by a round's step: looking ahead at first, plainly at the end."""
        is_plain = finished
        if self._noise.is_noised:
            is_plain = self._made > self._n_rounds - PLAIN_STEPS
            factor = 1.0 if is_plain else shrinkage(step, means.stds, self._weights)
            kept = factor * step
            self._estimates.append(Means(self._centers + kept, means.filled, means.stds))
        else:
            kept = step
        if is_plain:
            self._centers = self._centers + kept
        else:
            ahead = relaxation(step, self._previous_step, self._weights)
            self._centers = np.clip(self._centers + ahead * kept, -1.0, 1.0)
        self._previous_step = step
        if finished and self._noise.is_noised:
            last = self._estimates[-AVERAGED:]
            self._centers = np.mean([means.values for means in last], axis=0)
            variances = np.sum([means.stds**2 for means in last], axis=0)
            self._center_stds = np.sqrt(variances) / len(last)

    def _refill(
        self,
        means: Means,
        sizes: NDArray[np.float64],
        finished: bool,
        notes: list[str],
    ) -> None:
        """Deal with clusters that came out empty.

        One that left its records by over-relaxation returns to its last mean. Any other is
        reseeded in the largest cluster, but keeps its place when no lloyd round is left to
        make use of it, or when the noise does not let tell whether it is empty.
        """
        filled = means.filled
        if filled.all() or not filled.any():
            return
        remaining = np.where(filled, sizes, 0.0)
        displacement = splitting_axis(self._moments, means.values[filled], sizes[filled])
        for a in np.flatnonzero(~filled).tolist():
            if self._is_averaging or self._hides_small_clusters:
                notes.append(f"cluster {a} is empty or lost in the noise and kept its place")
            elif not np.array_equal(self._last_means[a], means.values[a]):
                self._centers[a] = self._last_means[a]
                notes.append(f"cluster {a} was empty and returned to its last mean")
            elif finished:
                notes.append(f"cluster {a} is empty and kept its place")
            else:
                self._centers, largest = split_largest(self._centers, remaining, a, displacement)
                remaining[[a, largest]] = remaining[largest] / 2
                self._last_means = self._last_means.copy()
                self._last_means[a] = self._centers[a]
                notes.append(f"cluster {a} was empty and was reseeded by splitting {largest}")

    @property
    def _chosen(self) -> int:
        """Clusters of the lloyd and profile rounds, where they were chosen; else 0."""
        return self._k if self._choice else 0

    @property
    def _is_averaging(self) -> bool:
        """Whether the centroids of this round go into the final ones of a noised study."""
        return self._noise.is_noised and self._made > self._n_rounds - AVERAGED

    @property
    def _hides_small_clusters(self) -> bool:
        """Whether noise is so large that an empty cluster cannot be told from a small one."""
        stds = self._noise.effective_stds("lloyd", self._sharp.degrees, self._chosen)
        std = float(stds[0, -1])
        return hides_small_clusters(std, self._n_records, self._k)

    def _receive_profile(self, request: RoundRequest, sums: NDArray[np.float64]) -> RoundRecord:
        moments, stds, first = self._moments, self._stds(request), 2 * self._d + 1
        found = segments_from_profile(
            sums[:, :first],
            stds[:, :first],
            Centroids(self._centers, self._center_stds, moments.mean, self._weights),
            self._totals,
            emptiness_threshold(moments.n_records, self._sign.error),
        )
        notes = tuple(f"segment {a} is empty" for a in np.flatnonzero(~found.filled))
        record = RoundRecord(
            request.index, request.kind, request.sign, None,
            self._totals.n_records, found.sizes.copy(), notes,
        )  # fmt: skip
        self._open(None, record)
        self._result = StudyResult(
            cluster_centers=self._centers,
            segment_sizes=found.sizes.copy(),
            segment_means=found.means,
            segment_spreads=found.spreads,
            size_stds=found.size_stds,
            mean_stds=found.mean_stds,
            inertia=found.inertia,
            n_records=self._totals.n_records,
            feature_means=moments.mean,
            feature_covariance=moments.covariance,
            feature_weights=self._weights,
            starting_centers=self._start,
            n_iter=self._made,
            converged=self._converged,
            history=tuple(self._history),
            choice=self._choice,
            columns=self._columns(found, sums[:, first:], stds[:, first:]),
        )
        return record

    def _columns(
        self, found: Segments, sums: NDArray[np.float64], stds: NDArray[np.float64]
    ) -> ColumnEstimates | None:
        if not self._noise.columns.n_sums:
            return None
        sizes = Sizes(
            np.append(found.sizes, self._totals.n_records),
            np.append(found.size_stds, self._totals.n_records_std),
            np.append(found.filled, True),
        )
        return estimate_columns(sums, stds, sizes, self._noise.columns)

    def _open(self, following: RoundKind | None, record: RoundRecord) -> None:
        """Enter a finished round in the history and open the next one."""
        self._history.append(record)
        index = record.index + 1
        if following is None:
            self._request = None
        elif following == "moments":
            self._request = RoundRequest(index, following, (), None)
        elif self._scouting and (step := self._scouting.step()):
            planes = hyperplanes(step.centers, self._weights, self._noise.radius)
            degrees = self._noise.scout_sign(step.kind)
            self._request = RoundRequest(index, step.kind, degrees, planes, step.n_clusters)
        else:
            sign = self._sharp if following == "profile" else self._sign
            planes = hyperplanes(self._centers, self._weights, self._noise.radius)
            self._request = RoundRequest(index, following, sign.degrees, planes, self._chosen)
