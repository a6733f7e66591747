"""``mpcseg audit show``: what a log says, and the proof of one entry of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mpcseg.audit.log_file import LogFile, read_log
from mpcseg.audit.records import Entry
from mpcseg.cli.agreed import study_to_end
from mpcseg.errors import ConfigError
from mpcseg.report.files import verify_output_file, write_text
from mpcseg.study.documents import read_bytes
from mpcseg.study.spec import StudySpec
from mpcseg.verification.proof import PROOF_BYTES, prove_entry, verify_entry


def show(
    *,
    agreement: Annotated[Path, typer.Argument(help="The agreement file of the study.")],
    log: Annotated[Path | None, typer.Argument(help="An audit log of the study.")] = None,
    entry: Annotated[
        int | None,
        typer.Option("--entry", help="Prove this entry alone, for somebody without the log."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Where the proof of --entry is written.")
    ] = None,
    proof: Annotated[
        Path | None, typer.Option("--proof", help="Check this proof of an entry; needs no log.")
    ] = None,
) -> None:
    """Show a log's entries; prove one of them, or check such a proof.

    A proof is the entry, a checkpoint signed by the log's organisation, and the hashes between the
    two. It shows one entry and nothing of the others.
    """
    spec = study_to_end(agreement)
    console = Console()
    if proof is not None:
        _print_proof(spec, read_bytes(proof, "the proof", limit=PROOF_BYTES), console)
        return
    if log is None:
        raise ConfigError("no log is given", "Name an audit log, or a proof with --proof.")
    found = read_log(log, spec)
    if entry is None:
        if output is not None:
            raise ConfigError("--output is for the proof of one entry", "Name it: --entry N.")
        _print_log(found, console)
        return
    if output is None:
        raise ConfigError("the proof needs a file", "Name it with --output.")
    verify_output_file(output)
    content = prove_entry(found, entry)
    write_text(output, content.decode("utf-8"))
    _print_proof(spec, content, console)
    console.print(f"proof: {output}", highlight=False, markup=False, soft_wrap=True)


def _print_log(log: LogFile, console: Console) -> None:
    table = Table(title=Text(f"{log}, {len(log.entries):,} entries".removeprefix("the ")))
    table.add_column("", justify="right")
    for heading in ("time", "event", "what"):
        table.add_column(heading, overflow="fold")
    for entry in log.entries:
        table.add_row(str(entry.number), entry.time, Text(entry.record.event), Text(_what(entry)))
    console.print(table)
    signed = log.heads[-1].size if log.heads else 0
    console.print(
        f"The first {signed:,} are under the signature of {log.organisation}.", highlight=False
    )


def _print_proof(spec: StudySpec, content: bytes, console: Console) -> None:
    proven = verify_entry(spec, content)
    head, entry = proven.checkpoint, proven.entry
    console.print(
        f"Entry {entry.number} of the log of the {head.role} node {head.organisation} "
        f"({entry.time}): {entry.record.event}, {_what(entry)}. "
        f"Under its signature of {head.time}, with {head.size:,} entries.",
        highlight=False,
        markup=False,
    )


def _what(entry: Entry) -> str:
    """A record's fields in one line; digests shortened, signatures left out."""
    fields = entry.record.model_dump(mode="json", exclude={"event", "signature"})
    if isinstance(inner := fields.get("checkpoint"), dict):
        fields = {name: inner[name] for name in ("organisation", "role", "size", "root")}
    return ", ".join(f"{name} {_short(value)}" for name, value in fields.items())


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}…" if isinstance(value, str) and len(text) == 64 else text
