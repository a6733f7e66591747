"""Generated customers of three companies, for a demonstration that needs no data.

The segments are planted and overlap, amounts and counts have heavy tails, and one company, a
grocer with many small purchases, is unlike the others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpcseg.study.spec import FeatureSpec

Array = npt.NDArray[np.float64]

# Agreed before anybody looked at data, as in a real study; a few customers lie outside.
FEATURES = (
    FeatureSpec(name="recency_days", lower=0, upper=730),
    FeatureSpec(name="frequency", transform="log1p", lower=0, upper=300),
    FeatureSpec(name="monetary", transform="log1p", lower=0, upper=20_000),
    FeatureSpec(name="units", transform="log1p", lower=0, upper=2_000),
    FeatureSpec(name="tenure_days", lower=0, upper=1_825),
)


@dataclass(frozen=True)
class _Planted:
    """A planted segment: typical values, around which customers scatter."""

    recency: float
    orders: float
    basket: float
    items: float
    tenure: tuple[float, float]


_REGULARS = _Planted(recency=25, orders=22, basket=55, items=2.2, tenure=(700, 1800))
_OCCASIONAL = _Planted(recency=150, orders=5, basket=48, items=1.8, tenure=(500, 1700))
_LAPSED = _Planted(recency=400, orders=2.5, basket=38, items=1.5, tenure=(600, 1800))
_NEWCOMERS = _Planted(recency=30, orders=1.8, basket=42, items=1.6, tenure=(10, 240))
_SEGMENTS = (_REGULARS, _OCCASIONAL, _LAPSED, _NEWCOMERS)


@dataclass(frozen=True)
class _Company:
    """How many customers a company has, which share is of each segment, and how it differs."""

    n_customers: int
    shares: tuple[float, float, float, float]
    order_factor: float = 1.0
    basket_factor: float = 1.0
    item_factor: float = 1.0


_COMPANIES = {
    "bookshop": _Company(3900, (0.20, 0.35, 0.30, 0.15), basket_factor=0.7),
    "outdoor": _Company(2000, (0.12, 0.40, 0.23, 0.25), basket_factor=1.6),
    "grocer": _Company(
        1900, (0.55, 0.20, 0.10, 0.15), order_factor=2.5, basket_factor=0.6, item_factor=3.0
    ),
}


@dataclass(frozen=True)
class Customers:
    """One party's table.

    Attributes:
        identifiers: n texts.
        values: shape (n, d), original units.
    """

    identifiers: tuple[str, ...]
    values: Array


def generated_companies(seed: int) -> dict[str, Customers]:
    """The three companies' tables by company name.

    Args:
        seed: the same seed gives the same customers.
    """
    rng = np.random.default_rng(seed)
    tables: dict[str, Customers] = {}
    for name, company in _COMPANIES.items():
        values = np.concatenate(
            [
                _customers(rng, segment, company, round(share * company.n_customers))
                for segment, share in zip(_SEGMENTS, company.shares, strict=True)
            ]
        )
        rng.shuffle(values)
        identifiers = tuple(f"{name}-{number:05d}" for number in range(1, len(values) + 1))
        tables[name] = Customers(identifiers, values)
    return tables


def _customers(rng: np.random.Generator, segment: _Planted, company: _Company, n: int) -> Array:
    """Customers of one segment at one company, shape (n, 5), in the order of `FEATURES`."""
    tenure = rng.uniform(*segment.tenure, n)
    recency = np.minimum(segment.recency * rng.gamma(6.0, 1 / 6, n), tenure)
    orders = 1 + np.floor(segment.orders * company.order_factor * rng.lognormal(0, 0.6, n))
    # One in fifty buys for a whole club: the tail that the log1p transform is for.
    bulk = np.where(rng.random(n) < 0.02, 1 + rng.pareto(1.5, n) * 4, 1.0)
    basket = segment.basket * company.basket_factor * rng.lognormal(0, 0.5, n) * bulk
    items = segment.items * company.item_factor * rng.lognormal(0, 0.4, n) * bulk
    units = np.maximum(np.rint(orders * items), 1)
    return np.column_stack(
        [np.rint(recency), orders, np.round(orders * basket, 2), units, np.rint(tenure)]
    )
