"""What passes between the key node and its schedule: requests, round records, the result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcseg.reference.rounds import RoundKind
from mpcseg.study.choice import Choice
from mpcseg.study.column_estimates import ColumnEstimates


@dataclass(frozen=True, eq=False)
class RoundRequest:
    """What the key node asks of the compute node in one round.

    Attributes:
        index: 0 for the admission round, 1 for the moments, then counting up.
        kind: which sums are wanted.
        sign: degrees of the composite sign; empty for admission and moments.
        hyperplanes: shape (n_pairs, d + 1), to be encrypted; None for admission and moments.
        n_clusters: k, where it is chosen in the study; 0 where the agreement fixes it, and for
            admission and moments.
    """

    index: int
    kind: RoundKind
    sign: tuple[int, ...]
    hyperplanes: NDArray[np.float64] | None
    n_clusters: int = 0


@dataclass(frozen=True, eq=False)
class RoundRecord:
    """What one round came to. Holds no centroid.

    Attributes:
        index: as in the request.
        kind: as in the request; scout and appraisal rounds are of a sample of the blocks.
        sign: as in the request.
        shift: largest plain move of a centroid, in standard deviations; lloyd rounds only.
        n_records: records of all parties together, as the moments round has them (noised, if the
            study is); 0 for the admission round, which counts nothing.
        sizes: sum of the assignment weights per cluster, shape (k,); None for admission and
            moments.
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
            shape (k, d). In a noised study each is the mean of its last three estimates.
        segment_sizes: sums of the assignment weights, shape (k,). They add up to about
            ``n_records`` only: a record near three borders weighs a little more or less than 1.
            Every record also weighs up to ± error/2 of the sign in clusters it is far from; with
            clusters many times farther apart than wide, that shows in spreads and inertia.
        segment_means: weighted means, shape (k, d); the centroid for an empty segment. In a noised
            study the profile round's means and the centroids, each as precise as it is, together.
        segment_spreads: weighted standard deviations, shape (k, d); 0 for an empty segment.
        size_stds: standard deviation of the noise in the sizes, shape (k,); 0 without noise.
        mean_stds: standard deviation of the noise in the means, shape (k, d); likewise.
        inertia: of the profile round's weights, in the standardised metric.
        n_records: records of all parties together; in a noised study by all rounds that count them.
        feature_means: joint means, shape (d,).
        feature_covariance: joint covariance, shape (d, d).
        feature_weights: 1 / variance of each feature, shape (d,).
        starting_centers: where the lloyd rounds began, shape (k, d).
        n_iter: lloyd rounds made.
        converged: whether the centroids came to rest before the rounds ran out; in a noised study,
            whether the last move of each is no more than its noise.
        history: one record per round, admission, moments and profile included.
        choice: how the number of clusters was chosen; None where it was agreed.
        columns: of the profile columns; None where none are agreed.
    """

    cluster_centers: NDArray[np.float64]
    segment_sizes: NDArray[np.float64]
    segment_means: NDArray[np.float64]
    segment_spreads: NDArray[np.float64]
    size_stds: NDArray[np.float64]
    mean_stds: NDArray[np.float64]
    inertia: float
    n_records: int
    feature_means: NDArray[np.float64]
    feature_covariance: NDArray[np.float64]
    feature_weights: NDArray[np.float64]
    starting_centers: NDArray[np.float64]
    n_iter: int
    converged: bool
    history: tuple[RoundRecord, ...]
    choice: Choice | None = None
    columns: ColumnEstimates | None = None
