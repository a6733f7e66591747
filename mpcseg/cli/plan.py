"""``mpcseg plan``: what a study will cost, before a key exists."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mpcseg.errors import ConfigError, PlanError
from mpcseg.report.table import plain
from mpcseg.study.spec import load_study

if TYPE_CHECKING:
    from mpcseg.ckks.planner import Plan


def plan(
    *,
    study: Annotated[Path | None, typer.Option("--study", help="Plan this study file.")] = None,
    clusters: Annotated[int | None, typer.Option("--clusters", help="How many segments.")] = None,
    features: Annotated[int | None, typer.Option("--features", help="How many features.")] = None,
    rounds: Annotated[int | None, typer.Option("--rounds", help="Rounds at most.")] = None,
    records: Annotated[
        str, typer.Option("--records", help="Records of each party: 8000,12000,500")
    ] = "",
    parameter_set: Annotated[
        str | None, typer.Option("--parameter-set", help="A set by name, or `planned`.")
    ] = None,
) -> None:
    """Show levels, key switches, seconds, bytes and precision of a study, before a key exists.

    Give a study file, or the numbers of one that is only being thought about; numbers override
    the file.
    """
    from mpcseg.ckks.planner import plan_study  # noqa: PLC0415  TenSEAL takes a while to import

    spec = load_study(study) if study else None
    n_clusters = clusters if clusters is not None or not spec else spec.n_clusters
    n_features = features if features is not None or not spec else spec.n_features
    n_rounds = rounds if rounds is not None or not spec else spec.n_rounds
    if n_clusters is None or n_features is None or n_rounds is None:
        raise ConfigError(
            "a plan needs the numbers of clusters, features and rounds",
            "Give --study FILE, or --clusters, --features and --rounds.",
        )
    if n_clusters < 2 or n_features < 1 or n_rounds < 1:
        raise PlanError(
            "a plan needs 2 clusters, 1 feature and 1 round at least",
            "Raise --clusters, --features or --rounds.",
        )
    counts = _counts(records)
    if spec and counts and len(counts) != len(spec.parties):
        raise ConfigError(
            f"--records has {len(counts)} numbers and the study {len(spec.parties)} parties",
            "Give one number per party, in the order of the study file.",
        )
    made = plan_study(
        n_clusters=n_clusters,
        n_features=n_features,
        n_rounds=n_rounds,
        records_per_party=counts,
        most_records=spec.most_records if spec else (),
        parameter_set_name=parameter_set or (spec.parameter_set if spec else "planned"),
    )
    console = Console()
    if spec:
        # On a line of its own, so that it can be copied; unlike the plan, it is for comparing.
        console.print(f"Digest of study {spec.name}, the same at every node:", highlight=False)
        console.print(spec.digest, highlight=False, soft_wrap=True)
    _show(made, console, has_records=bool(records))


def _counts(text: str) -> tuple[int, ...]:
    counts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in counts):
        raise ConfigError(
            f"--records {text} is not a list of numbers of records", "Write --records 8000,12000"
        )
    return tuple(int(part) for part in counts)


def _show(made: Plan, console: Console, *, has_records: bool) -> None:
    parameters = made.parameters
    console.print(
        f"{made.n_clusters} clusters, {made.n_features} features, {made.n_rounds} rounds at most, "
        f"{made.n_blocks} {'blocks' if made.n_blocks > 1 else 'block'} of up to "
        f"{parameters.slots:,} records"
        + ("" if has_records else "; --records shows the cost of more"),
        highlight=False,
    )
    console.print(
        f"Parameter set {parameters.name}: ring degree {parameters.poly_modulus_degree}, "
        f"{parameters.n_levels} levels, 128-bit security. "
        f"{made.key_switches_per_pair} key switches per pair of clusters and block.",
        highlight=False,
    )
    console.print(_rounds_table(made))
    console.print(_precision_table(made))
    upload = made.upload_bytes_per_block
    console.print(
        f"The parties send {plain(upload / 1e6)} MB per block, once: "
        f"{plain(made.n_uploads * upload / 1e6)} MB in "
        f"all. The key node decrypts at most {made.decrypted_values:,} sums and nothing else.",
        highlight=False,
    )


def _rounds_table(made: Plan) -> Table:
    table = Table(title="One round (seconds of one core of each node, all blocks)")
    table.add_column("round")
    for heading in ("sign", "levels", "key switches", "compute", "key", "key → compute", "→ key"):
        table.add_column(heading, justify="right")
    for name, sign, profile in [
        ("lloyd, early", made.blunt, False),
        ("lloyd, late", made.sharp, False),
        ("profile (last)", made.sharp, True),
    ]:
        counts = made.block_counts(sign, profile=profile)
        switches = sum(n for (operation, _), n in counts.items() if operation == "relinearise")
        release = made.release_bytes(made.n_sums("profile" if profile else "lloyd"))
        table.add_row(
            name,
            ",".join(str(degree) for degree in sign),
            str(made.start_level(sign)),
            f"{switches * made.n_blocks:,}",
            f"{plain(made.round_seconds(sign, profile=profile))} s",
            f"{plain(made.hyperplane_seconds(sign))} s",
            f"{plain(made.hyperplane_bytes(sign) / 1e6)} MB",
            f"{plain(release / 1e6)} MB",
        )
    return table


def _precision_table(made: Plan) -> Table:
    table = Table(title="Error against the same polynomial in the clear, late rounds")
    table.add_column("stage")
    for heading in ("root mean square", "largest", "bits"):
        table.add_column(heading, justify="right")
    for stage in made.precision():
        table.add_row(stage.stage, f"{stage.rms:.1e}", f"{stage.largest:.1e}", f"{stage.bits:.1f}")
    return table
