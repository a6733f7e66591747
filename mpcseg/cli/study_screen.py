"""A study agreement on a screen.

Names and texts come from other organisations: they are shown as plain text, never as markup.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mpcseg.report.terms import exact, received, roles
from mpcseg.study.agreement import Agreement, Check
from mpcseg.study.card import spoken
from mpcseg.study.certificate import load_certificate
from mpcseg.study.spec import StudySpec, clusters_in_words


def print_terms(spec: StudySpec, console: Console) -> None:
    """Show who does what, and on which terms."""
    console.print(_organisations(spec))
    console.print(_features(spec))
    console.print(_terms(spec))
    for card in spec.organisations:
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


def _terms(spec: StudySpec) -> Table:
    table = Table(title="On which terms", show_header=False)
    table.add_column("term")
    table.add_column("agreed", overflow="fold")
    release = spec.release
    for term, agreed in (
        ("purpose", spec.purpose),
        ("legal basis", spec.legal_basis),
        ("segments", f"{clusters_in_words(spec)}, in {spec.n_rounds} rounds at most"),
        ("consent", _consent(spec)),
        ("privacy", _privacy(spec)),
        ("shown", f"segments of {release.smallest_segment:,} customers and more, "
                  f"{release.significant_digits} significant digits"),
        ("radius", _radius(spec)),
        ("kept", f"for {exact(spec.retention_days)} days by the compute node"),
        ("last day", f"{spec.expires} (UTC)"),
        ("parameter set", spec.parameter_set),
        ("seed", str(spec.seed)),
    ):  # fmt: skip
        table.add_row(term, Text(agreed))
    return table


def _consent(spec: StudySpec) -> str:
    if spec.consent is None:
        return "every record in the parties' tables takes part"
    return f"only records with '{spec.consent.value}' in the column '{spec.consent.column}'"


def _radius(spec: StudySpec) -> str:
    if spec.radius is None:
        return "records are clipped by the features' bounds alone"
    return f"scaled records are clipped to an L2 norm of {exact(spec.radius)}"


def _privacy(spec: StudySpec) -> str:
    privacy = spec.privacy
    if isinstance(privacy.epsilon, str):
        return f"NO NOISE. {privacy.acknowledgement}"
    return f"noise, epsilon {exact(privacy.epsilon)} and delta {privacy.delta!r} for everything"


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
