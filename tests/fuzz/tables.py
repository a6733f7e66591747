"""Targets: customer tables and opt-out lists, as other systems export them."""

from __future__ import annotations

import functools
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from mpcseg.customers.cohort import load_cohort
from mpcseg.customers.selection import load_opt_out
from mpcseg.customers.source import TableSource
from mpcseg.customers.table import read_table
from mpcseg.study.spec import Consent, FeatureSpec
from tests.fuzz.mutation import mutate_bytes, mutate_csv
from tests.fuzz.target import Target, in_file, scratch

FEATURES = (
    FeatureSpec(name="recency", lower=0, upper=400),
    FeatureSpec(name="money", transform="log1p", lower=0, upper=10_000),
)
CONSENT = Consent(column="may", value="yes")

CSV = b"id,recency,money,may\na1,10,200.5,yes\na2,300,0,no\na3,399,9999,yes\na4,1e2,3.5e3, yes\n"


def _csv(data: bytes) -> None:
    _cohort(data, "customers.csv")
    read_table(in_file(data, "customers.csv"), "id", ["recency", "money"])


def _parquet(data: bytes) -> None:
    _cohort(data, "customers.parquet")


def _cohort(data: bytes, name: str) -> None:
    path = in_file(data, name)
    cohort = load_cohort(TableSource(path, "id"), FEATURES, consent=CONSENT, radius=1.0)
    assert cohort.records.shape[1] == len(FEATURES)
    assert np.linalg.norm(cohort.records, axis=1).max() <= 1.0 + 1e-9


@functools.cache
def _parquets() -> list[bytes]:
    columns = {
        "id": pa.array(["a1", "a2", "a3"]),
        "recency": pa.array([10, 300, 399], pa.int64()),
        "money": pa.array([200.5, 0.0, 9999.0]),
        "may": pa.array(["yes", "no", "yes"]).dictionary_encode(),
    }
    made = []
    for compression in ("none", "snappy", "zstd"):
        path = scratch() / f"made-{compression}.parquet"
        pyarrow.parquet.write_table(pa.table(columns), path, compression=compression)
        made.append(path.read_bytes())
    return made


def mutate_footer(random_: random.Random, data: bytes) -> bytes:
    """Change bytes where a Parquet file keeps its schema."""
    at = len(data) - random_.randrange(1, min(len(data), 1500) + 1) if data else 0
    piece = random_.randbytes(random_.choice((1, 1, 2, 8)))
    return data[:at] + piece + data[at + len(piece) :]


def _opt_out(data: bytes) -> None:
    listed = load_opt_out(in_file(data, "opt-out.txt"), "id")
    assert all(entry and entry == entry.strip() for entry in listed)


TABLE_TARGETS = (
    Target("csv-table", _csv, lambda: [CSV, b"\xef\xbb\xbf" + CSV], (mutate_csv, mutate_bytes)),
    Target("parquet-table", _parquet, _parquets, (mutate_footer, mutate_bytes)),
    Target(
        "opt-out-list",
        _opt_out,
        lambda: [b"id\na1\n a2 \n\n", b'"a,1"\r\n"a2"\r\n'],
        (mutate_csv, mutate_bytes),
    ),
)
