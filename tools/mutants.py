"""Show that the tests notice when a protection is removed (docs/mutants.md).

    python -m tools.mutants                      every patch of tests/mutants
    python -m tools.mutants --only NAME          one of them; may be repeated
    python -m tools.mutants --jobs 2             in two temporary copies at a time

Exit status 0 if every patch applies and the tests that it names fail with it, and pass without.
"""

from __future__ import annotations

import argparse
import queue
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tools.mutation import Copy, Finding, Mutant, MutationError, Outcome, has_test, load_mutants

ROOT = Path(__file__).resolve().parent.parent
LONGEST_SECONDS = 300.0
"""Of one mutant's tests."""


@dataclass(frozen=True)
class Row:
    """One mutant's line of the table."""

    mutant: Mutant
    finding: Finding
    seconds: float


Advance = Callable[[Row | None], None]


class Copies:
    """Several temporary copies of a checkout, each lent to one thread at a time."""

    def __init__(self, root: Path, folder: Path, mutants: Sequence[Mutant], count: int) -> None:
        packages = sorted({file.partition("/")[0] for one in mutants for file in one.files})
        self.all = [Copy(root, folder / f"copy-{i}", packages) for i in range(count)]
        self._free: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for copy in self.all:
            self._free.put(copy)

    def not_passing(self, tests: Sequence[str], seconds: float) -> dict[str, str]:
        """As `Copy.not_passing`, in a copy that is free."""
        copy = self._free.get()
        try:
            return copy.not_passing(tests, seconds)
        finally:
            self._free.put(copy)

    def row(self, mutant: Mutant, not_passing: dict[str, str], seconds: float) -> Row:
        """Try one mutant in a copy that is free.

        Args:
            mutant: the patch.
            not_passing: tests that do not pass without it, with the reasons.
            seconds: after which its tests are given up.
        """
        began = time.monotonic()
        useless = next((test for test in mutant.tests if test in not_passing), None)
        if useless is not None:
            return Row(mutant, Finding(Outcome.NOT_PASSING, useless, not_passing[useless]), 0.0)
        copy = self._free.get()
        try:
            with copy.changed(mutant):
                finding = copy.verdict(mutant.tests, seconds)
                if finding.outcome is not Outcome.CAUGHT:
                    # A test of what is drawn at random misses now and then, and a machine stalls;
                    # what no test looks at goes unnoticed twice.
                    finding = copy.verdict(mutant.tests, seconds).at_second_try()
        except MutationError as error:
            finding = Finding(Outcome.NOT_APPLIED, message=str(error))
        finally:
            self._free.put(copy)
        return Row(mutant, finding, time.monotonic() - began)


def check(
    root: Path,
    mutants: Sequence[Mutant],
    jobs: int,
    advance: Advance = lambda _: None,
    seconds: float = LONGEST_SECONDS,
) -> list[Row]:
    """Run the tests of all mutants without a patch, then those of each with its own.

    Args:
        root: the checkout.
        mutants: to try.
        jobs: temporary copies, each with tests of its own.
        advance: called once for each job, when its tests are run without a patch, with None; and
            for each mutant.
        seconds: after which one mutant's tests are given up.

    Raises:
        MutationError: a copy would not import itself.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mpcseg-mutants-"))
        copies = Copies(root, Path(folder), mutants, jobs)
        pool = stack.enter_context(ThreadPoolExecutor(jobs))
        # Tests of one file stay together: they share what is costly to make.
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        there = [test for test in tests if has_test(root, test)]
        parts = [_part(there, i, jobs) for i in range(jobs)]

        def unchanged(part: Sequence[str]) -> dict[str, str]:
            reasons = copies.not_passing(part, seconds * len(part)) if part else {}
            if reasons:
                reasons = copies.not_passing(sorted(reasons), seconds * len(reasons))
            advance(None)
            return reasons

        def changed(mutant: Mutant) -> Row:
            row = copies.row(mutant, not_passing, seconds)
            advance(row)
            return row

        not_passing = dict.fromkeys(set(tests) - set(there), "there is no such test")
        try:
            for reasons in pool.map(unchanged, parts):
                not_passing |= reasons
            return list(pool.map(changed, mutants))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for copy in copies.all:
                copy.stop()
            raise


def _part(tests: Sequence[str], index: int, count: int) -> list[str]:
    """One job's tests: every ``count``-th file's."""
    files = sorted({test.partition("::")[0] for test in tests})
    own = set(files[index::count])
    return [test for test in tests if test.partition("::")[0] in own]


def table_of(rows: Sequence[Row]) -> Table:
    """The findings for people."""
    table = Table("mutant", "file", "seconds", "caught by", title="What the tests notice")
    for row in rows:
        finding = row.finding
        if finding.outcome is Outcome.CAUGHT:
            verdict = escape(finding.test)
        else:
            verdict = f"[bold red]{finding.outcome.value.upper()}[/] {escape(finding.test)}".strip()
        evidence = f"\n[dim]{escape(finding.message)}[/]" if finding.message else ""
        table.add_row(
            row.mutant.name, "\n".join(row.mutant.files), f"{row.seconds:.1f}", verdict + evidence
        )
    return table


def _chosen(mutants: Sequence[Mutant], names: Sequence[str]) -> list[Mutant]:
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        raise MutationError(f"there is no mutant {', '.join(sorted(unknown))}")
    return [mutant for mutant in mutants if not names or mutant.name in names]


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1, help="temporary copies at a time")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    columns = (TextColumn("mutants"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    try:
        mutants = _chosen(load_mutants(root), chosen.only)
        jobs = max(1, min(chosen.jobs, len(mutants)))
        with Progress(*columns, console=Console(stderr=True)) as progress:
            task = progress.add_task("mutants", total=jobs + len(mutants))

            def advance(row: Row | None) -> None:
                progress.advance(task)
                # A log has no bar; a person at a bar wants to hear of what is wrong at once.
                is_caught = row is None or row.finding.outcome is Outcome.CAUGHT
                if row is not None and not (is_caught and progress.console.is_terminal):
                    progress.console.print(
                        f"{row.mutant.name}: {row.finding.outcome.value} ({row.seconds:.1f} s)"
                    )

            rows = check(root, mutants, jobs, advance)
    except MutationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    # A file or a pipe has no width of its own, and room for the tests' names.
    Console(width=None if sys.stdout.isatty() else 160).print(table_of(rows))
    others = [row for row in rows if row.finding.outcome is not Outcome.CAUGHT]
    # Once more at the end, where a log that keeps only its last lines still shows them.
    for row in others:
        finding = row.finding
        print(
            f"{row.mutant.name}: {finding.outcome.value} {finding.test} {finding.message}".strip()
        )
    n_caught = len(rows) - len(others)
    seconds = time.monotonic() - began
    print(f"{n_caught} of {len(rows)} mutants are caught, in {seconds / 60:.1f} min")
    return int(n_caught < len(rows))


if __name__ == "__main__":
    # As by Ctrl-C: the tests that run are ended, and the copies removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
