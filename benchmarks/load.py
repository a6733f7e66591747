"""Many parties at once: what receiving their blocks costs one compute node.

A real compute node in a process of its own, and for every party a client with its own certificate,
TLS connection and freshly encrypted block. All upload at the same moment. Figures: seconds, bytes,
the node's largest memory, its threads and open files at the peak, and how many tries were repeated.
"""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from mpcseg.audit.log import AuditLog
from mpcseg.ckks.encryption import BlockEncryptor
from mpcseg.errors import MpcsegError
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.key import run_key
from mpcseg.nodes.planning import StudyPlan, study_plan
from mpcseg.nodes.progress import SilentProgress
from mpcseg.nodes.roles import Role
from mpcseg.nodes.study_rules import block_names, manifest_of
from mpcseg.study.agreement import freeze, write_agreement
from mpcseg.study.identity import Identity, new_identity
from mpcseg.study.spec import NO_NOISE_SENTENCE, StudySpec
from mpcseg.wire.blobs import header_of
from mpcseg.wire.names import BlobKind, BlobName

N_PARTIES, N_FEATURES = 50, 6
_SAMPLE_SECONDS = 0.05
_PATIENCE = 300.0


def run(console: Console, repeats: int) -> dict[str, Any]:
    """Measure uploads of 50 parties at once, and of one for comparison."""
    del repeats
    figures = {str(n): measure(n, N_FEATURES) for n in (1, N_PARTIES)}
    for n_parties, found in figures.items():
        console.print(f"{n_parties} parties: {json.dumps(found)}", soft_wrap=True)
    return figures


def measure(n_parties: int, n_features: int) -> dict[str, float]:
    """Have so many parties upload one block each at once.

    Returns:
        seconds and megabytes of the uploads; idle_rss_mb and peak_rss_mb of the compute node;
        open_files and threads at the most; retries of all clients together.
    """
    with tempfile.TemporaryDirectory(prefix="mpcseg-load-") as scratch:
        folder = Path(scratch)
        study = _Study(folder, n_parties, n_features)
        with study.compute_node() as (process, address), study.clients(address) as clients:
            blobs = study.encrypted(clients)
            with _Watch(process.pid) as watch:
                began = time.monotonic()
                with ThreadPoolExecutor(n_parties) as pool:
                    list(pool.map(study.upload, clients, blobs))
                seconds = time.monotonic() - began
            # All but the last: nothing is to be computed here.
            for client, own in list(zip(clients, blobs, strict=True))[1:]:
                client.commit(1, manifest_of([header_of(n, b).sha256 for n, b in own.items()]))
            clients[0].abort(MpcsegError("the measurement is over"))
            process.wait(60)
        n_bytes = sum(len(blob) for own in blobs for blob in own.values())
        return {
            "seconds": round(seconds, 2),
            "mb": round(n_bytes / 1e6, 1),
            "mb_per_second": round(n_bytes / 1e6 / seconds, 1),
            **watch.figures(),
            "retries": float(study.retries.count),
        }


class _Retries(SilentProgress):
    """Counts what clients had to try again."""

    def __init__(self) -> None:
        self.count = 0

    def event(self, kind: str, **facts: object) -> None:  # noqa: ARG002
        self.count += kind == "retry"


class _Study:
    """A study of many parties with a small block each."""

    def __init__(self, folder: Path, n_parties: int, n_features: int) -> None:
        self._folder = folder
        self.retries = _Retries()
        names = [f"party-{number:02d}" for number in range(n_parties)]
        self._own = {
            name: new_identity(name, folder / name, ("127.0.0.1",))
            for name in ("hub", "keeper", *names)
        }
        self._parties = [self._own[name] for name in names]
        self.spec = _spec(self._own, names, n_features)
        agreement = freeze(self.spec)
        for identity in self._own.values():
            agreement = agreement.signed_by(identity)
        self._agreement = folder / "load.agreement"
        write_agreement(agreement, self._agreement)
        self.plan: StudyPlan = study_plan(self.spec)

    @contextmanager
    def compute_node(self) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """The node as its operator starts it; its address."""
        command = [sys.executable, "-m", "mpcseg", "compute", "serve", "--progress", "json"]
        command += ["--study", str(self._agreement), "--identity", str(self._folder / "hub")]
        command += ["--listen", "127.0.0.1:0", "--storage", str(self._folder / "storage")]
        command += ["--workers", "1"]
        errors = self._folder / "errors"
        with (
            errors.open("w") as said,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as process,
        ):
            try:
                yield process, _address(process, errors)
            finally:
                process.kill()

    @contextmanager
    def clients(self, address: str) -> Iterator[list[ComputeClient]]:
        """The parties, joined; the key node has published its keys."""
        key = threading.Thread(target=self._key_node, args=(address,), daemon=True)
        key.start()
        clients = [self._client(own, address) for own in self._parties]
        for client in clients:
            client.join()
        yield clients
        for client in clients:
            client.disconnect()
            client.log.close()
        key.join(60)

    def _key_node(self, address: str) -> None:
        output = self._folder / "key"
        try:
            run_key(self.spec, self._own["keeper"], address, output, SilentProgress())
        except MpcsegError:
            return  # the study is aborted when the measurement is over

    def _client(self, own: Identity, address: str) -> ComputeClient:
        return ComputeClient(
            self.spec,
            own,
            Role.PARTY,
            address,
            parameter_digest=self.plan.digest,
            log=AuditLog(self._folder / own.name, self.spec, own, "party"),
            progress=self.retries,
            patience=_PATIENCE,
        )

    def encrypted(self, clients: list[ComputeClient]) -> list[dict[BlobName, bytes]]:
        """Every party's block, encrypted afresh."""
        parameters = self.plan.circuit.parameters
        encryptor = BlockEncryptor(parameters, self._public_key(clients[0]))
        rng = np.random.default_rng(0)
        names = block_names(1, self.spec.n_features)
        blocks = (rng.uniform(-0.5, 0.5, (len(names), parameters.slots)) for _ in clients)
        return [dict(zip(names, encryptor.encrypt(b), strict=True)) for b in blocks]

    def _public_key(self, client: ComputeClient) -> bytes:
        deadline = time.monotonic() + 60
        while True:
            try:
                return client.download(BlobName(BlobKind.PUBLIC_KEY), 1 << 24)
            except MpcsegError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def upload(self, client: ComputeClient, blobs: dict[BlobName, bytes]) -> None:
        """Send a party's block, one blob after the other."""
        for name, blob in blobs.items():
            client.upload(name, blob)


def _spec(own: dict[str, Identity], names: list[str], n_features: int) -> StudySpec:
    feature = {"transform": "identity", "lower": -1, "upper": 1}
    return StudySpec.model_validate(
        {
            "name": "load",
            "purpose": "A measurement.",
            "legal_basis": "None: there are no records.",
            "n_clusters": 2,
            "n_rounds": 1,
            "features": [{"name": f"x{number}", **feature} for number in range(n_features)],
            "privacy": {"epsilon": "none", "acknowledgement": NO_NOISE_SENTENCE},
            "release": {"report": names[:1], "centroids": names[:1]},
            "retention_days": 1.0,
            "expires": datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=2),
            "compute": own["hub"].card.model_dump(),
            "key": own["keeper"].card.model_dump(),
            "parties": [own[name].card.model_dump() for name in names],
        }
    )


def _address(process: subprocess.Popen[str], errors: Path) -> str:
    for line in process.stdout or ():
        report = json.loads(line)
        if report.get("kind") == "listening":
            # Nobody reads on, so that what follows must not fill the pipe.
            threading.Thread(target=_drain, args=(process,), daemon=True).start()
            return str(report["facts"]["address"])
    raise RuntimeError(f"the compute node ended: {errors.read_text()}")


def _drain(process: subprocess.Popen[str]) -> None:
    for _ in process.stdout or ():
        pass


class _Watch:
    """Looks at a process from outside, often."""

    def __init__(self, pid: int) -> None:
        self._proc = Path("/proc") / str(pid)
        self._idle = self._status("VmRSS")
        self._files = self._threads = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Watch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._peak = self._status("VmHWM")
        self._done.set()
        self._thread.join()

    def figures(self) -> dict[str, float]:
        return {
            "idle_rss_mb": self._idle,
            "peak_rss_mb": self._peak,
            "open_files": float(self._files),
            "threads": float(self._threads),
        }

    def _look(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._files = max(self._files, len(list((self._proc / "fd").iterdir())))
            self._threads = max(self._threads, len(list((self._proc / "task").iterdir())))

    def _status(self, field: str) -> float:
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith(f"{field}:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
        raise OSError(f"no {field}")
