"""K-means over several parties' encrypted tables, with scikit-learn's conventions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self, TypeVar

import joblib
import numpy as np
import numpy.typing as npt
from rich.console import Console
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from mpcseg.api.local import run_local_study
from mpcseg.api.tables import Bounds, Transforms, agreed_features, tables_by_party
from mpcseg.customers.cohort import Cohort, scale_records
from mpcseg.demo.workspace import StudyShape
from mpcseg.reference.metrics import squared_distances
from mpcseg.report.progress import RichProgress
from mpcseg.study.nearest import ReleasedCentroids

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

Outcome = TypeVar("Outcome")

_LARGEST_SEED = 2**31 - 1


class EncryptedKMeans(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]  # scikit-learn has no types
    TransformerMixin,  # type: ignore[misc]
    ClusterMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """K-means on encrypted records of several parties: a local trial of a joint study.

    `fit` runs a whole study in this process: each table is a party's, encrypted by a node of its
    own; a compute node works on ciphertexts, and a key node decrypts noised sums over all parties.
    Keys, circuits, noise, TLS and rules of release are those of a study between organisations, and
    so are the results: rounded, and without segments that are too small to be shown. It is meant
    for tables that you may see anyway: one process holds all of them, and the secret key.

    All that is called inertia or distance is in the standardised metric, in which every feature
    has the variance 1 (after its transform) over all parties' records.

    Args:
        n_clusters: how many segments to look for, at least 2.
        n_rounds: Lloyd rounds at most; each spends a part of the privacy budget.
        epsilon: privacy budget for everything that is decrypted; ``"none"`` for exact sums.
        delta: the probability with which the guarantee may fail.
        bounds: ``(lower, upper)`` of all columns, a list with a pair for each, or a dictionary by
            column; values outside are clipped. None takes each column's range over all tables,
            which only a trial knows: in a real study bounds are agreed before anybody has looked.
        transforms: ``"identity"`` or ``"log1p"`` of all columns, a list, or a dictionary by column;
            None for ``"identity"``.
        smallest_segment: segments with fewer customers are not shown.
        significant_digits: to which every number is rounded.
        random_state: of the starting centroids: a number, a NumPy RandomState, or None. Noise comes
            from the system's secure source, and is another one each time.
        n_jobs: worker processes of the compute node; -1 for one per processor core.
        verbose: whether to show on standard error what the nodes do.

    Attributes:
        cluster_centers_: centroids of the segments that are shown, in original units, shape
            (k, d). The largest segment comes first.
        segment_sizes_: about how many customers each has, shape (k,).
        labels_: the row of the nearest centroid for each record: an array for each table, or one
            array where `fit` was given one table. Made of the released centroids, as each party
            would at home.
        inertia_: of all records; NaN where segments are hidden.
        n_iter_: Lloyd rounds made.
        n_hidden_: segments that are too small to be shown.
        n_features_in_: how many columns (d).
        feature_names_in_: the columns' names, where the tables have names.
        party_names_: the parties, in the order of the tables.
        features_: name, transform and bounds of each column, as agreed.
        results_: what each party received (`mpcseg.study.results.Results`), by its name; they
            differ in the recipient alone.
        report_: the segment report in it, with the noise in each number.
        study_: what the nodes measured (`mpcseg.api.LocalStudy`): seconds, bytes, memory.
    """

    def __init__(  # noqa: PLR0913  scikit-learn's convention: all parameters here, by name
        self,
        n_clusters: int = 4,
        *,
        n_rounds: int = 6,
        epsilon: float | Literal["none"] = 1.0,
        delta: float = 1e-6,
        bounds: Bounds | None = None,
        transforms: Transforms | None = None,
        smallest_segment: int = 20,
        significant_digits: int = 3,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = -1,
        verbose: int | bool = 0,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_rounds = n_rounds
        self.epsilon = epsilon
        self.delta = delta
        self.bounds = bounds
        self.transforms = transforms
        self.smallest_segment = smallest_segment
        self.significant_digits = significant_digits
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002  scikit-learn's signature
        """Run a study over the tables.

        In a script this must be under ``if __name__ == "__main__":``, since the compute node's
        worker processes look at the script too.

        Args:
            X: a list of tables, one for each party; tables by the parties' names; or one table, for
                a study of one party. Each is a DataFrame or an array, shape (n, d), numbers only.
            y: not looked at.

        Returns:
            This estimator.

        Raises:
            ValueError: a table that scikit-learn would not take either, or that does not have the
                columns of the first; fewer records than clusters.
            MpcsegError: parameters that no study can have; a node failed.
        """
        parties = tables_by_party(X)
        tables = parties if parties is not None else {"party-1": X}
        if not tables:
            raise ValueError("there is no table; give one for each party")
        values = [
            validate_data(self, table, dtype=np.float64, reset=index == 0)
            for index, table in enumerate(tables.values())
        ]
        n_samples = sum(len(table) for table in values)
        if n_samples < self.n_clusters:
            raise ValueError(f"n_samples={n_samples} should be >= n_clusters={self.n_clusters}.")
        names = getattr(self, "feature_names_in_", None)
        names = [f"x{index}" for index in range(self.n_features_in_)] if names is None else names
        self.party_names_ = tuple(tables)
        self.features_ = agreed_features(list(names), values, self.bounds, self.transforms)
        for text in self._study(dict(zip(tables, values, strict=True))):
            warnings.warn(text, UserWarning, stacklevel=2)
        labels = [self._labels(table) for table in values]
        self.labels_ = labels if parties is not None else labels[0]
        return self

    def predict(self, X: Any) -> Labels | list[Labels]:
        """The row of the nearest released centroid for each record, on this machine alone.

        Args:
            X: as for `fit`.

        Returns:
            One array, shape (n,), or a list with one for each table.
        """
        return self._each(X, self._labels)

    def transform(self, X: Any) -> Array | list[Array]:
        """The distance of each record to each released centroid, in standard deviations.

        Args:
            X: as for `fit`.

        Returns:
            One array, shape (n, k), or a list with one for each table.
        """
        return self._each(X, lambda values: np.sqrt(self._squares(values)))

    def score(self, X: Any, y: object = None) -> float:  # noqa: ARG002  scikit-learn's signature
        """Minus the inertia of records with their nearest released centroids; more is better.

        Args:
            X: as for `fit`.
            y: not looked at.
        """
        found = self._each(X, lambda values: -self._squares(values).min(axis=1).sum())
        return float(np.sum(found))

    @property
    def _n_features_out(self) -> int:
        """How many columns `transform` makes, for scikit-learn's `get_feature_names_out`."""
        return len(self.cluster_centers_)

    def _study(self, values: Mapping[str, Array]) -> list[str]:
        """Run it, and keep what its parties may know; returns what the caller should be told."""
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(_LARGEST_SEED)
        shape = StudyShape(
            self.n_clusters,
            self.n_rounds,
            int(seed),
            self.epsilon,
            self.delta,
            self.smallest_segment,
            self.significant_digits,
        )
        said: list[str] = []
        cohorts = {name: self._cohort(name, table, said) for name, table in values.items()}
        workers = joblib.effective_n_jobs(self.n_jobs)
        if self.verbose:
            with RichProgress(Console(stderr=True)) as progress:
                study = run_local_study(
                    self.features_, cohorts, shape, workers=workers, progress=progress
                )
        else:
            study = run_local_study(self.features_, cohorts, shape, workers=workers)
        self.study_, self.results_ = study, dict(study.results)
        received = self.results_[self.party_names_[0]]
        if received.report is None or received.centroids is None:  # the terms of every local study
            raise AssertionError("a party was sent less than was agreed")
        self.report_, quality = received.report, received.report.quality
        self._released = ReleasedCentroids.of_document(
            received.centroids.document, received.features
        )
        columns = zip(self.features_, self._released.centers.T, strict=True)
        self.cluster_centers_ = np.column_stack([one.unscale(column) for one, column in columns])
        self.segment_sizes_ = np.array([segment.size for segment in self.report_.segments])
        self.inertia_ = np.nan if quality.inertia is None else quality.inertia
        self.n_iter_ = study.n_rounds
        self.n_hidden_ = self.report_.n_hidden
        if self.n_hidden_:
            said.append(
                f"{self.n_hidden_} of {self.n_clusters} segments are hidden: "
                f"{self.report_.hidden_reason}"
            )
        return said

    def _cohort(self, name: str, values: Array, said: list[str]) -> Cohort:
        scaled = scale_records(values, self.features_)
        for feature, count in zip(self.features_, scaled.n_clipped, strict=True):
            if count:
                said.append(
                    f"{name}: {count:,} of {len(values):,} values in column '{feature.name}' lie "
                    f"outside the bounds {feature.lower:g} to {feature.upper:g} and are clipped"
                )
        return Cohort(
            records=scaled.records,
            n_clipped=scaled.n_clipped,
            warnings=(),
            n_read=len(values),
        )

    def _each(self, X: Any, work: Callable[[Array], Outcome]) -> Outcome | list[Outcome]:
        """Do something to one table, or to each of several."""
        check_is_fitted(self)
        parties = tables_by_party(X)
        if parties is None:
            return work(validate_data(self, X, dtype=np.float64, reset=False))
        return [
            work(validate_data(self, table, dtype=np.float64, reset=False))
            for table in parties.values()
        ]

    def _labels(self, values: Array) -> Labels:
        segments, _ = self._released.nearest(self._scaled(values))
        return segments - 1

    def _squares(self, values: Array) -> Array:
        released = self._released
        return squared_distances(self._scaled(values), released.centers, released.weights)

    def _scaled(self, values: Array) -> Array:
        return scale_records(values, self.features_).records
