"""``mpcseg audit verify``: the logs of a study, checked against each other and the agreement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mpcseg.errors import EvidenceError
from mpcseg.study.agreement import load_agreement
from mpcseg.text import one_line
from mpcseg.verification.evidence import collect
from mpcseg.verification.verify import Finding
from mpcseg.verification.verify import verify as make_checks

_STYLES = {"passed": "green", "failed": "bold red", "not checked": "yellow"}


def verify(
    *,
    agreement: Annotated[Path, typer.Argument(help="The agreement file of the study.")],
    places: Annotated[
        list[Path],
        typer.Argument(
            help="Audit logs, privacy ledgers and renewals, or folders in which they stand: the "
            "compute node's storage, the key node's output, the parties' mpcseg-audit."
        ),
    ],
    closing: Annotated[
        Path | None, typer.Option("--closing", help="The closing record of the study.")
    ] = None,
    storage: Annotated[
        Path | None,
        typer.Option(
            "--storage", help="Search this folder of the compute node for secret keys as well."
        ),
    ] = None,
    former: Annotated[
        Path | None,
        typer.Option(
            "--former",
            help="The agreement of the study that this one follows; the log of its key node is "
            "looked for in the same places.",
        ),
    ] = None,
    complete: Annotated[
        bool,
        typer.Option("--complete", help="Fail as well where a check could not be made."),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write the findings as JSON, for machines.")
    ] = False,
) -> None:
    """Check a study's audit logs against each other and the agreement; needs no node and no key.

    What nodes sent and received, which rounds ran, what was decrypted, what it cost, what became of
    the secret key: each check passes or fails with its evidence. A check whose evidence was not
    given is not made, and says what is missing. The exit status is that of the first failed check.
    """
    followed = load_agreement(former) if former is not None else None
    evidence = collect(load_agreement(agreement), places, closing, storage, followed)
    findings = list(make_checks(evidence))
    if as_json:
        typer.echo(json.dumps([_document(finding) for finding in findings], indent=2))
    else:
        _print(findings, Console())
    failed = next((finding.error for finding in findings if finding.error), None)
    if failed is not None:
        raise failed
    missing = [finding for finding in findings if finding.verdict == "not checked"]
    if complete and missing:
        raise EvidenceError(
            f"{len(missing)} checks could not be made: {missing[0].evidence}",
            "Ask the organisations for what is missing.",
        )


def _document(finding: Finding) -> dict[str, object]:
    return {
        "number": finding.number,
        "check": finding.what,
        "verdict": finding.verdict,
        "evidence": finding.evidence,
        "code": finding.error.code if finding.error else None,
    }


def _print(findings: list[Finding], console: Console) -> None:
    table = Table()
    table.add_column("", justify="right")
    table.add_column("check")
    table.add_column("result")
    table.add_column("evidence", overflow="fold")
    for finding in findings:
        table.add_row(
            str(finding.number),
            Text(finding.what),
            Text(finding.verdict, _STYLES[finding.verdict]),
            Text(one_line(finding.evidence)),
        )
    console.print(table)
    counts = {verdict: sum(f.verdict == verdict for f in findings) for verdict in _STYLES}
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    console.print(f"{len(findings)} checks: {said}.", highlight=False)
