"""What a demonstration found and measured, as one document."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpcseg.demo.comparison import Comparison
from mpcseg.demo.tables import DealtTables
from mpcseg.demo.workspace import Workspace
from mpcseg.nodes.planning import plan_of
from mpcseg.report.files import SIGNIFICANT_DIGITS, rounded

# Ratios to scikit-learn differ from 1 by parts in ten thousand, and hold no decrypted value.
_RATIO_DIGITS = SIGNIFICANT_DIGITS + 2


@dataclass(frozen=True)
class Summaries:
    """What the nodes wrote at their end.

    Attributes:
        parties: by party name.
        compute: the compute node's.
        key: the key node's.
        result: everything that the key node knew in the end, unrounded by the release rules.
        labels: number of customers that each party labelled, by segment.
    """

    parties: Mapping[str, Mapping[str, Any]]
    compute: Mapping[str, Any]
    key: Mapping[str, Any]
    result: Mapping[str, Any]
    labels: Mapping[str, Mapping[int, int]]


def read_summaries(workspace: Workspace) -> Summaries:
    """Read what the nodes wrote."""
    return Summaries(
        parties={party.name: json.loads(party.summary.read_text()) for party in workspace.parties},
        compute=json.loads(workspace.compute.summary.read_text()),
        key=json.loads(workspace.key.summary.read_text()),
        result=json.loads(workspace.key.trial.read_text()),
        labels={party.name: _counts(party.labels) for party in workspace.parties},
    )


def _counts(path: Path) -> dict[int, int]:
    """How many customers of a label file are in each segment."""
    with path.open(encoding="utf-8", newline="") as file:
        counts = Counter(int(row["segment"]) for row in csv.DictReader(file))
    return dict(sorted(counts.items()))


def outcome_document(
    workspace: Workspace,
    tables: DealtTables,
    summaries: Summaries,
    comparison: Comparison,
    total_seconds: float,
) -> dict[str, Any]:
    """The document behind ``--json``: what was found, how good it is and what it cost.

    Centres are in original units, a row per segment, in the order of ``segment_sizes``. Seconds of
    parties are those of the slowest, megabytes those of the largest. ``per_round`` has the Lloyd
    rounds only, from the key node's order to the decrypted sums.

    Args:
        workspace: the study.
        tables: who held which records.
        summaries: what the nodes measured.
        comparison: with scikit-learn.
        total_seconds: from starting the nodes to the end of the last one.
    """
    plan = plan_of(workspace.spec)
    result, key, compute = summaries.result, summaries.key, summaries.compute
    parties = list(summaries.parties.values())
    kinds = [record["kind"] for record in result["rounds"]]
    spans = dict[str, list[float]](admission=[], moments=[], lloyd=[], profile=[])
    for kind, seconds in zip(kinds, key["seconds_per_round"], strict=True):
        spans[kind].append(round(seconds, 3))
    return {
        "study": workspace.spec.name,
        "feature_names": list(workspace.spec.feature_names),
        "n_records": tables.n_records,
        "n_records_per_party": {
            name: len(customers.identifiers) for name, customers in tables.parties.items()
        },
        "n_features": workspace.spec.n_features,
        "n_clusters": workspace.spec.n_clusters,
        "n_rounds": result["n_rounds"],
        "epsilon": workspace.spec.privacy.epsilon,
        "delta": workspace.spec.privacy.delta,
        "labelled_customers": {
            name: sum(counts.values()) for name, counts in summaries.labels.items()
        },
        "converged": result["converged"],
        "parameter_set": plan.parameters.name,
        "key_switches_per_pair": plan.key_switches_per_pair,
        "decrypted_values": key["decrypted_values"],
        "cluster_centers": result["cluster_centers"],
        "segment_sizes": result["segment_sizes"],
        "inertia": rounded(comparison.inertia, _RATIO_DIGITS),
        "inertia_ratio": rounded(comparison.inertia_ratio, _RATIO_DIGITS),
        "inertia_ratio_best10": rounded(comparison.inertia_ratio_best10, _RATIO_DIGITS),
        "ari": rounded(comparison.ari, _RATIO_DIGITS),
        "ari_best10": rounded(comparison.ari_best10, _RATIO_DIGITS),
        "seconds": {
            "keys": _seconds([key], "keys"),
            "encrypt": _seconds(parties, "encrypt"),
            "upload": _seconds(parties, "upload"),
            "per_round": spans["lloyd"],
            "admission": spans["admission"][0],
            "moments": spans["moments"][0],
            "profile": spans["profile"][0],
            "total": round(total_seconds, 3),
        },
        "bytes": {
            link: sum(compute["bytes_by_link"].get(link, {}).values())
            for link in ("party_to_compute", "key_to_compute", "compute_to_key")
        },
        "peak_rss_mb": {
            "party": round(max(party["peak_rss_mb"] for party in parties), 1),
            "compute": round(compute["peak_rss_mb"], 1),
            "key": round(key["peak_rss_mb"], 1),
        },
    }


def _seconds(summaries: list[Mapping[str, Any]], phase: str) -> float:
    slowest: float = max(summary["seconds"][phase] for summary in summaries)
    return round(slowest, 3)
