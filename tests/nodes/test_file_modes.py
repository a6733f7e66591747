"""Who may read what the compute node keeps, while a study runs."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpcseg.errors import StudyAbortedError
from mpcseg.nodes.watcher import StudyWatcher
from mpcseg.wire.events import AllPartiesReady, KeysReady, ReleaseReady
from tests.nodes.material import make_material
from tests.nodes.studies import Recorder, connect, make_nodes, start_compute


@pytest.fixture(autouse=True)
def _no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


class Walker(threading.Thread):
    """Notes the mode of everything that ever stands in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self._folder = folder
        self._ended = threading.Event()
        self.modes: dict[tuple[str, bool], set[int]] = {}

    def run(self) -> None:
        while not self._ended.wait(0.001):
            for path in (self._folder, *self._folder.rglob("*")):
                try:
                    found = path.lstat()
                except OSError:
                    continue
                place = path.relative_to(self._folder).parts[:2]
                key = ("/".join(place), stat.S_ISDIR(found.st_mode))
                self.modes.setdefault(key, set()).add(stat.S_IMODE(found.st_mode))

    def end(self) -> None:
        self._ended.set()
        self.join()


def test_folders_and_files_of_the_compute_node_are_for_its_owner_only(tmp_path: Path) -> None:
    nodes = make_nodes(n_parties=1)
    material = make_material(nodes)
    storage = tmp_path / "storage"
    running, address = start_compute(nodes, storage)
    walker = Walker(storage)
    walker.start()
    with connect(nodes, nodes.key, address) as key:
        key.join()
        with StudyWatcher(key, Recorder()) as keeper:
            material.publish(key)
            with connect(nodes, nodes.parties[0], address) as party:
                party.join()
                with StudyWatcher(party, Recorder()) as watcher:
                    watcher.wait_for(KeysReady)
                    material.send_block(party)
                    keeper.wait_for(AllPartiesReady)
                    key.open_round("admission", 0, ())
                    keeper.wait_for(ReleaseReady)
                    walker.end()
                    key.abort(StudyAbortedError("enough"))
    assert type(running.error()) is StudyAbortedError
    # Keys, blocks, releases and the engine's own files have all been seen.
    files = {place for place, is_folder in walker.modes if not is_folder}
    files = {place.removesuffix(".new").removesuffix("-journal") for place in files}
    assert files == {
        "lock",
        f"ledger-{nodes.spec.digest[:16]}.json",
        f"audit-{nodes.spec.digest[:16]}-compute-hub.sqlite",
        "study/key-keeper",
        "study/party-party-a",
        "study/releases",
        "study/evidence",
        "study/engine",
    }
    for (place, is_folder), modes in walker.modes.items():
        assert modes == {0o700 if is_folder else 0o600}, place
    # What outlives the study: the ledger and the closing record.
    left = {path.name: stat.S_IMODE(path.stat().st_mode) for path in storage.iterdir()}
    digest = nodes.spec.digest[:16]
    log = f"audit-{digest}-compute-hub.sqlite"
    names = ("lock", log, f"ledger-{digest}.json", f"closing-{digest}.json")
    assert left == dict.fromkeys(names, 0o600)
