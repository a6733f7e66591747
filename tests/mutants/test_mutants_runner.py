"""What counts as caught, on a project of two functions whose tests are known to the letter."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import mutants
from tools.mutation import Copy, Outcome, load_mutants

ROOT = Path(__file__).parents[2]

TILL = """\
def change(paid, price):
    if paid < price:
        raise ValueError("too little")
    return paid - price


def receipt(paid):
    return f"paid: {paid}"
"""

TESTS = """\
import subprocess
import sys

import pytest

from shop.till import change


@pytest.fixture
def ten():
    return change(10, 0)


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="too little"):
        change(1, 2)


def test_change_in_a_process_of_its_own():
    code = "from shop.till import change; print(change(5, 2))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/")
    assert done.stdout == "3\\n", done.stderr


def test_with_a_fixture(ten):
    assert ten == 10


def test_that_fails():
    assert change(1, 1) == 1


@pytest.mark.skip(reason="not here")
def test_that_is_skipped():
    assert change(1, 1) == 1
"""

CHECK = '    if paid < price:\n        raise ValueError("too little")\n'
REFUSED = "test_too_little_is_refused"
PROCESS = "test_change_in_a_process_of_its_own"

# Name; old and new text; the test that is named; what must come out.
CASES: dict[str, tuple[str, str, str, Outcome]] = {
    "a-check-removed": (CHECK, "", REFUSED, Outcome.CAUGHT),
    "b-seen-in-a-child-process": ("paid - price", "price - 2", PROCESS, Outcome.CAUGHT),
    # As long as the one before, and of the same second: bytecode must not be mixed up.
    "c-equal-for-the-test": ("paid - price", "price + 1", PROCESS, Outcome.SURVIVED),
    "d-not-tested": ("paid: ", "paid ", REFUSED, Outcome.SURVIVED),
    "e-no-import": ("def change", "import nothing\n\n\ndef change", REFUSED, Outcome.BROKEN),
    "f-no-such-name": (CHECK, "    nothing()\n", REFUSED, Outcome.BROKEN),
    "g-fixture-fails": ("paid - price", "1 // 0", "test_with_a_fixture", Outcome.BROKEN),
    "h-hangs": (CHECK, "    while True:\n        pass\n", REFUSED, Outcome.TIMED_OUT),
    "i-other-text": ("", "", REFUSED, Outcome.NOT_APPLIED),
    "j-fails-anyway": (CHECK, "", "test_that_fails", Outcome.NOT_PASSING),
    "k-skipped": (CHECK, "", "test_that_is_skipped", Outcome.NOT_PASSING),
    "l-no-such-test": (CHECK, "", "test_gone", Outcome.NOT_PASSING),
}


def patch(name: str) -> str:
    old, new, test, _ = CASES[name]
    before = TILL if old else TILL.replace("paid", "cash")
    after = before.replace(old, new, 1) if old else before.replace("cash", "money")
    diff = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        "a/shop/till.py",
        "b/shop/till.py",
    )
    return f"Something is removed.\nCaught-by: tests/test_till.py::{test}\n\n{''.join(diff)}"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    for folder in ("shop", "tests/mutants"):
        (root / folder).mkdir(parents=True)
    (root / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = "-p pytest_timeout"\ntimeout = 2\n'
    )
    (root / "shop" / "__init__.py").write_text("")
    (root / "shop" / "till.py").write_text(TILL)
    (root / "tests" / "test_till.py").write_text(TESTS)
    for name in CASES:
        (root / "tests" / "mutants" / f"{name}.patch").write_text(patch(name))
    return root


@pytest.fixture(scope="module", autouse=True)
def _few_plugins() -> Iterator[None]:
    """The project needs none but the one for time limits, and starts faster so."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        yield


@pytest.fixture(scope="module")
def rows(shop: Path) -> dict[str, mutants.Row]:
    # In one copy: each patch must leave it as it was.
    return {row.mutant.name: row for row in mutants.check(shop, load_mutants(shop), 1)}


@pytest.mark.parametrize("name", CASES)
def test_only_a_test_that_fails_because_of_the_patch_has_caught_it(
    rows: dict[str, mutants.Row], name: str
) -> None:
    assert rows[name].finding.outcome is CASES[name][3], rows[name].finding


def test_the_checkout_is_not_touched(shop: Path, rows: dict[str, mutants.Row]) -> None:
    assert (shop / "shop" / "till.py").read_text() == TILL


def test_the_exit_status_says_whether_all_are_caught(
    shop: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    caught, missing = ["--only", "a-check-removed"], ["--only", "l-no-such-test"]
    assert mutants.main(caught, shop) == 0
    assert "1 of 1 mutants are caught" in capsys.readouterr().out
    assert mutants.main([*missing, "--jobs", "2"], shop) == 1
    assert "TESTS DO NOT PASS UNCHANGED" in capsys.readouterr().out
    assert mutants.main(["--only", "gone"], shop) == 2
    assert "there is no mutant gone" in capsys.readouterr().err


def test_a_copy_of_this_checkout_is_what_its_processes_import(tmp_path: Path) -> None:
    """In spite of the editable install; making the copy checks it, or raises."""
    Copy(ROOT, tmp_path / "copy", ["mpcseg"])
