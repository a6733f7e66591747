"""A log that takes no more entries: nothing is sent, taken or decrypted without one.

`PRAGMA query_only` is what a disk that has become read-only looks like to SQLite; a full disk as
the operating system shows it is in tests/unit/audit/test_log.py.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mpcseg.audit.log import AuditLog, log_path
from mpcseg.audit.log_file import read_log
from mpcseg.audit.records import Received, RefusalsOmitted, Refused, Sent
from mpcseg.errors import MpcsegError, NodeUnreachableError, ProtocolError, StorageError
from mpcseg.nodes import calls, hosted, key, party
from mpcseg.nodes.key import run_key
from mpcseg.nodes.party import run_party
from mpcseg.reference.rounds import ADMISSION_RULES
from mpcseg.wire.names import BlobKind, BlobName
from tests.nodes.material import Material
from tests.nodes.studies import Nodes, Recorder, audit_folder, connect, make_cohort, start_compute
from tests.nodes.test_lying_compute_node import Liar, serving
from tests.nodes.test_lying_to_the_key_node import LiarToKeyNode

PUBLIC_KEY = BlobName(BlobKind.PUBLIC_KEY)


class Brittle(AuditLog):
    """A log whose disk becomes read-only when a test says so.

    Attributes:
        last: the latest one that was made.
        most: entries that it takes; None for all.
    """

    last: Brittle
    most: int | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        type(self).last = self

    def append(self, *records: Any) -> None:
        if self.most is not None and len(self) + len(records) > self.most:
            self.stop()
        super().append(*records)

    def stop(self) -> None:
        self._database.execute("PRAGMA query_only = ON")


@pytest.fixture
def brittle(monkeypatch: pytest.MonkeyPatch) -> type[Brittle]:
    for module in (hosted, key, party):
        monkeypatch.setattr(module, "AuditLog", Brittle)
    monkeypatch.setattr(Brittle, "most", None)
    return Brittle


def test_the_compute_node_takes_and_gives_nothing_without_an_entry(
    nodes: Nodes,
    material: Material,
    storage: Path,
    brittle: type[Brittle],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The key node here never says what became of its key; nobody need wait for it.
    monkeypatch.setattr(hosted, "_LINGER_SECONDS", 0.1)
    running, address = start_compute(nodes, storage, patience=600.0)
    log = brittle.last
    with (
        connect(nodes, nodes.key, address) as keeper,
        connect(nodes, nodes.parties[0], address) as alder,
    ):
        keeper.join()
        alder.join()
        material.publish(keeper)
        first, *others = material.block.items()
        alder.upload(*first)
        log.stop()
        with pytest.raises((StorageError, NodeUnreachableError)):
            alder.upload(*others[0])
        # It takes and gives nothing more, and stops; what it has stays.
        with pytest.raises((StorageError, NodeUnreachableError)):
            alder.download(PUBLIC_KEY, len(material.public_key))
    error = running.error()
    assert isinstance(error, StorageError)
    assert "start this node again" in error.hint
    kept = [path.name for path in (storage / "study" / "party-party-a").iterdir()]
    assert kept == [str(first[0])]
    whole = read_log(log_path(storage, nodes.spec, "compute", "hub"), nodes.spec)
    records = [entry.record for entry in whole.entries]
    came = [r.blob for r in records if isinstance(r, Received) and r.peer == "party-a"]
    assert came == kept
    assert not [r for r in records if isinstance(r, Sent)]
    again, address = start_compute(nodes, storage, patience=600.0)
    assert again.progress.facts("resumed") == [{"phase": "blocks"}]
    with connect(nodes, nodes.parties[0], address) as alder:
        alder.join(resumes=True)
        for blob in material.block.items():
            alder.upload(*blob)
        alder.abort(MpcsegError("enough"))
    assert again.error().code == "study_aborted"
    assert not (storage / "study").exists()


@pytest.mark.parametrize("most", [1, 3, 4, 6])
def test_a_party_sends_nothing_without_an_entry(
    nodes: Nodes, material: Material, brittle: type[Brittle], monkeypatch: Any, most: int
) -> None:
    monkeypatch.setattr(brittle, "most", most)
    liar, folder = Liar(material.attestation(), material.public_key), audit_folder()
    with serving(nodes, liar) as address, pytest.raises(StorageError, match="cannot be written"):
        run_party(
            nodes.spec,
            nodes.parties[0],
            address,
            make_cohort(40, 2, 0),
            Recorder(),
            audit=folder,
            patience=2.0,
        )
    assert liar.aborts == []  # it may come back
    log = read_log(log_path(folder, nodes.spec, "party", "party-a"), nodes.spec)
    assert len(log.entries) == most
    # Began, the key's signature and the key; what comes after them is sent one by one.
    assert (
        liar.n_uploads == sum(isinstance(e.record, Sent) for e in log.entries) == max(most - 3, 0)
    )


class Stopping(LiarToKeyNode):
    """The key node's disk becomes read-only while it fetches what it is to decrypt."""

    def Download(self, request: Any, context: Any) -> Any:  # noqa: N802
        Brittle.last.stop()
        yield from super().Download(request, context)


def test_the_key_node_decrypts_nothing_without_an_entry(
    nodes: Nodes, tmp_path: Path, brittle: type[Brittle]
) -> None:
    assert brittle is Brittle
    liar, progress = Stopping(len(nodes.parties) * len(ADMISSION_RULES), b"short"), Recorder()
    with serving(nodes, liar) as address, pytest.raises(StorageError, match="cannot be written"):
        run_key(nodes.spec, nodes.key, address, tmp_path, progress, patience=5.0)
    assert liar.n_downloads > 0
    assert liar.aborts == []  # it may come back
    assert (
        "this process's copy of the secret key is destroyed, the sealed stays" in progress.messages
    )


def test_a_flood_of_refused_calls_fills_no_log(
    nodes: Nodes, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MOST_REFUSALS", 5)
    running, address = start_compute(nodes, storage, patience=600.0)
    with connect(nodes, nodes.parties[0], address) as alder:
        alder.join()
        for index in range(12):
            with pytest.raises(ProtocolError, match="may not open rounds"):
                alder.open_round("admission", index, ())
        alder.abort(MpcsegError("enough"))
    running.error()
    log = read_log(log_path(storage, nodes.spec, "compute", "hub"), nodes.spec)
    assert log.heads[-1].size == len(log.entries)
    found = [e.record for e in log.entries if isinstance(e.record, Refused | RefusalsOmitted)]
    assert Counter(map(type, found)) == {Refused: 5, RefusalsOmitted: 1}
    assert isinstance(found[-1], RefusalsOmitted)
    assert {(r.peer, r.call, r.code) for r in found if isinstance(r, Refused)} == {
        ("party-a", "OpenRound", ProtocolError.code)
    }
