"""A round at the key node: asked for, paid for, decrypted once. Runs on: key node.

A round that an earlier process of the node began is taken up: what is there is not sent again, it
is paid for once, and the same ciphertexts are decrypted with the same noise. The order of a round's
steps is that of ADR 0017.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpcseg.audit.records import Record, RoundOpened, RoundSpent
from mpcseg.ckks.assignment import start_level
from mpcseg.ckks.slot_sum import own_noise
from mpcseg.engine import release_scales
from mpcseg.errors import ProtocolError
from mpcseg.nodes import logbook
from mpcseg.nodes.blob_checks import BlobChecks
from mpcseg.nodes.events import tell_budget
from mpcseg.nodes.key_history import Start, blobs_there
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.recovery import Intent
from mpcseg.nodes.session import StudySession
from mpcseg.nodes.upload_line import UploadLine
from mpcseg.privacy.ledger import Ledger, finite
from mpcseg.reference.rounds import sums_shape
from mpcseg.study.identity import Identity
from mpcseg.study.schedule import RoundRequest
from mpcseg.study.spec import StudySpec
from mpcseg.wire.blobs import header_of
from mpcseg.wire.events import ReleaseReady
from mpcseg.wire.names import BlobKind, BlobName

LEDGER_FILE = "ledger.json"

_DOWNLOADS = 4
"""Releases on their way at a time: each costs a round trip."""


class RoundKey(Protocol):
    """What a round needs of the secret key, which this module does not reach."""

    def encrypt_hyperplane(self, hyperplane: NDArray[np.float64], level: int) -> list[bytes]:
        """As `mpcseg.ckks.secret.SecretKey`."""
        ...

    def decrypt_slot_sum(
        self, blob: bytes, scale: float, noise: int = 0, *, again: bool = False
    ) -> float:
        """As `mpcseg.ckks.secret.SecretKey`."""
        ...


class KeyRounds:
    """The key node in its rounds.

    Args:
        spec: the study.
        identity: this node's own.
        session: its place in the study.
        secret_key: of the study.
        start: a new run, or what there is of the one that this process goes on with.
        ledger: of this node.
        output: its folder.
        progress: its own.

    Attributes:
        seconds: by phase.
        seconds_per_round: of the rounds of this process.
    """

    def __init__(  # noqa: PLR0913, PLR0917  it leads a study with all of these
        self,
        spec: StudySpec,
        identity: Identity,
        session: StudySession,
        secret_key: RoundKey,
        start: Start,
        ledger: Ledger,
        output: Path,
        progress: Progress,
    ) -> None:
        self._spec = spec
        self._identity = identity
        self._session = session
        self._secret_key = secret_key
        self._start = start
        self._run = start.run
        self._recovery = start.recovery
        self._ledger = ledger
        self._output = output
        self._progress = progress
        self._checks = BlobChecks(
            session.plan.circuit.parameters,
            spec.most_clusters,
            spec.n_features,
            spec.column_layout,
        )
        self.seconds: dict[str, float] = {}
        self.seconds_per_round: list[float] = []

    def run_round(self, request: RoundRequest) -> NDArray[np.float64]:
        """Have one round computed and return its decrypted sums.

        A round that an earlier process began is taken up: what is there is not sent again, it is
        paid for once, and the same ciphertexts are decrypted with the same noise.

        Returns:
            admission: shape (n_parties, 3); moments: (1 + d + d(d+1)/2,); scout and lloyd:
            (k, d+1); appraisal: (k, 2d+1); profile: (k, 2d+1+c).

        Raises:
            BudgetError: the round would spend more than was agreed; it is not asked for then.
            ProtocolError: the compute node releases another number of sums than was asked for, or
                others than before.
            StorageError: what is about to be decrypted cannot be written down.
        """
        began = time.monotonic()
        index = request.index
        if self._ledger.spending(index) is None:
            self._ledger.verify_affordable(request.kind, request.sign)
        self._open(request)
        ready = self._session.watcher.wait_for(ReleaseReady, lambda event: event.index == index)
        shape = self._shape(request)
        if ready.count != np.prod(shape):
            raise ProtocolError(
                f"round {index} has {ready.count} releases; {np.prod(shape)} were asked for"
            )
        # The compute node's log, with the digest of every release, is here under its signature
        # before anything is decrypted: what it did can be checked, and not be made up afterwards.
        self._session.client.exchange_checkpoints()
        self._pay(request)
        tell_budget(self._progress, self._ledger, self._spec, index)
        names = [BlobName(BlobKind.RELEASE, round=index, item=i) for i in range(ready.count)]
        blobs = self._fetch_all(names)
        noise = self._intended(request, names, blobs).noise
        again = index in self._run.decrypted
        if not again:
            self._note(names, blobs, self._stds(request))
        sums = [
            self._secret_key.decrypt_slot_sum(blob, scale, own, again=again)
            for blob, scale, own in zip(blobs, self._scales(request), noise, strict=True)
        ]
        self._recovery.keep_sums(index, sums)
        self.seconds_per_round.append(time.monotonic() - began)
        return np.array(sums).reshape(shape)

    def _open(self, request: RoundRequest) -> None:
        client, index = self._session.client, request.index
        if index not in self._run.opened:
            opened = RoundOpened(
                round=index, kind=request.kind, sign=request.sign, n_clusters=request.n_clusters
            )
            client.log.append(opened)
        client.open_round(request.kind, index, request.sign, request.n_clusters)
        if request.hyperplanes is not None:
            self._send_hyperplanes(request, request.hyperplanes)

    def _pay(self, request: RoundRequest) -> None:
        """Enter a round into the ledger: on disk before any of it is known."""
        spent = self._ledger.spend(request.kind, request.index, request.sign)
        self._ledger.save(self._output / LEDGER_FILE)
        if request.index not in self._run.spent:
            self._session.client.log.append(RoundSpent(round=request.index, rho=finite(spent.rho)))

    def _intended(self, request: RoundRequest, names: list[BlobName], blobs: list[bytes]) -> Intent:
        """What is decrypted with which noise: drawn and written down once, whatever happens."""
        digests = [hashlib.sha256(blob).hexdigest() for blob in blobs]
        releases = tuple(zip(map(str, names), digests, strict=True))
        intent = self._recovery.intent(request.index)
        if intent is None:
            parameters = self._session.plan.circuit.parameters
            pairs = zip(self._scales(request), self._stds(request), strict=True)
            noise = tuple(own_noise(parameters, scale, std) for scale, std in pairs)
            intent = Intent(releases, noise)
            self._recovery.keep_intent(request.index, intent)
        elif intent.releases != releases:
            raise ProtocolError(
                f"the compute node releases other sums of round {request.index} than before",
                "Nothing of them is decrypted. Ask its operator what happened.",
            )
        return intent

    def _note(self, names: list[BlobName], blobs: list[bytes], stds: list[float]) -> None:
        """Write down what came and what is decrypted now, before it is."""
        compute, records = self._spec.compute.name, list[Record]()
        for name, blob, std in zip(names, blobs, stds, strict=True):
            header = header_of(name, blob)
            records.append(logbook.received(header, blob, compute, "compute"))
            records.append(logbook.decrypted(header, blob, own_noise=std > 0))
        self._session.client.log.append(*records)

    def _send_hyperplanes(self, request: RoundRequest, rows: NDArray[np.float64]) -> None:
        level = start_level(self._clusters(request), request.sign)
        client, there = self._session.client, set[str]()
        if request.index in self._run.opened:
            there = blobs_there(client, self._start)
        with UploadLine(client) as line:
            for pair, row in enumerate(rows):
                names = [
                    BlobName(BlobKind.HYPERPLANE, round=request.index, item=pair, part=part)
                    for part in range(len(row))
                ]
                missing = [part for part, name in enumerate(names) if str(name) not in there]
                if missing:
                    blobs = self._secret_key.encrypt_hyperplane(row, level)
                    for part in missing:
                        line.send(names[part], blobs[part])
                self._session.watcher.verify_running()

    def _fetch_all(self, names: list[BlobName]) -> list[bytes]:
        """Fetch several blobs, a few at a time."""
        line = ThreadPoolExecutor(_DOWNLOADS, "download")
        done = False
        try:
            blobs = list(line.map(self._fetch, names))
            done = True
        finally:
            # Whoever stops this node does not wait for a line that may be down for hours: what is
            # on its way ends with the channel.
            line.shutdown(wait=done, cancel_futures=True)
        return blobs

    def _fetch(self, name: BlobName) -> bytes:
        return self._session.client.download(name, self._checks.limit(name))

    def _scales(self, request: RoundRequest) -> list[float]:
        """The scales that the round's releases must state (section 6)."""
        plan = self._session.plan
        return release_scales(
            plan.circuit.parameters,
            request.kind,
            request.sign,
            n_clusters=self._clusters(request),
            n_features=self._spec.n_features,
            n_parties=len(self._spec.parties),
            radius=plan.noise.radius,
            columns=self._spec.column_layout,
        )

    def _stds(self, request: RoundRequest) -> list[float]:
        """Noise of this node's own on every sum (docs/protocol.md section 7)."""
        noise = self._session.plan.noise
        agreed = noise.stds(request.kind, request.sign, request.n_clusters)
        stds: list[float] = agreed.ravel().tolist()
        return stds if noise.own_draw else [0.0] * len(stds)

    def _shape(self, request: RoundRequest) -> tuple[int, ...]:
        spec = self._spec
        return sums_shape(
            request.kind,
            self._clusters(request),
            spec.n_features,
            len(spec.parties),
            spec.column_layout,
        )

    def _clusters(self, request: RoundRequest) -> int:
        return request.n_clusters or self._spec.most_clusters
