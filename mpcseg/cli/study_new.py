"""``mpcseg study new``: the draft of an agreement, with everything that options can say."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from mpcseg.cli.agreed import study_to_end
from mpcseg.cli.clusters import parse_clusters
from mpcseg.cli.epsilon import parse_epsilon
from mpcseg.cli.study_columns import profile_columns
from mpcseg.errors import ConfigError
from mpcseg.report.terms import crossed_cells
from mpcseg.study.draft import EXAMPLE_FEATURES, Draft, DraftFeature, write_draft
from mpcseg.study.draft_following import following
from mpcseg.study.spec import NO_NOISE_SENTENCE


def new(  # noqa: PLR0913  each is an option of the command line
    context: typer.Context,
    *,
    name: Annotated[str, typer.Option("--name", help="The study's name.")],
    purpose: Annotated[str, typer.Option("--purpose", help="What the segments are for.")],
    legal_basis: Annotated[
        str, typer.Option("--legal-basis", help="Why the records may be used for it.")
    ],
    compute: Annotated[
        Path, typer.Option("--compute", help="Card of the organisation with the compute node.")
    ],
    key: Annotated[
        Path,
        typer.Option("--key", help="Card of the organisation with the key node; another one."),
    ],
    party: Annotated[
        list[Path],
        typer.Option(
            "--party",
            help="Card of an organisation that brings records; may be repeated. The two above "
            "may be among them.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", help="The draft's file; NAME.toml if left out.")
    ] = None,
    feature: Annotated[
        list[str] | None,
        typer.Option(
            "--feature",
            help="NAME:TRANSFORM:LOWER:UPPER, as in spend:log1p:0:20000, with the transform "
            "identity or log1p; may be repeated. Without it: three examples, to be edited.",
        ),
    ] = None,
    profile_column: Annotated[
        list[str] | None,
        typer.Option(
            "--profile-column",
            help="NAME:TRANSFORM:LOWER:UPPER for means and spreads, or NAME=VALUE,VALUE for shares "
            "of agreed values, of a column that is not clustered on; may be repeated.",
        ),
    ] = None,
    protected: Annotated[
        list[str] | None,
        typer.Option(
            "--protected",
            help="Name of a profile column whose groups are audited for fairness; may be repeated.",
        ),
    ] = None,
    party_shares: Annotated[
        bool, typer.Option("--party-shares", help="Tell sizes of segments by party as well.")
    ] = False,
    clusters: Annotated[
        str,
        typer.Option(
            "--clusters", help="How many segments to look for, or a range to choose from: 3-7."
        ),
    ] = str(Draft.n_clusters),
    rounds: Annotated[int, typer.Option("--rounds", help="Rounds at most.")] = Draft.n_rounds,
    radius: Annotated[
        float | None,
        typer.Option("--radius", help="L2 norm that scaled records are clipped to."),
    ] = None,
    consent: Annotated[
        str | None,
        typer.Option("--consent", help="COLUMN=VALUE that a record must have to take part."),
    ] = None,
    epsilon: Annotated[
        str, typer.Option("--epsilon", help="Privacy budget, or none for exact sums.")
    ] = f"{Draft.epsilon:g}",
    delta: Annotated[
        float, typer.Option("--delta", help="Probability with which the guarantee may fail.")
    ] = Draft.delta,
    acknowledgement: Annotated[
        str,
        typer.Option(
            "--acknowledgement",
            help="The sentence that --epsilon none needs; it is told when it is missing.",
        ),
    ] = "",
    smallest_segment: Annotated[
        int, typer.Option("--smallest-segment", help="Segments with fewer are not shown.")
    ] = Draft.smallest_segment,
    digits: Annotated[
        int, typer.Option("--digits", help="Significant digits that are shown, 2 to 6.")
    ] = Draft.significant_digits,
    report: Annotated[
        list[str] | None,
        typer.Option(
            "--report",
            help="Name of an organisation that receives the segment report; may be repeated. "
            "All parties if left out.",
        ),
    ] = None,
    no_report: Annotated[
        bool, typer.Option("--no-report", help="Nobody receives the segment report.")
    ] = False,
    centroids: Annotated[
        list[str] | None,
        typer.Option(
            "--centroids",
            help="Name of an organisation that may label its own customers; may be repeated. "
            "All parties if left out.",
        ),
    ] = None,
    no_centroids: Annotated[
        bool, typer.Option("--no-centroids", help="Nobody receives the centroids.")
    ] = False,
    most_records: Annotated[
        list[str] | None,
        typer.Option(
            "--most-records",
            help="NAME=NUMBER of records that a party brings at most; may be repeated.",
        ),
    ] = None,
    retention: Annotated[
        float, typer.Option("--retention", help="Days for which the compute node keeps anything.")
    ] = Draft.retention_days,
    expires: Annotated[
        datetime.datetime | None,
        typer.Option(
            "--expires",
            formats=["%Y-%m-%d"],
            help="Last day (UTC) on which the study may run; 90 days ahead if left out.",
        ),
    ] = None,
    parameter_set: Annotated[
        str, typer.Option("--parameter-set", help="A set by name, or `planned`.")
    ] = Draft.parameter_set,
    seed: Annotated[int, typer.Option("--seed", help="Of the starting centroids.")] = Draft.seed,
    follow: Annotated[
        Path | None,
        typer.Option(
            "--follow",
            help="Agreement of a former study, from whose centroids this one starts. Features, "
            "radius and number of segments are the former's, and so is whatever else no option "
            "says.",
        ),
    ] = None,
) -> None:
    """Write the draft of an agreement: a commented TOML file, to be discussed and edited.

    Cards come from `mpcseg identity new`. An organisation that has two roles is named twice, with
    the same card.
    """
    draft = Draft(
        name=name,
        purpose=purpose,
        legal_basis=legal_basis,
        compute=compute,
        key=key,
        parties=party,
        most_records=dict(_record_limit(text) for text in most_records or ()),
        n_clusters=parse_clusters(clusters),
        n_rounds=rounds,
        features=[_feature(text) for text in feature] if feature else EXAMPLE_FEATURES,
        profile_columns=profile_columns(profile_column or (), protected or ()),
        party_shares=party_shares,
        radius=radius,
        consent=_pair(consent, "--consent", "COLUMN=VALUE") if consent else None,
        epsilon=parse_epsilon(epsilon),
        delta=delta,
        acknowledgement=acknowledgement,
        smallest_segment=smallest_segment,
        significant_digits=digits,
        report=_recipients(report, "report", nobody=no_report),
        centroids=_recipients(centroids, "centroids", nobody=no_centroids),
        retention_days=retention,
        expires=expires.date() if expires else None,
        parameter_set=parameter_set,
        seed=seed,
    )
    former = study_to_end(follow) if follow is not None else None
    if former is not None:
        draft = following(draft, former, _given(context))
    _verify_acknowledged(draft)
    path = output or Path(f"{name}.toml")
    spec = write_draft(draft, path, former, options=_OPTIONS)
    typer.echo(f"draft: {path}")
    if len(spec.parties) == 1:
        typer.echo("warning: with one party, the sums over all parties are those of that party.")
    crossed = crossed_cells(spec)
    if crossed:
        typer.echo(f"warning: {crossed}.")
    if not feature and former is None:
        typer.echo("The features are examples: edit them in the draft.")
    typer.echo("Compare the cards' fingerprints by telephone before anybody signs:")
    for card in spec.organisations:
        typer.echo(f"{card.name}: {card.spoken}")


def _given(context: typer.Context) -> set[str]:
    """Fields of a draft that options of the command line have said."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = (name for name, source in sources.items() if source and source.name != "DEFAULT")
    return {_FIELDS.get(name, name) for name in given}


def _feature(text: str) -> DraftFeature:
    parts = text.rsplit(":", 3)
    try:
        name, transform, lower, upper = parts
        return DraftFeature(name, transform, float(lower), float(upper))
    except ValueError:
        raise ConfigError(
            f"--feature {text} is not NAME:TRANSFORM:LOWER:UPPER",
            "Write it as in: --feature spend:log1p:0:20000",
        ) from None


def _verify_acknowledged(draft: Draft) -> None:
    if draft.epsilon == "none" and draft.acknowledgement != NO_NOISE_SENTENCE:
        raise ConfigError(
            "--epsilon none needs --acknowledgement with this sentence, word for word: "
            f'"{NO_NOISE_SENTENCE}"',
            f'Give --acknowledgement "{NO_NOISE_SENTENCE}" if all organisations accept that, or a '
            "number as --epsilon.",
        )
    if draft.epsilon != "none" and draft.acknowledgement:
        raise ConfigError(
            "--acknowledgement belongs to --epsilon none only",
            "Leave it out, or give --epsilon none.",
        )


def _record_limit(text: str) -> tuple[str, int]:
    name, number = _pair(text, "--most-records", "NAME=NUMBER")
    if not (number.isascii() and number.isdigit() and len(number) < _MOST_DIGITS):
        raise ConfigError(f"--most-records {text} does not end with a number", "Write NAME=NUMBER.")
    return name, int(number)


def _pair(text: str, option: str, form: str) -> tuple[str, str]:
    left, equals, right = text.partition("=")
    if not (left and equals and right):
        raise ConfigError(f"{option} {text} is not {form}", f"Write {form}, without blanks.")
    return left, right


def _recipients(names: Sequence[str] | None, what: str, *, nobody: bool) -> tuple[str, ...] | None:
    if nobody and names:
        raise ConfigError(f"--{what} and --no-{what} contradict each other", "Give one of them.")
    return () if nobody else tuple(names) if names else None


# Options whose field in a draft has another name.
_FIELDS = {
    "clusters": "n_clusters",
    "rounds": "n_rounds",
    "feature": "features",
    "digits": "significant_digits",
    "profile_column": "profile_columns",
    "protected": "profile_columns",
    "no_report": "report",
    "no_centroids": "centroids",
    "retention": "retention_days",
}

# Options by the words with which a message of the agreement's own checks begins.
_OPTIONS = {
    "name": "--name",
    "purpose": "--purpose",
    "legal_basis": "--legal-basis",
    "n_clusters": "--clusters",
    "n_rounds": "--rounds",
    "features": "--feature",
    "radius": "--radius",
    "profile_columns": "--profile-column",
    "with party_shares": "with --party-shares",
    "consent": "--consent",
    "privacy epsilon": "--epsilon",
    "privacy delta": "--delta",
    "release smallest_segment": "--smallest-segment",
    "release significant_digits": "--digits",
    "release report": "--report",
    "release centroids": "--centroids",
    "release": "--report and --centroids",
    "retention_days": "--retention",
    "expires": "--expires",
    "parameter_set": "--parameter-set",
    "seed": "--seed",
    "compute": "--compute",
    "key": "--key",
    "parties": "--party",
}

# Python refuses to read numbers of thousands of digits.
_MOST_DIGITS = 20
