"""What a node measured and held, when its study is over. Value-free but for the key node's result.

Seconds are wall time by phase; bytes are payload (blobs, without framing) by kind; MB are 10⁶
bytes. ``dataclasses.asdict`` makes them ready for JSON.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from dataclasses import dataclass, field

from mpcseg.nodes.progress import Progress, SilentProgress
from mpcseg.nodes.study_course import Phase
from mpcseg.study.schedule import StudyResult


@dataclass(frozen=True)
class PartySummary:
    """Of a party node.

    Attributes:
        seconds: keys (waited for them), encrypt, upload, wait (until the study ended), total.
        bytes_sent: to the compute node, by kind.
        bytes_received: from the compute node, by kind.
        peak_rss_mb: largest resident memory.
        n_records: records encrypted.
        n_blocks: blocks uploaded.
        n_clipped: values clipped to the agreed bounds, by feature.
        n_shortened: records clipped to the agreed radius.
        n_read: rows of the table.
        n_duplicates: rows left out as they repeat another one.
        n_without_consent: rows left out for want of the agreed consent.
        n_opted_out: rows left out as they are on the opt-out list.
    """

    seconds: dict[str, float]
    bytes_sent: dict[str, int]
    bytes_received: dict[str, int]
    peak_rss_mb: float
    n_records: int
    n_blocks: int
    n_clipped: dict[str, int]
    n_shortened: int
    n_read: int
    n_duplicates: int
    n_without_consent: int
    n_opted_out: int


@dataclass(frozen=True)
class KeySummary:
    """Of the key node.

    Attributes:
        seconds: keys (making), upload (of keys), collect (waited for the parties), total.
        seconds_per_round: from asking for a round to its decrypted sums; moments and profile too.
        bytes_sent: to the compute node, by kind.
        bytes_received: from the compute node, by kind.
        peak_rss_mb: largest resident memory.
        decrypted_values: numbers that were decrypted, in all.
        result: what the study found, in scaled space; None where an earlier process of the node
            has sealed the results, and nothing else is left of it.
        sealed: results by recipient, as they were uploaded.
    """

    seconds: dict[str, float]
    seconds_per_round: tuple[float, ...]
    bytes_sent: dict[str, int]
    bytes_received: dict[str, int]
    peak_rss_mb: float
    decrypted_values: int
    result: StudyResult | None
    sealed: dict[str, bytes]


@dataclass(frozen=True)
class ComputeSummary:
    """Of the compute node.

    Attributes:
        seconds: keys, collect (from keys to the last party's blocks), rounds, results (served),
            total.
        seconds_per_round: evaluation, from the order to the release.
        bytes_by_link: "party_to_compute", "key_to_compute", "compute_to_party",
            "compute_to_key" and "compute_to_recipient", each by kind.
        peak_rss_mb: largest resident memory of the node and its workers together.
        n_blocks: blocks by party.
        n_refused: calls that were refused.
        worker_restarts: worker processes that died and were replaced.
        ending: why the study was closed: "closed" or "retention".
    """

    seconds: dict[str, float]
    seconds_per_round: tuple[float, ...]
    bytes_by_link: dict[str, dict[str, int]]
    peak_rss_mb: float
    n_blocks: dict[str, int]
    n_refused: int
    worker_restarts: int
    ending: str


@dataclass
class Traffic:
    """Payload bytes by link and kind, as they are counted; ``progress`` is told of each blob."""

    progress: Progress = field(default_factory=SilentProgress)
    _links: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, link: str, kind: str, n_bytes: int) -> None:
        """Count a blob."""
        self._links.setdefault(link, Counter())[kind] += n_bytes
        self.progress.event("blob", link=link, blob_kind=kind, n_bytes=n_bytes)

    def by_link(self) -> dict[str, dict[str, int]]:
        """Return the counts."""
        return {link: dict(kinds) for link, kinds in self._links.items()}


class PhaseClock:
    """When each phase of the study began, for this process of the compute node."""

    def __init__(self) -> None:
        self._began = {Phase.KEYS: time.monotonic()}

    def note(self, phase: Phase) -> None:
        """Remember the moment of a new phase."""
        self._began.setdefault(phase, time.monotonic())

    def seconds(self) -> dict[str, float]:
        """Return the length of each phase, and of all."""
        names = {
            Phase.KEYS: "keys",
            Phase.BLOCKS: "collect",
            Phase.ROUNDS: "rounds",
            Phase.RESULTS: "results",
        }
        began = [*self._began.items()]
        spans = {
            names[phase]: later - start for (phase, start), (_, later) in itertools.pairwise(began)
        }
        return {**spans, "total": began[-1][1] - began[0][1]}
