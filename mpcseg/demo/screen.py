"""What a demonstration shows: who is who, what happens, and what each node held and saw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mpcseg.demo.comparison import Comparison
from mpcseg.demo.outcome import Summaries
from mpcseg.demo.tables import DealtTables
from mpcseg.demo.workspace import NodeFolder, Workspace
from mpcseg.nodes.planning import plan_of
from mpcseg.report.progress import RichProgress, event_line
from mpcseg.report.table import plain
from mpcseg.study.spec import StudySpec

# What all nodes need to start, make keys, encrypt and end, about.
_START_SECONDS = 15

_LEGEND = (
    "admission: whether each party's ciphertexts hold what was agreed; moments: means and spreads "
    "of all customers; lloyd: the centroids move; profile: the segments by the final centroids. "
    "sign: degrees of the polynomials that stand in for the sign function. "
    "largest move: of a centroid, in standard deviations (sd)."
)

_ROW = "{:>5}  {:<9} {:<8} {:>14}  {:>7}  {}"


def show_beginning(
    console: Console, tables: DealtTables, workspace: Workspace, n_workers: int
) -> None:
    """Say who takes part, with how much, and where their files are."""
    spec = workspace.spec
    console.rule("A joint study in which nobody sees a customer")
    _say(
        console,
        f"{len(tables.parties)} parties look for {spec.most_clusters} common customer segments in "
        f"{spec.n_features} features: {', '.join(spec.feature_names)}.",
    )
    for name, customers in tables.parties.items():
        _say(console, f"  {name}: {len(customers.identifiers):,} customers of its own")
    _say(
        console,
        f"The compute node {workspace.compute.name} works on ciphertexts and has no secret key. "
        f"The key node {workspace.key.name} has the secret key and is sent sums over all "
        "parties, nothing else. Each node is a process of its own; they speak gRPC over mutual "
        "TLS on this machine.",
    )
    made = plan_of(spec)
    n_used = min(n_workers, made.n_blocks * spec.most_clusters)
    seconds = made.round_seconds(made.sharp) / n_used + made.hyperplane_seconds(made.sharp)
    # The moments round is short, the profile round longer: together about two more.
    minutes = (_START_SECONDS + (spec.n_rounds + 2) * seconds) / 60
    in_all = f"{math.ceil(minutes)} {'minutes' if minutes > 1 else 'minute'}"
    _say(
        console,
        f"Planned: parameter set {made.parameters.name} (128-bit security), {made.n_blocks} "
        f"{'blocks' if made.n_blocks > 1 else 'block'} of up to {made.parameters.slots:,} records, "
        f"at most {spec.n_rounds} rounds, each about {plain(round(seconds, 1))} s with "
        f"{n_workers} {'workers' if n_workers > 1 else 'worker'} (encrypting its hyperplanes and "
        f"evaluating it; sending comes on top); about {in_all} in all.",
    )
    _say(console, _privacy(spec))
    _say(console, f"Files of all nodes: {workspace.study.parent}")


def _privacy(spec: StudySpec) -> str:
    if not spec.privacy.is_noised:
        return "No noise: the key node sees exact sums over all parties, as the agreement says."
    return (
        f"Noise: the compute node adds it to every sum before the key node decrypts it, for "
        f"epsilon {spec.privacy.epsilon:g} and delta {spec.privacy.delta:g} over the whole study."
    )


_OWN_WORDS = ("cohort", "cohort_warning", "results_ready")
"""Events of a party that are shown as it would show them."""


class Screen:
    """Shows the nodes' reports while they run.

    Args:
        console: where to.
        progress: draws the bars.
    """

    def __init__(self, console: Console, progress: RichProgress) -> None:
        self._console = console
        self._progress = progress
        self._has_heading = False
        self._said_by: dict[str, str] = {}

    def show(self, node: NodeFolder, report: Mapping[str, Any]) -> None:
        """Show one report of one node."""
        kind = report.get("report")
        if kind == "ended":
            return
        if kind == "message":
            # What the compute node tells everybody is reported by everybody: once is enough.
            if self._said_by.setdefault(report["text"], node.name) == node.name:
                self._progress.message(f"{node.name}: {report['text']}")
        elif kind == "event":
            if node.role == "key" and report["kind"] == "round":
                self._show_round(report["facts"])
            elif report["kind"] in _OWN_WORDS:
                said = event_line(report["kind"], report["facts"])
                self._progress.message(f"{node.name}: {said}")
        else:
            self._show_task(node, report)

    def _show_task(self, node: NodeFolder, report: Mapping[str, Any]) -> None:
        kind, task = report["report"], f"{node.name}: {report['task']}"
        is_round = report["task"].startswith("round ")
        if is_round and (node.role != "compute" or not self._console.is_terminal):
            return  # the compute node's bar is enough, and a row follows at the round's end
        if kind == "start":
            self._progress.start(task, report["total"], report["unit"])
        elif kind == "advance":
            self._progress.advance(task, report["amount"])
        elif is_round:
            self._progress.discard(task)
        else:
            self._progress.finish(task)

    def _show_round(self, facts: Mapping[str, Any]) -> None:
        if not self._has_heading:
            self._has_heading = True
            heading = ("round", "kind", "sign", "largest move", "seconds", "customers per segment")
            self._line(_ROW.format(*heading))
        shift = facts["shift"]
        self._line(
            _ROW.format(
                facts["index"],
                facts["round_kind"],
                ",".join(str(degree) for degree in facts["sign"]) or "–",
                "–" if shift is None else f"{shift:.3f} sd",
                f"{facts['seconds']:.1f}",
                _customers(facts["round_kind"], facts.get("n_records"), facts["sizes"]),
            ).rstrip()
        )
        for note in facts["notes"]:
            self._line(f"       note: {note}")
        if facts["round_kind"] == "profile":
            _say(self._console, _LEGEND)

    def _line(self, text: str) -> None:
        self._console.print(escape(text), highlight=False, soft_wrap=True)


def render_views(workspace: Workspace, tables: DealtTables, summaries: Summaries) -> Table:
    """What each node held, what it saw in the clear, and what it sent.

    Args:
        workspace: the study.
        tables: who held which records.
        summaries: what the nodes measured.
    """
    view = Table(title="What each node held and saw", show_lines=True)
    for heading in ("node", "held", "saw in the clear", "sent", "peak memory"):
        view.add_column(heading)
    for party in workspace.parties:
        summary = summaries.parties[party.name]
        view.add_row(
            f"{escape(party.name)}\n(party)",
            f"{len(tables.parties[party.name].identifiers):,} own records, public key",
            "its own records",
            f"{_megabytes(summary['bytes_sent'])} of ciphertexts",
            _memory(summary),
        )
    compute, key = summaries.compute, summaries.key
    sums = key["decrypted_values"] - 3 * len(workspace.parties)
    noised = "noised " if workspace.spec.privacy.is_noised else ""
    links = compute["bytes_by_link"]
    view.add_row(
        f"{workspace.compute.name}\n(compute)",
        f"{_held(workspace, compute['n_blocks'])} ({_megabytes(links['party_to_compute'])}), "
        "evaluation keys",
        "nothing: no record, no centroid, no count",
        f"{_megabytes(links['compute_to_key'])} of masked sums to {workspace.key.name}",
        _memory(compute),
    )
    view.add_row(
        f"{workspace.key.name}\n(key)",
        "secret key",
        f"{sums:,} {noised}sums over all parties together, and 3 values per party that show "
        "whether it kept to the agreed bounds; no record",
        f"{_megabytes(links['key_to_compute'])} of keys and encrypted hyperplanes",
        _memory(key),
    )
    return view


def _held(workspace: Workspace, n_uploads: Mapping[str, int]) -> str:
    """What was uploaded, and how many blocks it makes: parties can share one."""
    places = plan_of(workspace.spec).slot_ranges
    own = sum(
        n_uploads[party.name]
        for party, place in zip(workspace.parties, places, strict=True)
        if place is None
    )
    blocks = own + len({place.group for place in places if place is not None})
    uploads = sum(n_uploads.values())
    text = f"{blocks} encrypted {'block' if blocks == 1 else 'blocks'}"
    return text if uploads == blocks else f"{uploads} uploads in {text}"


def render_labels(summaries: Summaries) -> Table:
    """How many of its own customers each party has in each segment, by the labels it made."""
    segments = sorted({number for counts in summaries.labels.values() for number in counts})
    table = Table(title="Own customers by segment, labelled at each party and known to it alone")
    table.add_column("party")
    for number in segments:
        table.add_column(f"segment {number}", justify="right")
    for party, counts in summaries.labels.items():
        table.add_row(escape(party), *(f"{counts.get(number, 0):,}" for number in segments))
    return table


def render_comparison(comparison: Comparison, n_rounds: int) -> Table:
    """The comparison with scikit-learn."""
    table = Table(title="Compared with scikit-learn on the pooled table (only a demo has one)")
    table.add_column("clustering")
    for heading in ("inertia", "encrypted / this", "same segments (ARI)"):
        table.add_column(heading, justify="right")
    table.add_row("encrypted, nobody saw a record", f"{comparison.inertia:,.1f}", "", "")
    table.add_row(
        f"scikit-learn, same start, {n_rounds} rounds",
        f"{comparison.inertia_lloyd:,.1f}",
        f"{comparison.inertia_ratio:.4f}",
        f"{comparison.ari:.3f}",
    )
    table.add_row(
        "scikit-learn, best of ten starts",
        f"{comparison.inertia_best10:,.1f}",
        f"{comparison.inertia_ratio_best10:.4f}",
        f"{comparison.ari_best10:.3f}",
    )
    return table


def show_end(console: Console, seconds: float, files: Sequence[Path]) -> None:
    """Say how long it took and what was written."""
    for path in files:
        _say(console, f"written: {path}")
    _say(console, f"The study took {seconds:.1f} seconds.")


def _customers(kind: str, n_records: float | None, sizes: Sequence[float] | None) -> str:
    if kind == "admission":
        return "all data within the agreed bounds after clipping"
    if sizes is not None:
        return "  ".join(f"{size:,.0f}" for size in sizes)
    return "" if n_records is None else f"{plain(n_records)} in all"


def _say(console: Console, text: str) -> None:
    console.print(escape(text), highlight=False)


def _megabytes(bytes_by_kind: Mapping[str, int]) -> str:
    return f"{plain(sum(bytes_by_kind.values()) / 1e6)} MB"


def _memory(summary: Mapping[str, Any]) -> str:
    return f"{plain(summary['peak_rss_mb'])} MB"
