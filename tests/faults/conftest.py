"""What all studies of the fault suites work on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpcseg.demo.tables import DealtTables, tables_from_file

DATA = Path(__file__).parents[3] / "shared" / "data" / "cdnow_rfm.csv"


@pytest.fixture(scope="session")
def tables() -> DealtTables:
    """CDNOW's customers, dealt out to two parties."""
    features = ("recency_days", "frequency")
    return tables_from_file(DATA, "customer_id", features, ("frequency",), 2, n_clusters=2)
