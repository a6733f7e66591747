"""Records that cannot be mistaken for anything else, and all that is looked for of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mpcseg.demo.customers import Customers
from mpcseg.demo.tables import DealtTables
from mpcseg.study.spec import FeatureSpec
from mpcseg.verification.exposure.patterns import (
    Pattern,
    is_canary,
    patterns_of,
    patterns_of_names,
    rounded_patterns_of,
)

Array = NDArray[np.float64]

PARTIES = ("alder", "birch")
FEATURES = (
    FeatureSpec(name="visits", lower=0, upper=400),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=9000),
)
RESULT = "a decrypted value"
"""Kind of what the key node alone may know."""

_LIKENESS = 1e-4


def canary_tables(n_records: int, seed: int) -> DealtTables:
    """Customers of two parties, in two groups, every number with all digits that a double has.

    Args:
        n_records: of each party.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    parties = {}
    for name in PARTIES:
        kind = rng.integers(0, 2, (n_records, 1))
        spread = rng.uniform(0.7, 1.3, (n_records, len(FEATURES)))
        values = np.where(kind, [280.0, 5000.0], [90.0, 400.0]) * spread
        identifiers = tuple(f"{name}-{rng.bytes(6).hex()}" for _ in range(n_records))
        parties[name] = Customers(identifiers, values)
    return DealtTables("customer_id", FEATURES, parties)


def record_patterns(parties: Mapping[str, Customers]) -> list[Pattern]:
    """Every form of every party's records: original, as encoded, and the identifiers."""
    patterns = []
    for name, party in parties.items():
        scaled = [f.scale(party.values[:, j]) for j, f in enumerate(FEATURES)]
        patterns += patterns_of(f"{name}'s record", party.values)
        patterns += patterns_of(f"{name}'s scaled record", np.column_stack(scaled), is_scaled=True)
        patterns += patterns_of_names(f"{name}'s customer identifier", party.identifiers)
    return patterns


def rounded_record_patterns(parties: Mapping[str, Customers]) -> list[Pattern]:
    """Records as people print them; for logs."""
    return [
        pattern
        for name, party in parties.items()
        for pattern in rounded_patterns_of(f"{name}'s record", party.values)
    ]


def result_patterns(centers: Array) -> list[Pattern]:
    """Every form of centroids, in scaled space and in original units.

    Args:
        centers: scaled, with all their digits; shape (any, d).
    """
    columns = [f.unscale(centers[:, j]) for j, f in enumerate(FEATURES)]
    both = np.vstack([centers, np.column_stack(columns)])
    return patterns_of(RESULT, both[[all(map(is_canary, row)) for row in both.tolist()]])


def exact_centers(memory: memoryview, known: Array) -> Array:
    """Find centroids, of which a few digits are known, in a memory: with all their digits.

    Args:
        memory: of the key node, whose array of centroids it is.
        known: rounded to five digits, in scaled space; shape (any, d).

    Returns:
        Shape (found, d); none twice.
    """
    doubles = np.frombuffer(memory, "<f8", len(memory) // 8)
    d = known.shape[1]
    found = set()
    with np.errstate(invalid="ignore", over="ignore"):
        for row in known:
            tolerance = _LIKENESS * np.abs(row)
            places = np.flatnonzero(np.abs(doubles - row[0]) <= tolerance[0])
            for place in places[places <= len(doubles) - d].tolist():
                there = doubles[place : place + d]
                if (np.abs(there - row) <= tolerance).all():
                    found.add(tuple(there.tolist()))
    return np.array(sorted(found), dtype=np.float64).reshape(len(found), d)
