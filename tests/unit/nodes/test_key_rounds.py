"""One round at the key node: what it pays, what it decrypts with which noise, what it shows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from mpcseg.audit.records import Decrypted, Entry, Record, RoundOpened, RoundSpent
from mpcseg.ckks.circuit import Circuit, SealBackend
from mpcseg.ckks.encryption import BlockEncryptor, feature_shape
from mpcseg.ckks.key_material import load_public_key, load_relinearisation_keys
from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.secret import SecretKey
from mpcseg.ckks.serialization import unpack_ciphertext
from mpcseg.ckks.slot_sum import SEED_BYTES, SlotSumMask, own_noise
from mpcseg.engine import release_scales
from mpcseg.errors import ProtocolError
from mpcseg.nodes import key, key_rounds, key_screen
from mpcseg.nodes.key_history import Start, last_run
from mpcseg.nodes.logbook import began
from mpcseg.nodes.planning import StudyPlan, study_plan
from mpcseg.nodes.progress import SilentProgress
from mpcseg.nodes.recovery import RECOVERY_FOLDER, Recovery
from mpcseg.nodes.session import StudySession
from mpcseg.privacy.ledger import Ledger
from mpcseg.study.closing import now
from mpcseg.study.outcome import RoundRecord, RoundRequest
from mpcseg.study.spec import ReleaseTerms, StudySpec
from mpcseg.wire.events import ReleaseReady
from mpcseg.wire.names import BlobName
from tests.organisations import identity, study_spec

OWN = identity("keeper")
ADMISSION = RoundRequest(0, "admission", (), None)
N_SUMS = 6
"""Of an admission round of two parties."""


class WatchedKey(SecretKey):
    """A secret key that tells when it decrypts, and with which noise of its own."""

    on_decryption: Callable[[int], None]

    def decrypt_slot_sum(
        self, blob: bytes, scale: float, noise: int = 0, *, again: bool = False
    ) -> float:
        self.on_decryption(noise)
        return super().decrypt_slot_sum(blob, scale, noise, again=again)


@dataclass
class ComputeNode:
    """A compute node that has released the same three sums for each party, and a log."""

    plan: StudyPlan
    releases: list[bytes]
    count: int = N_SUMS
    records: list[Record | str] = field(default_factory=list)
    orders: int = 0

    @property
    def client(self) -> ComputeNode:
        return self

    @property
    def watcher(self) -> ComputeNode:
        return self

    @property
    def log(self) -> ComputeNode:
        return self

    def append(self, *records: Record) -> None:
        self.records += records

    def exchange_checkpoints(self) -> None:
        self.records.append("checkpoints")

    def open_round(self, *_: object) -> None:
        """Take the order."""
        self.orders += 1

    def wait_for(self, kind: type[ReleaseReady], _: object) -> ReleaseReady:
        return kind(0, self.count)

    def download(self, name: BlobName, limit: int) -> bytes:
        release = self.releases[name.item % len(self.releases)]
        assert len(release) <= limit, name
        return release


@dataclass
class KeyNode:
    """A key node in one round of a study."""

    spec: StudySpec
    secret: WatchedKey
    compute: ComputeNode
    output: Path

    @property
    def ledger_file(self) -> Path:
        return self.output / key_rounds.LEDGER_FILE

    def run_round(self) -> np.ndarray:
        """Run the round as a process would: with what an earlier one has left."""
        plan = self.compute.plan
        ledger = Ledger.load(self.ledger_file, plan.noise, self.spec.digest)
        ledger.run = self.start.run.number
        session = cast("StudySession", self.compute)
        node = key._KeyNode(
            self.spec, OWN, session, self.secret, self.start, ledger, self.output, SilentProgress()
        )
        return node.run_round(ADMISSION)

    @property
    def recovery(self) -> Recovery:
        return Recovery(self.output / RECOVERY_FOLDER, self.spec, OWN, 0)

    @property
    def start(self) -> Start:
        """As the log has it; the folder's secret key is not looked at here."""
        records = [record for record in self.compute.records if not isinstance(record, str)]
        entries = [
            Entry(number=number, study=self.spec.digest, time=now(), record=record)
            for number, record in enumerate([began(self.compute.plan), *records])
        ]
        run = last_run(entries)
        assert run is not None
        return Start(run, self.recovery, resumes=bool(records))


@pytest.fixture(scope="module")
def material() -> tuple[WatchedKey, list[bytes]]:
    """A secret key and a sum over one record of 0.5, released at each scale of an admission."""
    parameters = study_plan(study_spec()).circuit.parameters
    secret = WatchedKey(parameters)
    public = secret.public_key()
    keys = load_relinearisation_keys(parameters, secret.relinearisation_keys())
    rows = np.zeros((2, parameters.slots))
    rows[:, 0] = 0.5
    feature = next(iter(BlockEncryptor(parameters, public).encrypt(rows)))
    loaded = unpack_ciphertext(parameters, feature, feature_shape(parameters))
    circuit = Circuit(parameters, SealBackend(parameters, keys))
    mask = SlotSumMask(parameters, load_public_key(parameters, public))

    def release(scale: float) -> bytes:
        larger = circuit.multiply_scalar(loaded, 1.0, scale / loaded.scale)
        total = circuit.with_scale(circuit.lower(larger, 0), scale)
        return mask.release(total, os.urandom(SEED_BYTES), "sum")

    scales = release_scales(parameters, "admission", (), n_clusters=2, n_features=2, n_parties=1)
    return secret, [release(scale) for scale in scales]


@pytest.fixture
def make_node(material: tuple[WatchedKey, list[bytes]], tmp_path: Path) -> Callable[..., KeyNode]:
    def make(**terms: Any) -> KeyNode:
        spec = study_spec(**terms)
        secret, releases = material
        secret.on_decryption = lambda _: None
        secret.decrypted_values = 0
        return KeyNode(spec, secret, ComputeNode(study_plan(spec), releases), tmp_path)

    return make


def test_the_key_node_draws_noise_of_its_own_where_the_plan_says_so(
    make_node: Callable[..., KeyNode], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    drawn: list[tuple[float, int]] = []

    def listen(parameters: ParameterSet, scale: float, std: float) -> int:
        drawn.append((std, own_noise(parameters, scale, std)))
        return drawn[-1][1]

    monkeypatch.setattr(key_rounds, "own_noise", listen)
    for recipient, draws in (("alder", False), ("hub", True)):
        node = make_node(release={"report": (recipient,)})
        node.output = tmp_path / recipient
        node.output.mkdir()
        added: list[int] = []
        node.secret.on_decryption = added.append
        drawn.clear()
        sums = node.run_round()
        stds = node.compute.plan.noise.stds("admission")
        assert [std for std, _ in drawn] == (stds if draws else 0 * stds).ravel().tolist()
        assert added == [noise for _, noise in drawn]
        assert any(added) is draws
        assert sums.shape == stds.shape
        # The same releases for both parties: without noise of its own, the same sums.
        assert bool((sums[0] == sums[1]).all()) is not draws
        assert draws or sums == pytest.approx(0.5, abs=1e-3)


def test_the_key_nodes_ledger_is_on_disk_before_anything_is_decrypted(
    make_node: Callable[..., KeyNode],
) -> None:
    node = make_node()
    found: list[list[str]] = []

    def look(_: int) -> None:
        entries = (
            json.loads(node.ledger_file.read_text())["entries"]
            if (node.ledger_file.exists())
            else []
        )
        found.append([entry["kind"] for entry in entries])

    node.secret.on_decryption = look
    node.run_round()
    assert found == [["admission"]] * N_SUMS


def test_decryptions_are_on_record_before_they_are_made_and_after_the_compute_node_is_bound(
    make_node: Callable[..., KeyNode],
) -> None:
    node = make_node()
    seen: list[list[str]] = []

    def look(_: int) -> None:
        seen.append([getattr(record, "event", str(record)) for record in node.compute.records])

    node.secret.on_decryption = look
    node.run_round()
    noted = ["received", "decrypted"] * N_SUMS
    assert seen == [["round_opened", "checkpoints", "round_spent", *noted]] * N_SUMS


class Stopped(BaseException):
    """Stands for a process that is killed: nothing catches it."""


def stop(*_: object) -> None:
    raise Stopped


def stop_at_decryptions(compute: ComputeNode, *records: Record) -> None:
    if any(isinstance(record, Decrypted) for record in records):
        raise Stopped
    compute.records += records


def stop_at_the_second(_: int, seen: list[int]) -> None:
    seen.append(0)
    if len(seen) == 2:
        raise Stopped


DEEDS: dict[str, tuple[type[Any], str, Callable[..., None]]] = {
    "ledger": (Ledger, "save", stop),
    "intent": (Recovery, "keep_intent", stop),
    "entries": (ComputeNode, "append", stop_at_decryptions),
    "second sum": (WatchedKey, "on_decryption", stop_at_the_second),
    "sums": (Recovery, "keep_sums", stop),
}
"""Before which of its deeds the first process is killed."""


def killed_at(point: str, node: KeyNode, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Run a round until just before a deed; returns the noise that was drawn for it."""
    drawn: list[int] = []
    seen: list[int] = []

    def listen(parameters: ParameterSet, scale: float, std: float) -> int:
        drawn.append(own_noise(parameters, scale, std))
        return drawn[-1]

    owner, name, deed = DEEDS[point]
    if owner is WatchedKey:
        node.secret.on_decryption = lambda noise: deed(noise, seen)
    with monkeypatch.context() as patched:
        patched.setattr(key_rounds, "own_noise", listen)
        if owner is not WatchedKey:
            patched.setattr(owner, name, deed)
        with pytest.raises(Stopped):
            node.run_round()
    return drawn


@pytest.mark.parametrize("point", DEEDS)
def test_a_round_that_is_taken_up_has_one_draw_one_payment_and_each_entry_once(
    make_node: Callable[..., KeyNode], monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    node = make_node(release={"report": ("hub",)})
    drawn = killed_at(point, node, monkeypatch)
    was_written = point in {"entries", "second sum", "sums"}
    added: list[int] = []
    node.secret.on_decryption = added.append
    node.secret.decrypted_values = node.start.run.n_decrypted  # as in a restored key
    sums = node.run_round()
    assert any(added)
    assert (added == drawn) is was_written
    assert node.secret.decrypted_values == N_SUMS
    assert len(json.loads(node.ledger_file.read_text())["entries"]) == 1
    kinds = [type(record) for record in node.compute.records]
    assert [kinds.count(kind) for kind in (RoundOpened, RoundSpent, Decrypted)] == [1, 1, N_SUMS]
    assert node.recovery.sums(0) == sums.ravel().tolist()
    assert node.compute.orders == 2


def test_other_releases_than_before_are_not_decrypted(
    make_node: Callable[..., KeyNode], monkeypatch: pytest.MonkeyPatch
) -> None:
    node = make_node()
    killed_at("entries", node, monkeypatch)
    node.compute.releases = [*node.compute.releases[1:], node.compute.releases[0]]
    decrypted: list[int] = []
    node.secret.on_decryption = decrypted.append
    with pytest.raises(ProtocolError, match="releases other sums of round 0 than before"):
        node.run_round()
    assert decrypted == []


@pytest.mark.parametrize("count", [N_SUMS - 1, N_SUMS + 1])
def test_another_number_of_releases_than_asked_for_is_not_decrypted(
    make_node: Callable[..., KeyNode], count: int
) -> None:
    node = make_node()
    node.compute.count = count
    decrypted: list[int] = []
    node.secret.on_decryption = decrypted.append
    with pytest.raises(ProtocolError, match=f"has {count} releases; {N_SUMS} were asked for"):
        node.run_round()
    assert decrypted == []
    assert not node.ledger_file.exists()


def test_the_screen_counts_segments_that_the_agreement_hides() -> None:
    shown: list[dict[str, object]] = []

    class Screen(SilentProgress):
        def event(self, kind: str, **facts: object) -> None:
            shown.append(facts)

    release = ReleaseTerms(smallest_segment=20, report=("alder",))
    for sizes in ([300.0, 290.0, 280.0, 30.0, 12.0], [60.0, 8.0]):
        record = RoundRecord(
            2, "lloyd", (7, 7), 0.1, round(sum(sizes)), np.array(sizes), ("cluster 1 was empty",)
        )
        key_screen.show_round(record, 1.0, release, Screen())
    first, second = shown
    assert first["sizes"] == [300, 290, 280]
    assert second["sizes"] == []  # the larger one alone would be a subtraction
    for facts in shown:
        assert [note for note in facts["notes"] if "2 segments not shown" in note] == facts["notes"]
