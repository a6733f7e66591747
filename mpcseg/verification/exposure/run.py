"""``mpcseg audit exposure``: a study on canary records, and the search of all that it leaves."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console

from mpcseg.demo.customers import Customers
from mpcseg.errors import ConfigError, ExposureError, OutputError
from mpcseg.nodes.progress import Progress
from mpcseg.report.files import verify_output_file, write_json
from mpcseg.report.progress import RichProgress
from mpcseg.verification.exposure.canaries import (
    canary_tables,
    exact_centers,
    record_patterns,
    result_patterns,
    rounded_record_patterns,
)
from mpcseg.verification.exposure.canary_study import ROUND, CanaryStudy
from mpcseg.verification.exposure.patterns import Pattern
from mpcseg.verification.exposure.places import KEY_MEMORY, Place, places_of
from mpcseg.verification.exposure.report import Report, show_report
from mpcseg.verification.exposure.scanner import opened
from mpcseg.verification.exposure.search import Controls, Outcome, Search, total_megabytes

_BEGINNING = (
    "Two parties with canary records, a compute node with a worker and a key node run a study "
    "without noise, which small tables would end early; a line between them records all bytes."
)


def run_exposure(
    records: int, seed: int, keep: Path | None, document: Path | None, console: Console
) -> None:
    """Run a study on canary records, search everything, and show what was found.

    Args:
        records: of each party.
        seed: of the records and the starting centroids.
        keep: new folder for everything that is searched; None for a temporary one.
        document: where the findings are written as JSON, if anywhere.
        console: where to show it.

    Raises:
        ExposureError: a value stands where it must not, or a control was not found.
        OutputError: there is no room for the copies.
        MpcsegError: a node failed.
    """
    if document is not None:
        verify_output_file(document)
    tables = canary_tables(records, seed)
    with _folder(keep) as folder, RichProgress(console) as progress:
        console.print(_BEGINNING, highlight=False)
        study = CanaryStudy(folder, tables, seed)
        began = time.monotonic()
        try:
            study.run(progress)
        except OSError as error:
            raise OutputError(
                f"what is to be searched cannot be copied to {folder}: {error.strerror}",
                "Some GB are needed; name another place with --keep, or with TMPDIR.",
            ) from None
        report = search_study(study, folder, tables.parties, time.monotonic() - began, progress)
    show_report(console, report)
    if document is not None:
        write_json(document, report.document())
    report.verify()


def search_study(
    study: CanaryStudy,
    folder: Path,
    parties: Mapping[str, Customers],
    study_seconds: float,
    progress: Progress,
    *,
    more: Sequence[Pattern] = (),
    without: Sequence[str] = (),
) -> Report:
    """Search everything that a study has left, with all controls.

    Args:
        study: which has been run.
        folder: of the whole run.
        parties: the canary records.
        study_seconds: how long the study took.
        progress: shown the search.
        more: what else to look for.
        without: names of places that are not searched.

    Raises:
        ExposureError: a control was not found.
    """
    began = time.monotonic()
    places = [place for place in places_of(study, folder) if place.name not in without]
    progress.start("search", total_megabytes(places), "MB")
    patterns = [*record_patterns(parties), *_decrypted(study), *more]
    search = Search(patterns, rounded_record_patterns(parties))
    owner = next(iter(parties))
    controls = Controls(folder / "controls", owner, parties[owner])
    outcomes = [_searched(search, controls, place, parties, progress) for place in places]
    progress.finish("search")
    if study.crashed is None:
        raise ExposureError(
            "no worker of the compute node was there to be made to crash",
            "This is a defect of the tool; the rest of its results still holds.",
        )
    n_values = len({(pattern.kind, pattern.item) for pattern in patterns})
    return Report(tuple(outcomes), n_values, len(patterns), study_seconds, time.monotonic() - began)


def _decrypted(study: CanaryStudy) -> list[Pattern]:
    """Every form of the centroids, which the key node's memory has with all their digits.

    Raises:
        ExposureError: they are not found there.
    """
    centers = [
        exact_centers(memory, study.rounded_centers())
        for path in study.memory[study.workspace.key.name][ROUND]
        for memory in _mapped(path)
    ]
    found = np.vstack(centers)
    if not len(found):
        raise ExposureError(
            f"{KEY_MEMORY}: its centroids are not found there, where they must be",
            "This is a defect of the search; do not rely on its other results.",
        )
    return result_patterns(found)


def _mapped(path: Path) -> Iterator[memoryview]:
    with opened(path) as memory:
        yield memory


def _searched(
    search: Search,
    controls: Controls,
    place: Place,
    parties: Mapping[str, Customers],
    progress: Progress,
) -> Outcome:
    """Search a place, and what must be found there or in a copy of it."""
    outcome = search.place(place, progress)
    owner = place.may_hold[0] if place.name.endswith("'s memory") and place.may_hold else ""
    if owner in parties:
        # Every number, original and scaled; identifiers come on top.
        missing = outcome.allowed < 2 * parties[owner].values.size
        control = f"found: {outcome.allowed} of its own values, which belong there"
    elif owner:
        control = f"found: {outcome.allowed} centroids' values, which belong there"
        missing = not outcome.allowed
    elif "memory" in place.name:
        return dataclasses.replace(outcome, control=controls.verify_memory(search, place))
    else:
        return dataclasses.replace(outcome, control=controls.verify_place(search, place))
    if missing:
        raise ExposureError(
            f"{place.name}: values that belong there are not found",
            "This is a defect of the search; do not rely on its other results.",
        )
    return dataclasses.replace(outcome, control=control)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """The working folder, for this user alone; a temporary one is removed."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="mpcseg-exposure-") as folder:
            yield Path(folder)
        return
    try:
        keep.mkdir(mode=0o700)
    except OSError as error:
        raise ConfigError(
            f"{keep} cannot be made: {error.strerror}", "Name a folder that does not exist yet."
        ) from None
    yield keep
