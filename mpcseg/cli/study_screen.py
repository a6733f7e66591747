"""A study agreement on a screen.

Names and texts come from other organisations: they are shown as plain text, never as markup.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mpcseg.report.terms import crossed_cells, exact, received, roles, terms
from mpcseg.study.agreement import Agreement, Check
from mpcseg.study.card import spoken
from mpcseg.study.certificate import load_certificate
from mpcseg.study.profile_columns import NumericColumn, ProfileColumn
from mpcseg.study.spec import StudySpec


def print_terms(spec: StudySpec, console: Console) -> None:
    """Show who does what, and on which terms."""
    console.print(_organisations(spec))
    console.print(_features(spec))
    if spec.profile_columns:
        console.print(_profile_columns(spec))
    console.print(_terms(spec))
    crossed = crossed_cells(spec)
    if crossed:
        _line(console, f"warning: {crossed}", style="yellow")
    for card in (spec.current_card(card.name) for card in spec.organisations):
        end = load_certificate(card.certificate_pem).not_valid_after_utc
        if end.date() < spec.expires:
            _line(
                console,
                f"warning: the certificate of {card.name} ends on {end:%Y-%m-%d}, before the "
                "study's last day",
                style="yellow",
            )


def print_digest(spec: StudySpec, console: Console) -> None:
    """Show the digest on lines of its own, so that it can be copied, and read out."""
    _line(console, f"Digest of study {spec.name}, the same for everybody who agrees:")
    _line(console, spec.digest)
    _line(console, f"to read out: {spoken(spec.digest)}")


def print_signatures(agreement: Agreement, console: Console) -> None:
    """Say who has signed, who has not, and whose signature is none."""
    missing = agreement.missing
    checks = list(agreement.checks(None))
    by_name = zip(agreement.spec.organisations, checks[1:], strict=True)
    signed = [card.name for card, check in by_name if not check.error]
    _line(console, f"signed by: {', '.join(signed) or 'nobody'}")
    if missing:
        _line(console, f"still missing: {', '.join(missing)}")
    wrong = {f"signature of {name}" for name in agreement.signatures}
    for check in checks:
        if check.error and (check.what in wrong or check is checks[0]):
            _line(console, f"WRONG: {check.error.message}", style="bold red")
    if not missing and len(signed) == len(agreement.spec.organisations):
        _line(console, "Everybody has signed: nodes will run it.")


def print_checks(checks: Sequence[Check], console: Console) -> None:
    """Show what was checked, with the evidence, or with the reason for a failure."""
    table = Table()
    table.add_column("check")
    table.add_column("result")
    table.add_column("evidence", overflow="fold")
    for check in checks:
        result = Text("failed", "bold red") if check.error else Text("ok", "green")
        evidence = check.error.message if check.error else check.evidence
        table.add_row(Text(check.what), result, Text(evidence))
    console.print(table)


def print_verdict(checks: Sequence[Check], console: Console, *, is_over: bool) -> None:
    """Say in one line that all checks went well, and what they were of.

    Args:
        checks: none of which failed.
        console: where to.
        is_over: whether certificates and dates were left out.
    """
    n_signed = sum(check.what.startswith("signature of ") for check in checks)
    parts = [f"signed by all {n_signed} organisations"]
    if not is_over:
        parts.append("certificates and last day valid today")
    beside = {
        "own card": "own card as agreed",
        "own policy": "own policy kept",
        "closing record": "closing record in order",
    }
    parts += [beside[check.what] for check in checks if check.what in beside]
    n_renewals = sum(check.what.startswith("renewal, ") for check in checks)
    if n_renewals:
        parts.append(f"{n_renewals} renewal{'s' if n_renewals > 1 else ''} in order")
    _line(console, f"All {len(checks)} checks passed: {'; '.join(parts)}.")


def _organisations(spec: StudySpec) -> Table:
    table = Table(title=Text(f"Study {spec.name}: who does what"))
    for heading in ("organisation", "does", "receives", "card to read out"):
        table.add_column(heading, overflow="fold")
    for card in spec.organisations:
        table.add_row(
            Text(card.name),
            Text("\n".join(roles(spec, card))),
            Text("\n".join(received(spec, card)) or "nothing"),
            Text(card.spoken),
        )
    return table


def _features(spec: StudySpec) -> Table:
    table = Table(title="What is clustered on")
    table.add_column("feature", overflow="fold")
    table.add_column("transform")
    table.add_column("lower", justify="right")
    table.add_column("upper", justify="right")
    for feature in spec.features:
        bounds = (exact(feature.lower), exact(feature.upper))
        table.add_row(Text(feature.name), feature.transform, *bounds)
    return table


def _profile_columns(spec: StudySpec) -> Table:
    table = Table(title="What else is told of the segments")
    table.add_column("column", overflow="fold")
    table.add_column("kind")
    table.add_column("agreed", overflow="fold")
    for column in spec.profile_columns:
        table.add_row(Text(column.name), column.kind, Text(_agreed_of(column)))
    return table


def _agreed_of(column: ProfileColumn) -> str:
    if isinstance(column, NumericColumn):
        return f"{column.transform}, {exact(column.lower)} to {exact(column.upper)}"
    return "; ".join(
        [
            f"values {', '.join(column.values)}",
            f"others count as '{column.other}'" if column.other else "others are refused",
            f"empty cells count as '{column.unknown}'"
            if column.unknown
            else "empty cells are refused",
            *(["PROTECTED: audited for fairness"] if column.protected else []),
        ]
    )


def _terms(spec: StudySpec) -> Table:
    table = Table(title="On which terms", show_header=False)
    table.add_column("term")
    table.add_column("agreed", overflow="fold")
    for term, agreed in terms(spec):
        table.add_row(term, Text(agreed))
    return table


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
