"""Mutants: small patches that remove one protection each, and what the tests make of them.

A patch in tests/mutants begins with a sentence that says what it removes, and with the tests that
must notice (``Caught-by:`` lines); `git apply` skips these lines. It is applied to a temporary copy
of the checkout, never to the checkout itself. Used by tools/mutants.py.
"""

from __future__ import annotations

import ast
import enum
import os
import re
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

PATCHES = Path("tests") / "mutants"

_CAUGHT_BY = "Caught-by:"
_FIRST_LINES = ("--- ", "diff --git ")
_NOT_COPIED = ("__pycache__", ".*", "build", "dist", "*.egg-info")
# A test that ends so was broken by the patch; it has noticed nothing.
_BROKEN = re.compile(
    r"(ImportError|ModuleNotFoundError|NameError|UnboundLocalError|SyntaxError|IndentationError)\b"
    r"|AttributeError: module "
)
_TIMEOUT = re.compile(r"Failed: Timeout \(?>")
_MESSAGE_CHARACTERS = 160


class MutationError(Exception):
    """A patch, or the way in which it is tried, is not in order; says what is wrong."""


@dataclass(frozen=True)
class Mutant:
    """A patch that removes one protection.

    Attributes:
        name: of the patch, without its suffix.
        path: the patch.
        removes: a sentence on what is removed.
        tests: pytest's names of the tests that must notice.
        files: that are changed, from the top of the checkout.
    """

    name: str
    path: Path
    removes: str
    tests: tuple[str, ...]
    files: tuple[str, ...]


def load_mutants(root: Path) -> list[Mutant]:
    """Read all patches of a checkout, by name.

    Raises:
        MutationError: a patch lacks its sentence, its tests or its diff.
    """
    return [_load_mutant(path) for path in sorted((root / PATCHES).glob("*.patch"))]


def _load_mutant(path: Path) -> Mutant:
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith(_FIRST_LINES)), len(lines))
    head = [line.strip() for line in lines[:start]]
    tests = tuple(
        line.removeprefix(_CAUGHT_BY).strip() for line in head if line.startswith(_CAUGHT_BY)
    )
    removes = " ".join(line for line in head if line and not line.startswith(_CAUGHT_BY))
    files = tuple(
        line.removeprefix("+++ b/") for line in lines[start:] if line.startswith("+++ b/")
    )
    for found, what in (
        (removes, "a sentence on what it removes"),
        (tests, f"a line '{_CAUGHT_BY} TEST'"),
        (files, "a diff"),
    ):
        if not found:
            raise MutationError(f"{path.name} lacks {what}")
    return Mutant(path.stem, path, removes, tests, files)


class Outcome(enum.Enum):
    """What running a mutant's tests came to."""

    CAUGHT = "caught"
    SURVIVED = "survived"
    BROKEN = "broken"
    TIMED_OUT = "timed out"
    NOT_APPLIED = "does not apply"
    NOT_PASSING = "tests do not pass unchanged"


@dataclass(frozen=True)
class Finding:
    """An outcome with its evidence.

    Attributes:
        outcome: what the tests came to.
        test: the first one that failed; empty where none did.
        message: the beginning of its message, or why there is no outcome.
    """

    outcome: Outcome
    test: str = ""
    message: str = ""

    def at_second_try(self) -> Finding:
        """The same, with a word that the first try came to something else."""
        return replace(self, message=f"at the second try: {self.message}")


class Copy:
    """A temporary copy of a checkout, in which patches are applied and tests are run.

    Args:
        root: the checkout.
        folder: the copy; made here, and removed by whoever chose it.
        packages: the folders at the top whose modules patches change.

    Raises:
        MutationError: a process would import the packages from somewhere else.
    """

    def __init__(self, root: Path, folder: Path, packages: Sequence[str]) -> None:
        self._folder = folder.resolve()
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copytree(root, self._folder, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        # Before the virtual environment's editable install, also in processes that tests start.
        self._environment = {**os.environ, "PYTHONPATH": str(self._folder)}
        # Bytecode is compared by the source's hash: two patches of one second and of one length
        # would else be taken for each other.
        compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode"]
        subprocess.run([*compiling, "checked-hash", *packages], cwd=self._folder, check=True)
        for package in packages:
            self._verify_imported_from_here(package)

    def _verify_imported_from_here(self, package: str) -> None:
        """Check this for a process, for one that it starts, and for a worker of multiprocessing."""
        shown = subprocess.run(
            [sys.executable, "-c", _WHERE, package],
            cwd="/",
            env=self._environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split("\n")
        expected = str(self._folder / package / "__init__.py")
        if shown[:-1] != [expected] * 3:
            raise MutationError(f"{package} would be imported from {shown}, not from {expected}")

    @contextmanager
    def changed(self, mutant: Mutant) -> Iterator[None]:
        """Apply a patch for the length of the block.

        Raises:
            MutationError: it does not apply, or changes nothing.
        """
        originals = {}
        for name in mutant.files:
            path = self._folder / name
            if not path.is_file():
                raise MutationError(f"there is no file {name}")
            originals[path] = path.read_bytes()
        try:
            # The copy's own, so that nobody's edits meanwhile have a part in it.
            apply_patch(self._folder / PATCHES / mutant.path.name, self._folder)
            if any(path.read_bytes() == content for path, content in originals.items()):
                raise MutationError("a file that it names is the same as before")
            yield
        finally:
            for path, content in originals.items():
                path.write_bytes(content)

    def verdict(self, tests: Sequence[str], seconds: float) -> Finding:
        """Run a mutant's tests up to the first that fails."""
        report = self._run(tests, seconds, "-x")
        if isinstance(report, Finding):
            return report
        status, cases = report
        for case in cases:
            for element in case:
                message = _message(element)
                if element.tag == "failure" and _TIMEOUT.match(message):
                    return Finding(Outcome.TIMED_OUT, _name(case), message)
                if element.tag == "error" or (element.tag == "failure" and _BROKEN.match(message)):
                    return Finding(Outcome.BROKEN, _name(case), message)
                if element.tag == "failure" and status == 1:
                    return Finding(Outcome.CAUGHT, _name(case), message)
        if status == 0:
            return Finding(Outcome.SURVIVED)
        return Finding(Outcome.BROKEN, message=f"pytest ended with the status {status}")

    def not_passing(self, tests: Sequence[str], seconds: float) -> dict[str, str]:
        """Run tests to their end; those that do not pass, each with the reason."""
        report = self._run(tests, seconds)
        if isinstance(report, Finding):
            return dict.fromkeys(tests, report.message)
        status, cases = report
        reasons = {}
        for test in tests:
            own = [case for case in cases if _is_case_of(case, test)]
            bad = [f"{element.tag}: {_message(element)}" for case in own for element in case
                   if element.tag in ("failure", "error", "skipped")]  # fmt: skip
            if bad or not own:
                reasons[test] = bad[0] if bad else f"pytest ended with the status {status}"
        return reasons

    def stop(self) -> None:
        """End the tests that run, and every process that they have started."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _run(
        self, tests: Sequence[str], seconds: float, *options: str
    ) -> tuple[int, list[ET.Element]] | Finding:
        """Pytest's exit status and test cases, or why there are none."""
        report = self._folder.with_suffix(".xml")
        report.unlink(missing_ok=True)
        command = [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
            f"--junitxml={report}", *options, *tests,
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return Finding(Outcome.TIMED_OUT, message=f"no end after {seconds:g} s")
        finally:
            self.stop()
            self._process.wait()
        if not report.is_file():
            return Finding(Outcome.BROKEN, message=f"pytest ended with the status {status}")
        tree = ET.parse(report)  # noqa: S314
        return status, list(tree.iter("testcase"))


def has_test(root: Path, test: str) -> bool:
    """Whether a checkout has a test function of this name; its parameters are not looked at."""
    path, *inner = test.partition("[")[0].split("::")
    if not (root / path).is_file():
        return False
    body = ast.parse((root / path).read_text(encoding="utf-8")).body
    for name in inner:
        found = [node for node in body if isinstance(node, _NAMED) and node.name == name]
        if not found:
            return False
        body = found[0].body
    return bool(inner)


_NAMED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def apply_patch(patch: Path, folder: Path) -> None:
    """Apply a patch to files that stand outside of any repository.

    Raises:
        MutationError: it does not apply.
    """
    applied = subprocess.run(
        ["git", "apply", "--whitespace=nowarn", str(patch.resolve())],
        cwd=folder,
        # Within a repository, git would pass over files that it takes for another folder's.
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.resolve().parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    if applied.returncode != 0:
        raise MutationError(applied.stderr.strip().removeprefix("error: "))


def _message(element: ET.Element) -> str:
    lines = (element.get("message") or "").splitlines()
    return lines[0][:_MESSAGE_CHARACTERS] if lines else ""


def _name(case: ET.Element) -> str:
    return f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name', '')}"


def _is_case_of(case: ET.Element, test: str) -> bool:
    """Whether a test case is the named test, or one of its parameters."""
    path, *inner = test.split("::")
    module = path.removesuffix(".py").replace("/", ".")
    found = f"{case.get('classname')}.{case.get('name')}"
    whole = ".".join([module, *inner])
    return found == whole or (not whole.endswith("]") and found.startswith(f"{whole}["))


_WHERE = """
import importlib, multiprocessing, subprocess, sys

package = sys.argv[1]
show = f"import {package}; print({package}.__file__)"
print(importlib.import_module(package).__file__)
print(subprocess.run([sys.executable, "-c", show], capture_output=True, text=True).stdout.strip())
with multiprocessing.get_context("spawn").Pool(1) as pool:
    print(pool.apply(eval, (f"__import__({package!r}).__file__",)))
"""
