"""Several parties at once, in small: `python -m benchmarks load` does it with fifty."""

from __future__ import annotations

from benchmarks.load import measure
from mpcseg.nodes.upload_gate import CHECKED_AT_ONCE, RECEIVED_AT_ONCE


def test_parties_that_upload_at_once_take_little_memory_and_are_not_sent_back() -> None:
    found = measure(8, 2)
    # A chunk for each upload in progress, some blobs in checks, and what gRPC buffers.
    most = 2.5 * RECEIVED_AT_ONCE + 4 * CHECKED_AT_ONCE + 60
    assert found["peak_rss_mb"] - found["idle_rss_mb"] < most
    assert found["retries"] == 0
    assert found["mb"] > 8
