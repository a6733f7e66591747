"""What an auditor is handed: evidence, seeds and logs, and no record, sum, centroid or secret key.

A whole real study; what its key node decrypted is known to the test, and looked for with the
exposure scan's own search.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpcseg.verification.exposure.canaries import RESULT
from mpcseg.verification.exposure.patterns import Pattern, is_canary, patterns_of
from mpcseg.verification.exposure.scanner import Scanner, files_below
from tests.finished import COHORTS, FinishedStudy, finished_study

KEY = "the secret key"


@pytest.fixture(scope="module")
def study() -> FinishedStudy:
    return finished_study()


@pytest.fixture(scope="module")
def scanner(study: FinishedStudy) -> Scanner:
    values = [value for value in study.known.values if is_canary(value)]
    assert len(values) > 20, "sums of all rounds, and centroids"
    patterns = patterns_of(RESULT, np.array([values]))
    for party, cohort in enumerate(COHORTS):
        patterns += patterns_of(f"a record of party {party}", cohort.records, is_scaled=True)
    assert len(study.known.residues) > 5
    for row, residues in enumerate(study.known.residues):
        patterns.append(Pattern(KEY, f"[{row}]", "residues", residues))
    return Scanner(patterns)


def test_an_auditors_bundle_holds_no_record_no_sum_and_no_secret_key(
    study: FinishedStudy, scanner: Scanner
) -> None:
    bundle = [study.storage, study.left / "audit", study.left / "key"]
    n_bytes = sum(p.stat().st_size for f in bundle for p in files_below(f) if p.is_file())
    assert n_bytes > 10e6, "blocks, keys, hyperplanes, partial sums, releases, logs"
    found = [exposure for folder in bundle for exposure in scanner.in_files(folder)]
    assert [(e.place, e.name) for e in found] == []


def test_each_would_have_been_found(study: FinishedStudy, scanner: Scanner, tmp_path: Path) -> None:
    """So that the search above is known to be able to find something."""
    (tmp_path / "key").write_bytes(study.known.saved_key)
    (tmp_path / "sums.json").write_text(str(study.known.values))
    (tmp_path / "records").write_bytes(b"#" + COHORTS[1].records.tobytes())
    found = {(e.place, e.pattern.kind) for e in scanner.in_files(tmp_path)}
    assert found == {
        ("key", KEY),
        ("sums.json", RESULT),
        ("records", "a record of party 1"),
    }
