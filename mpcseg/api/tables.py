"""What scikit-learn users bring: one table or a list of them, and how each column is to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from mpcseg.errors import ConstantFeatureError
from mpcseg.study.documents import check
from mpcseg.study.spec import FeatureSpec

Array = npt.NDArray[np.float64]

Bounds = tuple[float, float] | Sequence[tuple[float, float]] | Mapping[str, tuple[float, float]]
Transforms = str | Sequence[str] | Mapping[str, str]


def tables_by_party(X: Any) -> dict[str, Any] | None:
    """The parties' tables, where there are several; None where X is one table.

    A list is one of tables where each of its entries has two dimensions, so that nested lists of
    numbers stay what they are in scikit-learn: one table.

    Args:
        X: one table, a list of tables, or tables by the parties' names.
    """
    if isinstance(X, Mapping) and not scipy.sparse.issparse(X):  # one kind of these is a dictionary
        return dict(X)
    if isinstance(X, list | tuple) and X and all(np.ndim(entry) == 2 for entry in X):
        return {f"party-{number}": table for number, table in enumerate(X, start=1)}
    return None


def agreed_features(
    names: Sequence[str],
    tables: Sequence[Array],
    bounds: Bounds | None,
    transforms: Transforms | None,
) -> tuple[FeatureSpec, ...]:
    """Name, transform and bounds of each column.

    Args:
        names: of the d columns.
        tables: each party's values, shape (n, d); looked at where no bounds are given.
        bounds: lower and upper of all columns, of each in order, or by name (those that are not
            named get their range); None for each column's range over all parties.
        transforms: likewise; None or a name that is missing for ``identity``.

    Raises:
        ValueError: as many bounds or transforms as there are columns must be given, with names
            that there are.
        ConfigError: impossible bounds or an unknown transform.
        ConstantFeatureError: no bounds, and a column with one value only.
    """
    # A pair of numbers is one pair for all columns, also where there are two columns.
    every = isinstance(bounds, list | tuple) and all(np.ndim(bound) == 0 for bound in bounds)
    limits = _by_column(names, bounds, "bounds", is_for_all=every)
    ways = _by_column(names, transforms, "transforms", is_for_all=isinstance(transforms, str))
    found = []
    for index, (name, limit, way) in enumerate(zip(names, limits, ways, strict=True)):
        if limit is None:
            limit = _range(name, [table[:, index] for table in tables])  # noqa: PLW2901
        try:
            lower, upper = limit
        except (TypeError, ValueError):
            raise ValueError(f"the bounds of column '{name}' must be a pair of numbers") from None
        content = {"name": name, "lower": lower, "upper": upper, "transform": way or "identity"}
        hint = "Give other bounds or another transform: identity or log1p."
        found.append(check(FeatureSpec, content, f"column '{name}'", hint=hint))
    return tuple(found)


def _by_column(names: Sequence[str], given: Any, what: str, *, is_for_all: bool) -> list[Any]:
    """One entry for each column, None where nothing is given."""
    if given is None or is_for_all:
        return [given] * len(names)
    if isinstance(given, Mapping):
        unknown = next((name for name in given if name not in names), None)
        if unknown is not None:
            raise ValueError(f"{what} names '{unknown}', which is not a column of the tables")
        return [given.get(name) for name in names]
    entries = list(given)
    if len(entries) != len(names):
        raise ValueError(f"{what} has {len(entries)} entries for {len(names)} columns")
    return entries


def _range(name: str, columns: Sequence[Array]) -> tuple[float, float]:
    lower = min(float(column.min()) for column in columns)
    upper = max(float(column.max()) for column in columns)
    if lower == upper:
        raise ConstantFeatureError(
            f"column '{name}' has the same value in every record",
            "Leave it out, or give bounds.",
        )
    return lower, upper
