"""What the key node keeps so that it can be killed and go on (ADR 0017). Runs on: key node.

OUTPUT/recovery holds the secret key, the public keys, and for each round what will be decrypted
with which noise of this node's own, and what came of it. Every file is sealed to this node's own
identity, whose private key its passphrase protects, and signed by it: a card is public, so that
anybody could seal, but nobody else can sign. Study, run and the file's own name are bound in both.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from numpy.typing import NDArray

from mpcseg.durable import on_disk, sync_folder, write_private
from mpcseg.errors import RecoveryError, SealError, SignatureError
from mpcseg.study.card import SIGNATURE_BYTES, verify_signature
from mpcseg.study.identity import Identity
from mpcseg.study.sealing import OVERHEAD_BYTES, seal
from mpcseg.study.spec import StudySpec

RECOVERY_FOLDER = "recovery"

_FORMAT = "mpcseg recovery 1"
_PURPOSE = "recovery"
_INFO = b"mpcseg recovery\0"
_KEY_BYTES, _NONCE_BYTES, _TAG_BYTES = 32, 12, 16
_SEALED_KEY_BYTES = OVERHEAD_BYTES + _KEY_BYTES
_HEADER_LINES = 4

_SECRET_KEY, _PUBLIC_KEY, _RELINEARISATION = "secret-key", "public-key", "relinearisation-keys"
_RESULTS = "results"
_PUT_BACK = (
    "Put back the folder as this node left it. If it is lost, close the study with `mpcseg study "
    "close`: nothing may be decrypted a second time, with other noise."
)


@dataclass(frozen=True)
class Intent:
    """What is about to be decrypted in a round, written before it is.

    Attributes:
        releases: name and SHA-256 (hex) of every released ciphertext, in order.
        noise: this node's own, one integer for each; zeros where it adds none.
    """

    releases: tuple[tuple[str, str], ...]
    noise: tuple[int, ...]


class Recovery:
    """The recovery folder of one run of a study. Key node.

    Args:
        folder: where it is, made when something is kept.
        spec: the study.
        identity: this node's own, which it is sealed to and signed by.
        run: number of the entry that began the run in the node's audit log.
        keeps: False to keep nothing at all.

    Attributes:
        keeps: as given.
    """

    def __init__(
        self, folder: Path, spec: StudySpec, identity: Identity, run: int, *, keeps: bool = True
    ) -> None:
        self._folder = folder
        self._spec = spec
        self._identity = identity
        self._run = run
        self.keeps = keeps

    @property
    def has_key(self) -> bool:
        """Whether a secret key is kept, of whatever study and run."""
        return self._path(_SECRET_KEY).exists()

    # --- keys --------------------------------------------------------------------------------

    def keep_key(
        self, words: NDArray[np.uint32], public_key: bytes, relinearisation_keys: bytes
    ) -> None:
        """Keep the keys; the secret one last, so that where it is the others are.

        Args:
            words: of the secret key, for the caller to overwrite.
            public_key: as it is uploaded.
            relinearisation_keys: likewise.

        Raises:
            StorageError: they cannot be written.
        """
        self._keep(_PUBLIC_KEY, memoryview(public_key))
        self._keep(_RELINEARISATION, memoryview(relinearisation_keys))
        self._keep(_SECRET_KEY, memoryview(words.view(np.uint8).data))

    @contextmanager
    def key_words(self) -> Iterator[NDArray[np.uint32]]:
        """The words of the secret key for the length of a block; overwritten after it.

        Raises:
            RecoveryError: there is none, or it is not this run's.
        """
        content = self._needed(_SECRET_KEY)
        words = np.frombuffer(content, np.uint32)
        try:
            yield words
        finally:
            words[:] = 0

    def public_blobs(self) -> tuple[bytes, bytes]:
        """Public key and relinearisation keys, as they were made; raises `RecoveryError`."""
        return bytes(self._needed(_PUBLIC_KEY)), bytes(self._needed(_RELINEARISATION))

    # --- rounds ------------------------------------------------------------------------------

    def keep_intent(self, index: int, intent: Intent) -> None:
        """Keep what a round will decrypt, before it does; raises `StorageError`."""
        self._keep_document(
            f"round-{index:04d}-intent", {"releases": intent.releases, "noise": intent.noise}
        )

    def intent(self, index: int) -> Intent | None:
        """What a round had set out to decrypt; None where it had not come to that.

        Raises:
            RecoveryError: the file is not this run's.
        """
        document = self._document(f"round-{index:04d}-intent")
        if document is None:
            return None
        return Intent(
            tuple((str(name), str(digest)) for name, digest in document["releases"]),
            tuple(map(int, document["noise"])),
        )

    def keep_sums(self, index: int, sums: Sequence[float]) -> None:
        """Keep what a round decrypted; raises `StorageError`."""
        self._keep_document(f"round-{index:04d}-sums", [float(value).hex() for value in sums])

    def sums(self, index: int) -> list[float] | None:
        """What a round decrypted; None where it did not end. Raises `RecoveryError`."""
        document = self._document(f"round-{index:04d}-sums")
        return None if document is None else [float.fromhex(value) for value in document]

    # --- the end -----------------------------------------------------------------------------

    def keep_results(self, digests: Mapping[str, str]) -> None:
        """Keep which sealed results are to be uploaded: SHA-256 (hex) by recipient.

        From then on nothing needs the secret key. Raises `StorageError`.
        """
        self._keep_document(_RESULTS, dict(digests))

    def results(self) -> dict[str, str] | None:
        """Which sealed results were to be uploaded; None before. Raises `RecoveryError`."""
        document = self._document(_RESULTS)
        return None if document is None else dict(document)

    def destroy_key(self) -> None:
        """Overwrite and remove the secret key, then all the rest but the note of the results.

        Raises:
            StorageError: a file cannot be overwritten or removed.
        """
        self._remove(keep=f"{_RESULTS}.sealed")

    def clear(self) -> None:
        """Remove what is left, and the folder; raises `StorageError`."""
        self._remove(keep="")

    def _remove(self, *, keep: str) -> None:
        if not self._folder.exists():
            return
        with on_disk(self._folder):
            files = sorted(path for path in self._folder.iterdir() if path.name != keep)
            for path in sorted(files, key=lambda path: not path.name.startswith(_SECRET_KEY)):
                _overwrite(path)
                path.unlink()
                sync_folder(self._folder)
            if not keep:
                self._folder.rmdir()

    # --- files -------------------------------------------------------------------------------

    def _keep_document(self, name: str, document: Any) -> None:
        self._keep(name, memoryview(json.dumps(document).encode()))

    def _document(self, name: str) -> Any:
        content = self._read(name)
        return None if content is None else json.loads(content)

    def _keep(self, name: str, content: memoryview) -> None:
        if not self.keeps:
            return
        header = self._header(name)
        key, nonce = ChaCha20Poly1305.generate_key(), os.urandom(_NONCE_BYTES)
        body = seal(self._identity.card, key, _INFO + header) + nonce
        body += ChaCha20Poly1305(key).encrypt(nonce, content, header)
        signature = self._identity.sign(_PURPOSE, header + body)
        with on_disk(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._folder.chmod(0o700)
            write_private(self._path(name), header + signature + body)
            sync_folder(self._folder.parent)

    def _needed(self, name: str) -> bytearray:
        content = self._read(name)
        if content is None:
            raise RecoveryError(f"{self._path(name)} is not there", _PUT_BACK)
        return content

    def _read(self, name: str) -> bytearray | None:
        """A file's content, in a buffer that can be overwritten; None where there is no file.

        1. It says that it is this file, of this run and study, in this version's form.
        2. This node has signed it.
        3. It opens with this node's identity.
        """
        if not self._path(name).exists():
            return None
        path = self._path(name)
        with on_disk(path):
            file = path.read_bytes()
        header = self._header(name)
        self._verify_header(path, file, header)  # 1
        signature, body = _split(file[len(header) :], SIGNATURE_BYTES)
        try:
            verify_signature(self._identity.card, _PURPOSE, header + body, signature)  # 2
            return self._opened(header, body)  # 3
        except (SignatureError, SealError, InvalidTag, ValueError):
            raise RecoveryError(
                f"{path} was changed, or kept by another identity than that of this node",
                _PUT_BACK,
            ) from None

    def _opened(self, header: bytes, body: bytes) -> bytearray:
        sealed_key, rest = _split(body, _SEALED_KEY_BYTES)
        nonce, content = _split(rest, _NONCE_BYTES)
        key = self._identity.open_sealed(sealed_key, _INFO + header)
        opened = bytearray(max(len(content) - _TAG_BYTES, 0))
        ChaCha20Poly1305(key).decrypt_into(nonce, content, header, opened)
        return opened

    def _header(self, name: str) -> bytes:
        """What a file says of itself in the clear, for a plain message to whoever has it."""
        return f"{_FORMAT}\n{self._spec.digest}\n{self._run}\n{name}\n".encode()

    def _verify_header(self, path: Path, file: bytes, header: bytes) -> None:
        if file.startswith(header):
            return
        said, ours = file.split(b"\n", _HEADER_LINES), header.split(b"\n", _HEADER_LINES)
        kinds = ("version of mpcseg, or no recovery file", "study", "run of this study", "file")
        differs = [
            kind for kind, one, other in zip(kinds, said, ours, strict=False) if one != other
        ]
        raise RecoveryError(
            f"{path} is of another {differs[0] if differs else kinds[0]} than this one", _PUT_BACK
        )

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.sealed"


def _split(content: bytes, size: int) -> tuple[bytes, bytes]:
    return content[:size], content[size:]


def _overwrite(path: Path) -> None:
    """Write noise over a file's content, as far as file system and disk write in place."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
