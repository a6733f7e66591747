"""``mpcseg audit replay``: did the compute node compute what was agreed?"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mpcseg.audit.log import log_path
from mpcseg.audit.log_file import read_log, signed_part
from mpcseg.cli.agreed import study_to_end
from mpcseg.cli.options import ProgressOption
from mpcseg.cli.progress import ProgressMode, open_progress
from mpcseg.errors import AuditError, EvidenceError
from mpcseg.verification.evidence import root_of, verify_decrypted_is_released

if TYPE_CHECKING:
    from mpcseg.verification.replay import Replay


def replay(  # noqa: PLR0913  each is an option of the command line
    *,
    agreement: Annotated[Path, typer.Argument(help="The agreement file of the study.")],
    evidence: Annotated[
        Path,
        typer.Option(
            "--evidence", help="The compute node's storage folder, or a copy of it, with its log."
        ),
    ],
    log: Annotated[
        Path | None,
        typer.Option("--log", help="The compute node's audit log, if it stands elsewhere."),
    ] = None,
    key_log: Annotated[
        Path | None,
        typer.Option(
            "--key-log", help="The key node's audit log: that this is what was decrypted."
        ),
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option("--sample", help="Replay so many units, or a part (10%), drawn at random."),
    ] = None,
    rounds: Annotated[
        list[int] | None, typer.Option("--round", help="Replay this round; may be repeated.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Worker processes.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    progress: ProgressOption = ProgressMode.AUTO,
) -> None:
    """Compute the compute node's work once more from its ciphertexts, and compare every release.

    Needs the agreement and the compute node's storage folder with its log, as it is before the
    study is closed; no secret key, and no machine of the study. Every release of every round is
    rebuilt from its partial sums. The partial sums are rebuilt from the parties' ciphertexts: all,
    or with --sample those of some units.
    """
    from mpcseg.verification.computed import (  # noqa: PLC0415  gRPC takes a while
        computed_study,
        read_compute_log,
    )
    from mpcseg.verification.replay import verify_replay  # noqa: PLC0415

    spec = study_to_end(agreement)
    if not (evidence / "study").is_dir():
        raise EvidenceError(
            f"{evidence} holds no study",
            "Give the compute node's storage folder, which has a folder 'study' until the study is "
            "closed; then its evidence is deleted, and only a copy made before can be replayed.",
        )
    compute = read_compute_log(log or log_path(evidence, spec, "compute", spec.compute.name), spec)
    if key_log is not None:
        decrypting = signed_part(read_log(key_log, spec))
        if decrypting.role != "key":
            raise EvidenceError(f"{key_log} is {decrypting}", "Give the key node's own.")
        verify_decrypted_is_released(decrypting, compute)
    console = Console()
    try:
        with open_progress(progress) as shown:
            found = verify_replay(
                spec,
                computed_study(compute, spec),
                evidence,
                shown,
                workers=workers,
                sample=sample,
                rounds=rounds,
            )
    except AuditError as error:
        if as_json:
            typer.echo(json.dumps({"passed": False, "code": error.code, "error": error.message}))
        raise
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "passed": True,
                    "complete": found.n_replayed == found.n_units and not rounds,
                    "bound_to_decryptions": key_log is not None,
                    "log": {"entries": len(compute.entries), "root": compute.tree.root().hex()},
                    **dataclasses.asdict(found),
                }
            )
        )
        return
    print_replay(found, console)
    said = (
        "What was replayed is what the key node decrypted."
        if key_log is not None
        else "Whether this is what was decrypted, the key node's log says (--key-log)."
    )
    console.print(
        f"Log of the compute node: {len(compute.entries):,} entries, root {root_of(compute)}.",
        highlight=False,
    )
    console.print(said, highlight=False)


def _verdict(n_replayed: int, n_units: int) -> str:
    """What is shown of a round: its releases always, its units as far as they were drawn."""
    if n_replayed == n_units:
        return "as agreed"
    return "in part" if n_replayed else "sums only"


def print_replay(found: Replay, console: Console) -> None:
    """Show what a replay found, round by round."""
    from mpcseg.verification.replay_noise import chance_to_notice  # noqa: PLC0415  SciPy

    table = Table(title="Replay of the compute node's work")
    table.add_column("round")
    for heading in ("units", "sums", "noise", "p size", "p shape"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    rows = [
        (f"{one.index} {one.kind}", one.n_replayed, one.n_units, one.n_releases, one.noise)
        for one in found.rounds
    ]
    n_releases = sum(one.n_releases for one in found.rounds)
    rows.append(("all", found.n_replayed, found.n_units, n_releases, found.noise))
    for name, n_replayed, n_units, releases, noise in rows:
        figures = ["none agreed", "", ""]
        if noise is not None:
            figures = [f"{noise.measured:.3f}", f"{noise.p_squares:.2g}", f"{noise.p_shape:.2g}"]
        units = f"{n_replayed} of {n_units}"
        table.add_row(name, units, str(releases), *figures, _verdict(n_replayed, n_units))
    console.print(table)
    console.print(
        "units: recomputed from the parties' ciphertexts; sums: recomputed from the units and "
        "compared, all of them; noise: its measured size, over the agreed one; p: how likely noise "
        "as agreed is to look like this or worse.",
        highlight=False,
    )
    if found.misses:
        console.print(
            f"{found.n_replayed} of {found.n_units} units were computed again. A cheat in the "
            "others would have been missed, with a probability of",
            highlight=False,
        )
        for number, probability in found.misses:
            units = "one unit" if number == 1 else f"{number} units"
            console.print(f"  {probability:.1%} if it is in {units}", highlight=False)
    if found.noise is not None:
        chances = [chance_to_notice(found.noise.n_draws, factor) for factor in (0.5, 2.0)]
        console.print(
            f"Noise of half the agreed size everywhere would have been noticed with a chance of "
            f"{chances[0]:.1%}, of twice the size with {chances[1]:.1%}.",
            highlight=False,
        )
        if n_of_cluster := found.noise.n_of_cluster:
            chances = [
                chance_to_notice(n_of_cluster, factor, found.noise.least_p_part)
                for factor in (0.1, 0.5)
            ]
            console.print(
                f"In one cluster alone, in all {n_of_cluster} releases of its Lloyd rounds: a "
                f"tenth with {chances[0]:.1%}, half with {chances[1]:.1%}.",
                highlight=False,
            )
    console.print(
        f"{found.seconds:.1f} s, {found.peak_rss_mb:.0f} MB of memory at most", highlight=False
    )
