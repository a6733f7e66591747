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

from mpcseg.audit.records import Record
from mpcseg.ckks.circuit import Circuit, SealBackend
from mpcseg.ckks.encryption import BlockEncryptor, feature_shape
from mpcseg.ckks.key_material import load_public_key, load_relinearisation_keys
from mpcseg.ckks.secret import SecretKey
from mpcseg.ckks.serialization import unpack_ciphertext
from mpcseg.ckks.slot_sum import SEED_BYTES, SlotSumMask
from mpcseg.errors import ProtocolError
from mpcseg.nodes import key
from mpcseg.nodes.planning import StudyPlan, study_plan
from mpcseg.nodes.progress import SilentProgress
from mpcseg.nodes.session import StudySession
from mpcseg.privacy.ledger import Ledger
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

    on_decryption: Callable[[float], None]

    def decrypt_slot_sum(self, blob: bytes, own_std: float = 0.0) -> float:
        self.on_decryption(own_std)
        return super().decrypt_slot_sum(blob, own_std)


@dataclass
class ComputeNode:
    """A compute node that has released one and the same sum as often as it says, and a log."""

    plan: StudyPlan
    release: bytes
    count: int = N_SUMS
    records: list[Record | str] = field(default_factory=list)

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

    def wait_for(self, kind: type[ReleaseReady], _: object) -> ReleaseReady:
        return kind(0, self.count)

    def download(self, name: BlobName, limit: int) -> bytes:
        assert len(self.release) <= limit, name
        return self.release


@dataclass
class KeyNode:
    """A key node in one round of a study."""

    spec: StudySpec
    secret: WatchedKey
    compute: ComputeNode
    output: Path

    @property
    def ledger_file(self) -> Path:
        return self.output / key.LEDGER_FILE

    def run_round(self) -> np.ndarray:
        ledger = Ledger(self.compute.plan.noise, self.spec.digest)
        session = cast("StudySession", self.compute)
        node = key._KeyNode(
            self.spec, OWN, session, self.secret, ledger, self.output, SilentProgress()
        )
        return node.run_round(ADMISSION)


@pytest.fixture(scope="module")
def material() -> tuple[WatchedKey, bytes]:
    """A secret key and a released sum over one record of 0.5."""
    parameters = study_plan(study_spec()).circuit.parameters
    secret = WatchedKey(parameters)
    public = secret.public_key()
    keys = load_relinearisation_keys(parameters, secret.relinearisation_keys())
    rows = np.zeros((2, parameters.slots))
    rows[:, 0] = 0.5
    feature = next(iter(BlockEncryptor(parameters, public).encrypt(rows)))
    loaded = unpack_ciphertext(parameters, feature, feature_shape(parameters))
    total = Circuit(parameters, SealBackend(parameters, keys)).lower(loaded, 0)
    mask = SlotSumMask(parameters, load_public_key(parameters, public))
    return secret, mask.release(total, os.urandom(SEED_BYTES), "sum")


@pytest.fixture
def make_node(material: tuple[WatchedKey, bytes], tmp_path: Path) -> Callable[..., KeyNode]:
    def make(**terms: Any) -> KeyNode:
        spec = study_spec(**terms)
        secret, release = material
        secret.on_decryption = lambda _: None
        return KeyNode(spec, secret, ComputeNode(study_plan(spec), release), tmp_path)

    return make


def test_the_key_node_draws_noise_of_its_own_where_the_plan_says_so(
    make_node: Callable[..., KeyNode],
) -> None:
    for recipient, draws in (("alder", False), ("hub", True)):
        node = make_node(release={"report": (recipient,)})
        asked: list[float] = []
        node.secret.on_decryption = asked.append
        sums = node.run_round()
        stds = node.compute.plan.noise.stds("admission")
        assert asked == (stds if draws else 0 * stds).ravel().tolist()
        assert sums.shape == stds.shape
        # The same release each time: without noise of its own, the same sum but for its error.
        assert (len(set(sums.ravel().tolist())) > 1) is draws
        assert draws or sums == pytest.approx(0.5, abs=1e-3)


def test_the_key_nodes_ledger_is_on_disk_before_anything_is_decrypted(
    make_node: Callable[..., KeyNode],
) -> None:
    node = make_node()
    found: list[list[str]] = []

    def look(_: float) -> None:
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

    def look(_: float) -> None:
        seen.append([getattr(record, "event", str(record)) for record in node.compute.records])

    node.secret.on_decryption = look
    node.run_round()
    noted = ["received", "decrypted"] * N_SUMS
    assert seen == [["round_opened", "checkpoints", "round_spent", *noted]] * N_SUMS


@pytest.mark.parametrize("count", [N_SUMS - 1, N_SUMS + 1])
def test_another_number_of_releases_than_asked_for_is_not_decrypted(
    make_node: Callable[..., KeyNode], count: int
) -> None:
    node = make_node()
    node.compute.count = count
    decrypted: list[float] = []
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
        key._show(record, 1.0, release, Screen())
    first, second = shown
    assert first["sizes"] == [300, 290, 280]
    assert second["sizes"] == []  # the larger one alone would be a subtraction
    for facts in shown:
        assert [note for note in facts["notes"] if "2 segments not shown" in note] == facts["notes"]
