"""The patches beside this file are in order; `make mutants` shows that the tests notice each."""

from __future__ import annotations

import ast
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tools.mutation import Mutant, MutationError, apply_patch, has_test, load_mutants

ROOT = Path(__file__).parents[2]
MUTANTS = load_mutants(ROOT)
LEAST = 243


def changed(mutant: Mutant, folder: Path) -> dict[str, tuple[str, str]]:
    """Each file that a patch changes, before and after."""
    for name in mutant.files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    apply_patch(mutant.path, folder)
    return {name: ((ROOT / name).read_text(), (folder / name).read_text()) for name in mutant.files}


def test_there_are_enough_of_them_and_no_two_are_alike() -> None:
    assert len(MUTANTS) >= LEAST
    diffs = Counter(mutant.path.read_text().partition("\n--- ")[2] for mutant in MUTANTS)
    assert [diff for diff, count in diffs.items() if count > 1] == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_patch_applies_and_changes_what_the_program_does(mutant: Mutant, tmp_path: Path) -> None:
    for name, (before, after) in changed(mutant, tmp_path).items():
        assert name.startswith("mpcseg/")
        assert ast.dump(ast.parse(before)) != ast.dump(ast.parse(after)), name


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_patch_says_what_it_removes_and_names_tests_that_exist(mutant: Mutant) -> None:
    assert mutant.removes.endswith(".")
    assert [test for test in mutant.tests if not has_test(ROOT, test)] == []


@pytest.mark.parametrize("test", ["tests/gone.py::test_a", f"{__file__}::test_gone", __file__])
def test_a_test_that_does_not_exist_is_noticed(test: str) -> None:
    assert not has_test(ROOT, test)


def test_a_patch_for_another_text_does_not_apply(tmp_path: Path) -> None:
    mutant = MUTANTS[0]
    name = mutant.files[0]
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text("# something else\n")
    with pytest.raises(MutationError, match="patch failed"):
        apply_patch(mutant.path, tmp_path)


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("Caught-by: tests/a.py::test_a\n--- a/x.py\n+++ b/x.py\n", "a sentence"),
        ("A check is removed.\n--- a/x.py\n+++ b/x.py\n", "a line 'Caught-by"),
        ("A check is removed.\nCaught-by: tests/a.py::test_a\n", "a diff"),
    ],
)
def test_a_patch_without_its_head_is_refused(tmp_path: Path, text: str, lacks: str) -> None:
    folder = tmp_path / "tests" / "mutants"
    folder.mkdir(parents=True)
    (folder / "one.patch").write_text(text)
    with pytest.raises(MutationError, match=f"one.patch lacks {lacks}"):
        load_mutants(tmp_path)
