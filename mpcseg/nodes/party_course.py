"""How far a party's upload is, so that a stopped party sends what is missing and no more.

What has left the node stands in its audit log. What the log must not hold, the order in which the
records were shuffled into the blocks, stands in a private file beside it until the study is over.
Runs on: party nodes.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints, ValidationError

from mpcseg.audit.records import Began, BlocksCommitted, Entry, KeysVouched, Sent
from mpcseg.ckks.packing import SEED_BYTES, Block
from mpcseg.durable import on_disk, write_private
from mpcseg.errors import ConfigError, DataError, MpcsegError, ProtocolError
from mpcseg.study.card import FROZEN
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire.names import BlobHeader

_DIGITS = 16
_ANEW = "To send the table as it is now, start this node once with --restart."

_Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Kept(BaseModel):
    """The file's content.

    Attributes:
        study: digest of the agreement.
        seed: of the shuffle, secret.
        blocks: keyed digest of the packed records, which says nothing without the seed.
    """

    model_config = FROZEN
    study: _Digest
    seed: _Digest = Field(repr=False)
    blocks: _Digest


class Shuffle:
    """The order of a party's records in its blocks: drawn once, kept until the study is over.

    Args:
        folder: of the party's audit logs.
        spec: the study.
        identity: the party's own.
        anew: draw another order, whatever is kept.

    Attributes:
        seed: secret; `mpcseg.ckks.packing.pack_blocks` makes the order of it.
        is_kept: an earlier process drew it, and its study is not over.

    Raises:
        ConfigError: the file is damaged, or of another study.
    """

    def __init__(self, folder: Path, spec: StudySpec, identity: Identity, *, anew: bool) -> None:
        self._study = spec.digest
        self._path = folder / f"shuffle-{spec.digest[:_DIGITS]}-{identity.name}.json"
        kept = None if anew else self._load()
        self._blocks = kept.blocks if kept else ""
        self.is_kept = kept is not None
        self.seed = bytes.fromhex(kept.seed) if kept else secrets.token_bytes(SEED_BYTES)

    def keep(self, blocks: Sequence[Block]) -> None:
        """Write the order down, before the first blob leaves this node.

        Raises:
            StorageError: it cannot be written.
        """
        self._blocks = self._digest(blocks)
        kept = _Kept(study=self._study, seed=self.seed.hex(), blocks=self._blocks)
        with on_disk(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(self._path, kept.model_dump_json().encode())

    def verify_same(self, blocks: Sequence[Block]) -> None:
        """Check that the records are those whose blocks were sent in part.

        Raises:
            DataError: they are not.
        """
        if not hmac.compare_digest(self._blocks, self._digest(blocks)):
            raise DataError(
                "the table, or what is selected of it, has changed since this party sent a part "
                "of its blocks",
                f"Start this node with the same table again. {_ANEW}",
            )

    @contextmanager
    def until_end(self) -> Iterator[None]:
        """Remove the file at the end of the block, unless this node may come back."""
        try:
            yield
        except KeyboardInterrupt:
            raise
        except MpcsegError as error:
            if error.ends_study:
                self._forget()
            raise
        except BaseException:
            self._forget()
            raise
        self._forget()

    def _forget(self) -> None:
        with on_disk(self._path):
            self._path.unlink(missing_ok=True)

    def _digest(self, blocks: Sequence[Block]) -> str:
        digest = hmac.new(self.seed, self._study.encode(), hashlib.sha256)
        for block in blocks:
            digest.update(repr(block.shape).encode())
            digest.update(block.tobytes())
        return digest.hexdigest()

    def _load(self) -> _Kept | None:
        try:
            with on_disk(self._path):
                content = self._path.read_bytes() if self._path.exists() else None
            kept = None if content is None else _Kept.model_validate_json(content)
            if kept is None or kept.study == self._study:
                return kept
        except ValidationError:
            pass
        raise ConfigError(
            f"the file {self._path} does not hold the order of this study's blocks", _ANEW
        )


@dataclass
class UploadCourse:
    """What the party's log says about the run that a process goes on with.

    Attributes:
        public_key: fingerprint (hex) of the key under which the blobs were encrypted; "" for none.
        sent: what left the node under that key, complete or not.
        committed: the last manifest (hex) that was committed; "" for none.
    """

    public_key: str = ""
    sent: set[tuple[str, int, str]] = field(default_factory=set)
    committed: str = ""

    def use_key(self, public_key: str) -> None:
        """Encrypt under this key from here on; what was sent under another one does not count."""
        if self.public_key != public_key:
            self.public_key, self.committed = public_key, ""
            self.sent.clear()

    def verify_sent(self, header: BlobHeader) -> None:
        """Check that this party has sent what the compute node says that it has of it.

        Raises:
            ProtocolError: it has not, or with other content.
        """
        if key_of(header) not in self.sent:
            raise ProtocolError(
                f"the compute node says that it has {header.name} of this party, which this "
                "party's audit log says was never sent like that",
                "Ask its operator. With --restart, this party sends everything again.",
            )


def key_of(header: BlobHeader) -> tuple[str, int, str]:
    """Return a blob's name, length and digest (hex), as they stand in a log."""
    return str(header.name), header.length, header.sha256.hex()


def course_of(entries: Sequence[Entry]) -> UploadCourse:
    """Return how far the last run in a party's log is.

    Args:
        entries: of the log.
    """
    course = UploadCourse()
    for entry in entries:
        match entry.record:
            case Began(resumes=False):
                course = UploadCourse()
            case KeysVouched(public_key=key):
                course.use_key(key)
            case Sent(blob=blob, n_bytes=n_bytes, sha256=sha256):
                course.sent.add((blob, n_bytes, sha256))
            case BlocksCommitted(manifest=manifest):
                course.committed = manifest
    return course
