"""``mpcseg plan``: what a study will cost and what its noise will mean, before a key exists."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from mpcseg.cli.clusters import parse_clusters, verify_two
from mpcseg.cli.epsilon import DEFAULT_EPSILON, parse_epsilon
from mpcseg.cli.plan_needs import show_needs
from mpcseg.cli.plan_noise import show_noise
from mpcseg.errors import ConfigError, PlanError
from mpcseg.reference.columns import NO_COLUMNS
from mpcseg.report.table import plain
from mpcseg.study.agreement import load_terms
from mpcseg.study.cluster_range import ClusterRange
from mpcseg.study.documents import check
from mpcseg.study.spec import NO_NOISE_SENTENCE, Privacy, StudySpec

if TYPE_CHECKING:
    from mpcseg.ckks.planner import Plan


def plan(  # noqa: PLR0913  options of a command
    *,
    study: Annotated[
        Path | None, typer.Option("--study", help="Plan this draft or agreement.")
    ] = None,
    clusters: Annotated[
        str | None,
        typer.Option("--clusters", help="How many segments, or a range to choose from: 3-7."),
    ] = None,
    features: Annotated[int | None, typer.Option("--features", help="How many features.")] = None,
    rounds: Annotated[int | None, typer.Option("--rounds", help="Rounds at most.")] = None,
    records: Annotated[
        str, typer.Option("--records", help="Records of each party: 8000,12000,500")
    ] = "",
    epsilon: Annotated[
        str | None,
        typer.Option("--epsilon", help="Privacy budget, or `none`.", show_default=DEFAULT_EPSILON),
    ] = None,
    delta: Annotated[float | None, typer.Option("--delta", help="Its delta.")] = None,
    parameter_set: Annotated[
        str | None, typer.Option("--parameter-set", help="A set by name, or `planned`.")
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Worker processes of the compute node.")
    ] = 2,
    megabits: Annotated[
        float,
        typer.Option("--megabits", min=0.1, help="Of the slowest link, per second."),
    ] = 100.0,
) -> None:
    """Show what a study costs, how precise it is and what its noise means, before a key exists.

    Give a draft or an agreement, or the numbers of one that is only being thought about; numbers
    override the file.
    """
    from mpcseg.ckks.planner import plan_study  # noqa: PLC0415  TenSEAL takes a while to import

    spec = load_terms(study) if study else None
    agreed = spec.n_clusters if spec else None
    chosen = agreed if clusters is None else parse_clusters(clusters)
    scouting = chosen.terms if isinstance(chosen, ClusterRange) else None
    n_clusters = chosen.largest if isinstance(chosen, ClusterRange) else chosen
    n_features = features if features is not None or not spec else spec.n_features
    n_rounds = rounds if rounds is not None or not spec else spec.n_rounds
    _verify_numbers(n_clusters, n_features, n_rounds)
    if n_clusters is None or n_features is None or n_rounds is None:
        wanted = {"--clusters": n_clusters, "--features": n_features, "--rounds": n_rounds}
        missing = [option for option, number in wanted.items() if number is None]
        raise ConfigError(
            f"a plan by numbers needs {' and '.join(missing)} as well",
            "Add it, or give --study FILE, which says all numbers.",
        )
    counts = _counts(records)
    if spec and counts and len(counts) != len(spec.parties):
        raise ConfigError(
            f"--records has {len(counts)} numbers and the study {len(spec.parties)} parties",
            "Give one number per party, in the order of the agreement.",
        )
    made = plan_study(
        n_clusters=n_clusters,
        n_features=n_features,
        n_rounds=n_rounds,
        scouting=scouting,
        records_per_party=counts,
        most_records=spec.most_records if spec else (),
        parameter_set_name=parameter_set or (spec.parameter_set if spec else "planned"),
        columns=spec.column_layout if spec else NO_COLUMNS,
    )
    console = Console()
    if spec:
        # On a line of its own, so that it can be copied; unlike the plan, it is for comparing.
        console.print(f"Digest of study {spec.name}, the same at every node:", highlight=False)
        console.print(spec.digest, highlight=False, soft_wrap=True)
    budget = _budget(spec, epsilon, delta)
    _show(made, console, has_records=bool(records), has_blunt_rounds=not budget.is_noised)
    show_needs(made, console, workers=workers, megabits=megabits, norm=_has_radius(spec))
    expected = sum(counts) or _expected(spec)
    show_noise(made, budget, spec, expected, console)


def _verify_numbers(n_clusters: int | None, n_features: int | None, n_rounds: int | None) -> None:
    """Refuse, of the numbers that are given, those that no study can have."""
    if n_clusters is not None:
        verify_two(n_clusters)
    for option, number in (("--features", n_features), ("--rounds", n_rounds)):
        if number is not None and number < 1:
            raise PlanError(f"{option} {number} is too few: a plan needs 1", f"Raise {option}.")


def _counts(text: str) -> tuple[int, ...]:
    counts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isascii() and part.isdigit() and int(part) > 0 for part in counts):
        raise ConfigError(
            f"--records {text} is not a list of numbers of records", "Write --records 8000,12000"
        )
    return tuple(int(part) for part in counts)


def _budget(spec: StudySpec | None, epsilon: str | None, delta: float | None) -> Privacy:
    """The agreement's budget, or the default one, with what the command line overrides."""
    agreed = spec.privacy if spec else Privacy()
    chosen = agreed.epsilon if epsilon is None else parse_epsilon(epsilon)
    # Nobody has to acknowledge a study that is only being thought about.
    content: dict[str, object] = {"epsilon": chosen}
    content["delta"] = agreed.delta if delta is None else delta
    if chosen == "none":
        content["acknowledgement"] = NO_NOISE_SENTENCE
    return check(Privacy, content, "the budget", hint="Write it as in: --epsilon 1 --delta 1e-6")


def _has_radius(spec: StudySpec | None) -> bool:
    return spec is not None and spec.l2_radius < math.sqrt(spec.n_features)


def _expected(spec: StudySpec | None) -> int:
    """Records that the parties bring together at most; 0 where one has not said."""
    most = spec.most_records if spec else ()
    return sum(number or 0 for number in most) if all(most) else 0


def _show(made: Plan, console: Console, *, has_records: bool, has_blunt_rounds: bool) -> None:
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
    console.print(_rounds_table(made, has_blunt_rounds=has_blunt_rounds))
    _show_scouting(made, console)
    console.print(_precision_table(made))
    upload = made.upload_bytes_per_block
    console.print(
        f"The parties send {plain(upload / 1e6)} MB per block, once: "
        f"{plain(made.n_uploads * upload / 1e6)} MB in "
        f"all. On its disk the compute node keeps {plain(made.kept_bytes() / 1e6)} MB of evidence "
        "of its rounds until the study is closed. The key node decrypts at most "
        f"{made.decrypted_values:,} sums and nothing else.",
        highlight=False,
    )


def _show_scouting(made: Plan, console: Console) -> None:
    """Say what the choice of a number of clusters costs, where there is one."""
    if made.scouting is None:
        return
    numbers, scouts = made.scouting.candidates, made.scouts
    lloyd = made.n_rounds * made.round_seconds(made.sharp)
    console.print(
        f"To choose from {numbers[0]} to {numbers[-1]} clusters, {len(scouts)} short rounds come "
        f"first, on {scouts[0][2].n_blocks} of {made.n_blocks} blocks: "
        f"{plain(made.scout_seconds())} s of one core of the compute node, beside "
        f"{plain(lloyd)} s for {made.n_rounds} rounds with {numbers[-1]} clusters. The number that "
        "is chosen makes the rest cheaper than the tables say, which are for the largest.",
        highlight=False,
    )


def _rounds_table(made: Plan, *, has_blunt_rounds: bool) -> Table:
    table = Table(title="One round (seconds of one core of each node, all blocks)")
    table.add_column("round")
    for heading in ("sign", "levels", "key switches", "compute", "key", "key → compute", "→ key"):
        table.add_column(heading, justify="right")
    rows = [("lloyd", made.sharp, False), ("profile (last)", made.sharp, True)]
    if has_blunt_rounds:
        # A noised study does without: their weights need more noise.
        rows[:1] = [("lloyd, early", made.blunt, False), ("lloyd, late", made.sharp, False)]
    for name, sign, profile in rows:
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
