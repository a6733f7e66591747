"""The rounds of a study as a state machine without IO: what the key node decides, and when.

docs/protocol.md sections 3 to 5 and 9. Only the key node runs this. It asks for one round at a
time and is fed the decrypted sums of that round:

    moments  →  lloyd (blunt sign)  →  lloyd (sharp sign)  →  profile

1. The *moments* round gives means and covariance; from them follow the feature weights 1/sd² and
   the starting centroids.
2. *lloyd* rounds move the centroids. The first two fifths use the blunt sign, or fewer if the
   centroids rest before; the rest use the sharp one. They end when no centroid moves by more than
   the tolerance, or after ``n_rounds``. The last step is a plain one.
3. The *profile* round assigns once more, by the final centroids, for sizes, means, spreads and
   inertia.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcseg.errors import ConfigError, ConstantFeatureError, ProtocolError, TooFewRecordsError
from mpcseg.reference.hyperplanes import hyperplanes
from mpcseg.reference.metrics import inertia_from_profile
from mpcseg.reference.moments import Moments
from mpcseg.reference.rounds import RoundKind, sums_shape
from mpcseg.reference.sign import sign_for
from mpcseg.study.centroids import (
    emptiness_threshold,
    lengths,
    relaxation,
    separate,
    split_largest,
    splitting_axis,
)
from mpcseg.study.start import starting_centers

# Largest centre move, in standard deviations, at which the centroids are at rest. Lloyd's error
# is quadratic in the distance to the optimum: 1e-3 is far below a part in 10,000 of the inertia.
TOLERANCE = 1e-3
# Where blunt rounds rest is 0.05 to 0.1 away from where sharp ones do: no need to settle first.
BLUNT_TOLERANCE = 0.02
# Under this variance in scaled space a feature is constant but for the errors of its encryption.
CONSTANT_VARIANCE = 1e-8
# Error of a decrypted sum, whatever the number of records: ten times the largest seen, 4e-4 per
# block. Divided by n it is the variance that a constant feature can seem to have.
SUM_ERROR = 5e-3
# A feature this narrow in its bounds makes most |t| too small for the sign (section 4).
NARROW_DEVIATION = 0.02


@dataclass(frozen=True, eq=False)
class RoundRequest:
    """What the key node asks of the compute node in one round.

    Attributes:
        index: 0 for the moments round, then counting up.
        kind: which sums are wanted.
        sign: degrees of the composite sign; empty for the moments round.
        hyperplanes: shape (n_pairs, d + 1), to be encrypted; None for the moments round.
    """

    index: int
    kind: RoundKind
    sign: tuple[int, ...]
    hyperplanes: NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class RoundRecord:
    """What one round came to. Holds no centroid.

    Attributes:
        index: as in the request.
        kind: as in the request.
        sign: as in the request.
        shift: largest plain move of a centroid, in standard deviations; lloyd rounds only.
        n_records: records of all parties together.
        sizes: sum of the assignment weights per cluster, shape (k,); None for the moments round.
        notes: what was out of the ordinary (empty cluster, coincident centroids, …), or an end.
    """

    index: int
    kind: RoundKind
    sign: tuple[int, ...]
    shift: float | None
    n_records: int
    sizes: NDArray[np.float64] | None
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class StudyResult:
    """What a finished study gives, all in scaled space.

    Attributes:
        cluster_centers: centroids after the lloyd rounds, by which the profile round assigned,
            shape (k, d).
        segment_sizes: sums of the assignment weights, shape (k,). They add up to about
            ``n_records`` only: a record near three borders weighs a little more or less than 1.
            Every record also weighs up to ± error/2 of the sign in clusters it is far from; with
            clusters many times farther apart than wide, that shows in spreads and inertia.
        segment_means: weighted means, shape (k, d); the centroid for an empty segment.
        segment_spreads: weighted standard deviations, shape (k, d); 0 for an empty segment.
        inertia: of the profile round's weights, in the standardised metric.
        n_records: records of all parties together.
        feature_means: joint means, shape (d,).
        feature_covariance: joint covariance, shape (d, d).
        feature_weights: 1 / variance of each feature, shape (d,).
        starting_centers: where the lloyd rounds began, shape (k, d).
        n_iter: lloyd rounds made.
        converged: whether the centroids came to rest before the rounds ran out.
        history: one record per round, moments and profile included.
    """

    cluster_centers: NDArray[np.float64]
    segment_sizes: NDArray[np.float64]
    segment_means: NDArray[np.float64]
    segment_spreads: NDArray[np.float64]
    inertia: float
    n_records: int
    feature_means: NDArray[np.float64]
    feature_covariance: NDArray[np.float64]
    feature_weights: NDArray[np.float64]
    starting_centers: NDArray[np.float64]
    n_iter: int
    converged: bool
    history: tuple[RoundRecord, ...]


class Schedule:
    """Decides every round of a study; the key node feeds it sums and asks what comes next.

    Args:
        n_clusters: k, at least 2.
        n_rounds: lloyd rounds at most, at least 1.
        feature_names: the agreed features in order; named in errors and notes.
        blunt: degrees of the composite sign of the early rounds.
        sharp: degrees of the composite sign of the late rounds and the profile round.
        seed: of the draw of the starting centroids; not secret.
        tolerance: largest move in standard deviations at which the rounds end.

    Raises:
        ConfigError: for fewer than two clusters, no round or no feature.
        ValueError: for degrees that have no cached sign polynomial.
    """

    def __init__(
        self,
        *,
        n_clusters: int,
        n_rounds: int,
        feature_names: Sequence[str],
        blunt: tuple[int, ...],
        sharp: tuple[int, ...],
        seed: int,
        tolerance: float = TOLERANCE,
    ) -> None:
        if n_clusters < 2:
            raise ConfigError(f"n_clusters is {n_clusters}", "Ask for two clusters or more.")
        if n_rounds < 1:
            raise ConfigError(f"n_rounds is {n_rounds}", "Ask for one round or more.")
        if not feature_names:
            raise ConfigError("the study has no features", "Name at least one feature.")
        self._k, self._d = n_clusters, len(feature_names)
        self._names = tuple(feature_names)
        self._n_rounds, self._tolerance, self._seed = n_rounds, tolerance, seed
        self._blunt, self._sharp = sign_for(blunt), sign_for(sharp)
        # Two fifths, measured on real tables: fewer blunt rounds cost key switches, more leave
        # the sharp rounds too few steps to settle.
        self._n_blunt = 2 * n_rounds // 5

        self._history: list[RoundRecord] = []
        self._result: StudyResult | None = None
        self._request: RoundRequest | None = RoundRequest(0, "moments", (), None)
        self._sign = self._blunt if self._n_blunt else self._sharp
        self._made = 0
        self._converged = False
        self._previous_step: NDArray[np.float64] | None = None
        # Set by the moments round.
        self._moments: Moments
        self._weights: NDArray[np.float64]
        self._start: NDArray[np.float64]
        self._centers: NDArray[np.float64]
        self._last_means: NDArray[np.float64]

    def request(self) -> RoundRequest | None:
        """Return the round to ask for now, the same one until its sums are in; None at the end."""
        return self._request

    def receive(self, sums: NDArray[np.float64]) -> RoundRecord:
        """Take the decrypted sums of the current request and decide the next one.

        Args:
            sums: moments: shape (1 + d + d(d + 1)/2,); lloyd: (k, d + 1); profile: (k, 2d + 1).

        Returns:
            What the round came to.

        Raises:
            ProtocolError: if no round is open, or the sums have a wrong shape or values that no
                records can have. The schedule is unchanged then.
            TooFewRecordsError: if all parties together have fewer records than clusters.
            ConstantFeatureError: if a feature does not vary.
        """
        if self._request is None:
            raise ProtocolError("sums arrived after the last round of the study")
        checked = self._verified(self._request, np.asarray(sums, dtype=np.float64))
        if self._request.kind == "moments":
            record = self._receive_moments(checked)
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

    def _verified(self, request: RoundRequest, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of a request if records in the domain can have them."""
        k, d = self._k, self._d
        wanted = sums_shape(request.kind, k, d)
        if sums.shape != wanted:
            raise ProtocolError(
                f"round {request.index} ({request.kind}) has {wanted} sums, not {sums.shape}"
            )
        if request.kind == "moments":
            largest = max(float(sums[0]), 0.0)
        else:
            # |x| <= 1 and a weight is a product of k - 1 factors of at most 1 + error/2.
            error = sign_for(request.sign).error
            largest = self._moments.n_records * float((1 + error / 2) ** (k - 1))
        # 5 % and one record of allowance for the errors of the encrypted evaluation.
        if not np.all(np.isfinite(sums)) or np.abs(sums).max() > 1.05 * largest + 1:
            raise ProtocolError(
                f"the sums of round {request.index} ({request.kind}) cannot be those of records",
                "The nodes' keys or parameters do not match, or the precision is exhausted.",
            )
        return sums

    def _receive_moments(self, sums: NDArray[np.float64]) -> RoundRecord:
        n_records = round(float(sums[0]))
        if n_records < self._k:
            raise TooFewRecordsError(
                f"all parties together have {max(n_records, 0)} "
                f"{'record' if n_records == 1 else 'records'} for {self._k} clusters",
                "Ask for fewer clusters.",
            )
        moments = Moments.from_sums(sums, self._d)
        variances = np.diag(moments.covariance)
        for name, variance in zip(self._names, variances, strict=True):
            if variance < CONSTANT_VARIANCE + SUM_ERROR / n_records:
                raise ConstantFeatureError(
                    f"feature {name!r} has the same value in all records of all parties",
                    "Leave it out, or agree on tighter bounds if it does vary a little.",
                )
        notes = [
            f"feature {name!r} fills little of its bounds; tighter ones sharpen the assignment"
            for name, variance in zip(self._names, variances, strict=True)
            if np.sqrt(variance) < NARROW_DEVIATION
        ]
        self._moments = moments
        self._weights = 1 / variances
        start = starting_centers(moments, self._k, np.random.default_rng(self._seed))
        self._start, moved = separate(start, self._weights)
        notes += [f"starting centroid {b} coincided with another and was set apart" for b in moved]
        self._centers = self._last_means = self._start
        record = RoundRecord(0, "moments", (), None, n_records, None, tuple(notes))
        self._close(record, "lloyd")
        return record

    def _receive_lloyd(self, request: RoundRequest, sums: NDArray[np.float64]) -> RoundRecord:
        sizes = sums[:, -1]
        filled = sizes > emptiness_threshold(self._moments.n_records, self._sign.error)
        means = self._centers.copy()
        means[filled] = np.clip(sums[filled, :-1] / sizes[filled, None], -1.0, 1.0)
        step = means - self._centers
        shift = float(lengths(step, self._weights).max())
        self._made += 1
        notes: list[str] = []

        is_sharp = self._sign is self._sharp
        self._converged = is_sharp and bool(filled.all()) and shift < self._tolerance
        finished = self._converged or self._made == self._n_rounds
        if finished:
            self._centers = means
        else:
            factor = relaxation(step, self._previous_step, self._weights)
            self._centers = np.clip(self._centers + factor * step, -1.0, 1.0)
        self._previous_step = step
        self._refill(filled, means, sizes, finished, notes)
        self._last_means = np.where(filled[:, None], means, self._last_means)
        self._centers, moved = separate(self._centers, self._weights)
        notes += [f"centroid {b} coincided with another and was set apart" for b in moved]

        if self._made >= self._n_blunt or shift < BLUNT_TOLERANCE:
            self._sign = self._sharp
        if self._converged:
            notes.append(f"converged: no centroid moved by {self._tolerance:g} or more")
        elif finished:
            notes.append("stopped: all rounds are made")
        record = RoundRecord(
            request.index, "lloyd", request.sign, shift,
            self._history[0].n_records, sizes.copy(), tuple(notes),
        )  # fmt: skip
        self._close(record, "profile" if finished else "lloyd")
        return record

    def _refill(
        self,
        filled: NDArray[np.bool_],
        means: NDArray[np.float64],
        sizes: NDArray[np.float64],
        finished: bool,
        notes: list[str],
    ) -> None:
        """Deal with clusters that came out empty.

        One that left its records by over-relaxation returns to its last mean. Any other is
        reseeded in the largest cluster, but keeps its place when no lloyd round is left to
        make use of it.
        """
        if filled.all() or not filled.any():
            return
        remaining = np.where(filled, sizes, 0.0)
        displacement = splitting_axis(self._moments, means[filled], sizes[filled])
        for a in np.flatnonzero(~filled).tolist():
            if not np.array_equal(self._last_means[a], means[a]):
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

    def _receive_profile(self, request: RoundRequest, sums: NDArray[np.float64]) -> RoundRecord:
        d = self._d
        sizes = sums[:, d]
        filled = sizes > emptiness_threshold(self._moments.n_records, self._sign.error)
        divisor = np.where(filled, sizes, 1.0)[:, None]
        means = np.where(filled[:, None], sums[:, :d] / divisor, self._centers)
        variances = np.where(filled[:, None], sums[:, d + 1 :] / divisor - means**2, 0.0)
        notes = tuple(f"segment {a} is empty" for a in np.flatnonzero(~filled))
        n_records = self._history[0].n_records
        record = RoundRecord(
            request.index, "profile", request.sign, None, n_records, sizes.copy(), notes
        )
        self._close(record, None)
        self._result = StudyResult(
            cluster_centers=self._centers,
            segment_sizes=sizes.copy(),
            segment_means=means,
            segment_spreads=np.sqrt(np.maximum(variances, 0.0)),
            inertia=inertia_from_profile(sums, self._centers, self._weights),
            n_records=n_records,
            feature_means=self._moments.mean,
            feature_covariance=self._moments.covariance,
            feature_weights=self._weights,
            starting_centers=self._start,
            n_iter=self._made,
            converged=self._converged,
            history=tuple(self._history),
        )
        return record

    def _close(self, record: RoundRecord, following: RoundKind | None) -> None:
        """Enter a finished round in the history and open the next one."""
        self._history.append(record)
        if following is None:
            self._request = None
            return
        sign = self._sharp if following == "profile" else self._sign
        radius = float(np.sqrt(self._d))
        planes = hyperplanes(self._centers, self._weights, radius)
        self._request = RoundRequest(record.index + 1, following, sign.degrees, planes)
