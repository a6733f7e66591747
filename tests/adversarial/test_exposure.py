"""Nothing in the clear where it must not be; and what is leaked on purpose is found.

Two whole runs of what `mpcseg audit exposure` does, with the product's own commands as processes.
In the first, a key node that is otherwise the product's own tells the test every number that it
decrypts and every hyperplane that it encrypts, with all digits: those are searched for as well.
What is looked for *is* found where it belongs, so that a search that finds nothing would fail. In
the second, nodes leak.

Not looked for are numbers of few digits (that there are 80 records could be a coincidence
anywhere) and numbers in disguise: encrypted, or multiplied by something.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mpcseg.cli.app import app
from mpcseg.errors import ExposureError, MpcsegError
from mpcseg.nodes.progress import SilentProgress
from mpcseg.verification.exposure import places
from mpcseg.verification.exposure.canaries import (
    RESULT,
    canary_tables,
    record_patterns,
    rounded_record_patterns,
)
from mpcseg.verification.exposure.canary_study import CanaryStudy
from mpcseg.verification.exposure.patterns import Pattern, is_canary, patterns_of
from mpcseg.verification.exposure.places import places_of
from mpcseg.verification.exposure.report import Report
from mpcseg.verification.exposure.run import search_study
from mpcseg.verification.exposure.search import Search
from tests.adversarial import talking_key
from tests.adversarial.table import show

pytestmark = [pytest.mark.processes, pytest.mark.timeout(900)]

TABLES = canary_tables(40, 1)
SCRIPTS = Path(__file__).parent


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for gigabytes, which pytest would keep."""
    made = tmp_path / "run"
    made.mkdir(mode=0o700)
    yield made
    shutil.rmtree(made)


def script(name: str, argument: object) -> list[str]:
    """A program of the tests; -P, so that it imports nothing that lies beside it."""
    return [sys.executable, "-P", str(SCRIPTS / name), str(argument)]


def record(party: str, row: int) -> float:
    return float(TABLES.parties[party].values[row, 1])


def run(
    folder: Path,
    programs: Mapping[str, Sequence[str]],
    told: Path | None = None,
    without: Sequence[str] = (),
) -> Report:
    study = CanaryStudy(folder, TABLES, 0, programs)
    began = time.monotonic()
    study.run(SilentProgress())
    more: list[Pattern] = []
    if told is not None:
        values = [v for line in talking_key.told(told) for v in line if is_canary(v)]
        more = patterns_of(RESULT, np.array([values]))
    assert len(study.memory["hub"]) == 4
    assert all(len(copies) >= 2 for copies in study.memory["hub"].values())
    assert study.crashed is not None
    assert "Segmentation fault" in (study.logs / places.CRASH_LOG).read_text()
    summary = json.loads(study.workspace.compute.summary.read_text())
    assert summary["worker_restarts"] == 1
    seconds = time.monotonic() - began
    return search_study(
        study, folder, TABLES.parties, seconds, SilentProgress(), more=more, without=without
    )


def test_where_numbers_are_in_a_study_and_where_not(tmp_path: Path, folder: Path) -> None:
    told = tmp_path / "told-by-the-key-node"
    report = run(folder, {"notary": script("talking_key.py", told)}, told)
    assert [outcome.found for outcome in report.outcomes] == [()] * len(report.outcomes)
    report.verify()
    of = {outcome.place: outcome for outcome in report.outcomes}
    # What belongs there is found: some of the last sums and hyperplanes at least, and every
    # number of a party's records, original and scaled, and every identifier.
    assert of[places.KEY_MEMORY].allowed > 4
    assert of["alder's memory"].allowed >= 160
    assert of["birch's memory"].allowed >= 160
    assert all(outcome.control for outcome in report.outcomes)
    assert all(outcome.n_bytes for outcome in report.outcomes)
    assert of[places.INSIDE].n_bytes > 20e6, "keys, blocks, hyperplanes and sums"
    assert of[places.OUTSIDE].n_bytes > 2 * of[places.INSIDE].n_bytes, "both ends, TLS on top"
    n_values = sum(map(len, talking_key.told(told)))
    show(
        f"exposure: {n_values} sums and hyperplanes, 320 record values",
        "none",
        f"none where it must not be, in {report.n_bytes / 1e6:,.0f} MB",
    )


def test_every_leak_of_a_run_is_found_by_its_name(folder: Path) -> None:
    hub = {"memory": record("alder", 3), "file": record("alder", 4)}
    alder = {"version": record("alder", 5)}
    birch = {"stderr": record("birch", 6), "field": record("birch", 7)}
    leaks = {"hub": hub, "notary": {}, "alder": alder, "birch": birch}
    report = run(
        folder,
        {name: script("leaky.py", json.dumps(ways)) for name, ways in leaks.items()},
        without=[places.CRASH, places.KEY_MEMORY, "alder's memory", "birch's memory"],
    )
    found = {
        (outcome.place, e.pattern.kind + e.pattern.item, e.pattern.form)
        for outcome in report.outcomes
        for e in outcome.found
    }
    expected = {
        (places.COMPUTE_MEMORY, "alder's record[3, 1]", "double, little-endian"),
        (places.COMPUTE_DISK, "alder's record[4, 1]", "text"),
        (places.INSIDE, "alder's record[5, 1]", "base64 of double, little-endian"),
        (places.LOGS, "birch's record[6, 1]", "rounded text"),
        (places.INSIDE, "birch's record[7, 1]", "double, little-endian"),
    }
    assert expected <= found
    centroids = {what for place, what, _ in found if place == places.INSIDE and RESULT in what}
    assert len(centroids) == 4, "two centroids of two features"
    # Nothing else is accused, and nothing is seen outside TLS.
    leaked = {what for _, what, _ in found if RESULT not in what}
    assert leaked == {what for _, what, _ in expected}
    assert not [place for place, _, _ in found if place == places.OUTSIDE]
    with pytest.raises(ExposureError, match=r"wires, inside TLS: .* stands in .*") as raised:
        report.verify()
    shown = f"{raised.value.message} {json.dumps(report.document())}"
    assert not [v for ways in leaks.values() for v in ways.values() if f"{v:.3f}"[:-1] in shown]


def test_a_record_in_a_hint_to_the_others_is_found(folder: Path) -> None:
    leak = script("leaky.py", json.dumps({"hint": record("alder", 8)}))
    study = CanaryStudy(folder, TABLES, 0, {"alder": leak})
    with pytest.raises(MpcsegError, match="a record cannot be used"):
        study.run(SilentProgress())
    search = Search(record_patterns(TABLES.parties), rounded_record_patterns(TABLES.parties))
    searched = {p.name: p for p in places_of(study, folder)}
    for name in (places.INSIDE, places.LOGS):
        found = search.place(searched[name], SilentProgress()).found
        assert {e.pattern.kind + e.pattern.item for e in found} == {"alder's record[8, 1]"}, name
        assert {e.pattern.form for e in found} >= {"base64 of text"}
    assert not search.place(searched[places.OUTSIDE], SilentProgress()).found


def test_a_folder_that_is_there_is_not_written_into(tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["audit", "exposure", "--keep", str(tmp_path)])
    assert isinstance(told.exception, MpcsegError)
    assert told.exception.message == f"{tmp_path} cannot be made: File exists"
