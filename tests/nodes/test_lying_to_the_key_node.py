"""A compute node that wants the key node to decrypt something else than the agreed slot sums."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from mpcseg.ckks.encryption import feature_shape
from mpcseg.ckks.parameters import BOTTOM_PRIMES, ParameterSet
from mpcseg.ckks.serialization import ciphertext_bytes, pack_residues
from mpcseg.engine import release_scales
from mpcseg.errors import BlobTooLargeError, MalformedBlobError, MpcsegError, ProtocolError
from mpcseg.nodes.key import run_key
from mpcseg.nodes.key_rounds import LEDGER_FILE
from mpcseg.nodes.planning import plan_of, study_plan
from mpcseg.privacy.ledger import Ledger
from mpcseg.reference.rounds import ADMISSION_RULES
from mpcseg.wire import conversions as convert
from mpcseg.wire.events import AllPartiesReady, KeyAttestation, ReleaseReady
from mpcseg.wire.v1 import closing_pb2, event_pb2, round_pb2
from tests.nodes.studies import Nodes, Recorder
from tests.nodes.test_lying_compute_node import Liar, serving


class LiarToKeyNode(Liar):
    """Takes the key node's keys, says that all parties are ready, and releases what it likes."""

    def __init__(self, n_releases: int, release: bytes) -> None:
        super().__init__(KeyAttestation(b"", b""), release)
        self._n_releases = n_releases
        self._published = threading.Event()
        self._opened = threading.Event()
        self.n_downloads = 0
        self.n_decrypted: list[int] = []

    def PublishKeys(self, request: Any, context: Any) -> round_pb2.PublishKeysReply:  # noqa: N802
        self._published.set()
        return round_pb2.PublishKeysReply(study_digest=self.study)

    def OpenRound(self, request: Any, context: Any) -> round_pb2.OpenRoundReply:  # noqa: N802
        if self._opened.is_set():
            context.abort(grpc.StatusCode.INTERNAL, "what was released was taken for an admission")
        self._opened.set()
        return round_pb2.OpenRoundReply(study_digest=self.study)

    def Watch(self, request: Any, context: Any) -> Iterator[event_pb2.StudyEvent]:  # noqa: N802
        said = (
            (self._published, AllPartiesReady(1)),
            (self._opened, ReleaseReady(0, self._n_releases)),
        )
        for number, (when, event) in enumerate(said, start=1):
            while not when.wait(0.1):
                if not context.is_active():
                    return
            yield convert.event_to_wire(number, event, self.study)
        while context.is_active() and not self.n_decrypted:
            self._committed.wait(0.1)

    def Download(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        self.n_downloads += 1
        yield from super().Download(request, context)

    def ReportDestroyed(self, request: Any, context: Any) -> closing_pb2.ReportDestroyedReply:  # noqa: N802
        self.n_decrypted.append(request.statement.decrypted_values)
        return closing_pb2.ReportDestroyedReply(study_digest=self.study)


def lead(nodes: Nodes, liar: LiarToKeyNode, output: Path) -> MpcsegError:
    """Run the key node to its end against the liar; returns what ended it."""
    with serving(nodes, liar) as address, pytest.raises(MpcsegError) as caught:
        run_key(nodes.spec, nodes.key, address, output, Recorder(), patience=5.0)
    return caught.value


def transparent(parameters: ParameterSet, scale: float) -> bytes:
    """Of the right form; its second polynomial is zero."""
    residues = np.zeros((2, BOTTOM_PRIMES, parameters.poly_modulus_degree), np.uint64)
    residues[0] = 1
    return pack_residues(residues, scale)


def of_half_the_scale(parameters: ParameterSet, scale: float) -> bytes:
    """The sum in it counts twice, and so weighs twice as much against the key node's noise."""
    residues = np.ones((2, BOTTOM_PRIMES, parameters.poly_modulus_degree), np.uint64)
    return pack_residues(residues, scale / 2)


def of_another_level(parameters: ParameterSet, _: float) -> bytes:
    """As long as an uploaded feature, which the compute node might pass on as it is."""
    return bytes(ciphertext_bytes(parameters, feature_shape(parameters)))


@pytest.mark.parametrize("change", [-1, 1])
def test_another_number_of_releases_than_agreed_is_refused_and_nothing_decrypted(
    nodes: Nodes, tmp_path: Path, change: int
) -> None:
    agreed = len(nodes.parties) * len(ADMISSION_RULES)
    liar = LiarToKeyNode(agreed + change, b"")
    assert type(lead(nodes, liar, tmp_path)) is ProtocolError
    assert liar.n_downloads == 0
    assert liar.n_decrypted == [0]
    assert liar.aborts == [ProtocolError.code]
    assert not (tmp_path / LEDGER_FILE).exists()


@pytest.mark.parametrize(
    ("release", "error"),
    [
        (transparent, MalformedBlobError),
        (of_half_the_scale, MalformedBlobError),
        (of_another_level, BlobTooLargeError),
        (lambda *_: b"short", MalformedBlobError),
    ],
    ids=["transparent", "of half the scale", "of another level", "short"],
)
def test_a_release_of_another_form_is_not_decrypted(
    nodes: Nodes,
    tmp_path: Path,
    release: Callable[[ParameterSet, float], bytes],
    error: type[MpcsegError],
) -> None:
    agreed = len(nodes.parties) * len(ADMISSION_RULES)
    spec, parameters = nodes.spec, plan_of(nodes.spec).parameters
    bounds, *_ = release_scales(
        parameters,
        "admission",
        (),
        n_clusters=spec.n_clusters,
        n_features=spec.n_features,
        n_parties=len(spec.parties),
    )
    liar = LiarToKeyNode(agreed, release(parameters, bounds))
    assert type(lead(nodes, liar, tmp_path)) is error
    assert liar.n_decrypted == [0]
    # What might have become known is paid for.
    ledger = Ledger.load(tmp_path / LEDGER_FILE, study_plan(nodes.spec).noise, nodes.spec.digest)
    assert [(entry.kind, entry.index) for entry in ledger.entries] == [("admission", 0)]
