"""Reconstruction of records from the trajectory of the sums, as a key node could try it.

Yang, Luo and Li (*Breaking Privacy in Federated Clustering*, arXiv 2511.07073, 2025) solve for the
records linearly, from the sums of all rounds and from who was assigned where. Here nobody tells the
attacker who was assigned where. But it knows the assignment weight as a *function* of a record, so
it can go further than the paper: it looks for the records themselves whose sums explain all rounds
at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.spatial import KDTree
from scipy.spatial.distance import cdist

from tests.adversarial.views import SUM_ERROR, View

Array = NDArray[np.float64]

_GRID = 61
"""Points along each side of the domain at which a record is looked for first."""


@cache
def _grid(n_features: int) -> Array:
    axes = [np.linspace(-1, 1, _GRID)] * n_features
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, n_features)


@cache
def _neighbours(n_features: int, within: float) -> Any:
    """Which grid points lie within a distance of which, a sparse matrix."""
    tree = KDTree(_grid(n_features))
    return tree.sparse_distance_matrix(tree, within, output_type="coo_matrix").tocsr() > 0


@dataclass(frozen=True, eq=False)
class Fit:
    """Records that were proposed, and how badly they explain the view.

    Attributes:
        records: shape (n, d).
        misfit: mean square of the numbers' unexplained parts, in their standard deviations. About
            1 for the true records, so that the attacker knows by itself whether it succeeded.
    """

    records: Array
    misfit: float


class Trajectory:
    """A view as equations for the records.

    Args:
        view: what the key node saw.
        known: records that the attacker knows already, shape (m, d).
    """

    def __init__(self, view: View, known: Array | None = None) -> None:
        self._view = view
        # Errors of the evaluation are independent from record to record.
        n_known = 0 if known is None else len(known)
        self._deviations = view.deviations(SUM_ERROR * np.sqrt(1 + n_known / 10))
        numbers = view.numbers()
        if known is not None:
            numbers = numbers - view.contributions(known).sum(axis=0)
        self._numbers = numbers / self._deviations
        self._grid = _grid(view.n_features)
        self._on_grid = self._of(self._grid)
        self._grid_squares = (self._on_grid**2).sum(axis=1)

    def fit(self, n: int, rng: np.random.Generator, n_fits: int = 150) -> Fit:
        """Look for n records that explain all numbers.

        1. A start: the non-negative measure on a grid that explains the numbers best (a convex
           problem, whose solutions sit on few points), and n draws from it.
        2. The nearest optimum, by Levenberg and Marquardt's method.
        3. Kicks: one or two records are put elsewhere, best where the rest is explained best, and
           step 2 again; a kick that is no gain is taken back. After many of those in a row, a new
           start.

        Args:
            n: number of unknown records.
            rng: of starts and kicks.
            n_fits: optima to try before giving up.
        """
        measure, _ = nnls(self._on_grid.T, self._numbers, maxiter=20 * len(self._grid))
        share = measure / measure.sum()
        best = self._descend(self._jitter(rng.choice(self._grid, n, p=share), rng), 25)
        current, failures = best, 0
        for _ in range(n_fits):
            if best.misfit < 1.5:
                break
            if failures == 25:
                start = self._jitter(rng.choice(self._grid, n, p=share), rng)
                current, failures = self._descend(start, 25), 0
            kicked = self._descend(self._kick(current.records, rng), 12)
            if kicked.misfit < 0.98 * current.misfit:
                current, failures = kicked, 0
            else:
                failures += 1
            best = min(best, current, key=lambda fit: fit.misfit)
        return self._descend(best.records, 100)

    def one_record(self, within: float) -> Array:
        """Say where one unknown record is, so as to be within a distance of it most probably.

        The posterior over the grid, for a record that may be anywhere in the domain, and from it
        the ball that holds most of it: no other answer is within the distance more often. Where
        the posterior is narrower than the grid, the nearest optimum takes its place.
        """
        misfits = self._grid_squares - 2 * self._on_grid @ self._numbers
        posterior = np.exp(-(misfits - misfits.min()) / 2)
        posterior /= posterior.sum()
        if posterior.max() > 0.5:
            likeliest = self._grid[[posterior.argmax()]]
            return np.asarray(self._descend(likeliest, 100).records[0])
        held = _neighbours(self._view.n_features, within) @ posterior + posterior
        return np.asarray(self._grid[held.argmax()])

    def _of(self, records: Array) -> Array:
        parts = self._view.contributions(records) / self._deviations
        return np.asarray(parts, dtype=np.float64)

    def _jitter(self, records: Array, rng: np.random.Generator) -> Array:
        moved = np.clip(records + rng.normal(0, 0.03, records.shape), -1, 1)
        return np.asarray(moved, dtype=np.float64)

    def _kick(self, records: Array, rng: np.random.Generator) -> Array:
        """Put one or two records elsewhere; the last of them where it explains the rest best."""
        n_kicked = min(len(records), 1 + rng.binomial(1, 0.4))
        chosen = rng.choice(len(records), n_kicked, replace=False)
        parts = self._of(records)
        rest = self._numbers - parts.sum(axis=0) + parts[chosen].sum(axis=0)
        moved = records.copy()
        for i in chosen:
            misfits = self._grid_squares - 2 * self._on_grid @ rest
            n_best = 5 if i == chosen[-1] else 200
            place = rng.choice(np.argpartition(misfits, n_best)[:n_best])
            moved[i] = self._grid[place]
            rest = rest - self._on_grid[place]
        return moved

    def _descend(self, records: Array, n_steps: int) -> Fit:
        """Levenberg and Marquardt's method, inside the domain."""
        n, d = records.shape
        parts = self._of(records)
        rest = self._numbers - parts.sum(axis=0)
        misfit, damping = float(rest @ rest), 1e-2
        for _ in range(n_steps):
            slopes = self._slopes(records, parts)
            curvature, gradient = slopes @ slopes.T, slopes @ rest
            scale = np.diag(np.diag(curvature) + 1e-9)
            for _ in range(8):
                step = np.linalg.solve(curvature + damping * scale, gradient).reshape(n, d)
                tried = np.clip(records + np.clip(step, -0.2, 0.2), -1, 1)
                new_parts = self._of(tried)
                new_rest = self._numbers - new_parts.sum(axis=0)
                reached = float(new_rest @ new_rest)
                if reached < misfit:
                    break
                damping *= 4
            else:
                break
            gain, misfit = misfit - reached, reached
            records, parts, rest = tried, new_parts, new_rest
            damping = max(damping / 5, 1e-9)
            if gain < 1e-9 * misfit:
                break
        return Fit(records, misfit / len(rest))

    def _slopes(self, records: Array, parts: Array, step: float = 1e-5) -> Array:
        """Derivatives of the numbers by every coordinate of every record, shape (n·d, M)."""
        n, d = records.shape
        moved = records[:, None, :] + step * np.eye(d)
        slopes = (self._of(moved.reshape(n * d, d)).reshape(n, d, -1) - parts[:, None, :]) / step
        return slopes.reshape(n * d, -1)


def solve_with_known_weights(weights: Array, sums: Array, error: float) -> tuple[Array, Array]:
    """The algebra of arXiv 2511.07073: the records, given their assignment weights.

    There the weights are 0 or 1, and a record can be read when elimination leaves a unit row for
    it. Here they are real numbers with an error in the sums, so singular values take the place of
    elimination: a record can be read when the well-conditioned directions hold all of it.

    Args:
        weights: of every record in every released row of sums, shape (n_rows, n).
        sums: Σ w·x of these rows, shape (n_rows, d).
        error: standard deviation of the sums.

    Returns:
        Records, shape (n, d), and whether each can be read, shape (n,).
    """
    left, values, right = np.linalg.svd(weights, full_matrices=False)
    keep = values > 1e-2
    inverse = right[keep].T / values[keep]
    held = (right[keep] ** 2).sum(axis=0)
    deviation = error * np.linalg.norm(inverse, axis=1)
    return inverse @ (left[:, keep].T @ sums), (held > 0.999) & (deviation < 3e-3)


def share_found(proposed: Array, records: Array, within: float = 0.01) -> float:
    """Share of the true records that have a proposed one within this distance (scaled space)."""
    if not len(proposed):
        return 0.0
    return float((cdist(records, proposed).min(axis=1) <= within).mean())
