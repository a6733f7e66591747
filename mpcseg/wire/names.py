"""What roles and blobs are called, the same on every node."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """What a node does in a study; an organisation may hold several roles."""

    COMPUTE = "compute"
    KEY = "key"
    PARTY = "party"


class BlobKind(Enum):
    """What a blob holds; the value is its word in file names, summaries and messages."""

    PUBLIC_KEY = "public-key"
    RELINEARISATION_KEYS = "relinearisation-keys"
    FEATURE = "feature"
    PRESENCE = "presence"
    COLUMN = "column"
    HYPERPLANE = "hyperplane"
    RELEASE = "release"
    RESULT = "result"


@dataclass(frozen=True, order=True)
class BlobName:
    """Names one blob of a node.

    Attributes:
        kind: what it holds.
        round: the round, for hyperplanes and releases; 0 otherwise.
        item: block (feature, presence, column), pair of clusters (hyperplane), place in the round's
            sums (release) or recipient (result, by place in the agreement); 0 for keys.
        part: feature or column's vector of the block, or entry of the hyperplane; 0 otherwise.
    """

    kind: BlobKind
    round: int = 0
    item: int = 0
    part: int = 0

    def __str__(self) -> str:
        """Say the name as messages and file names do, for example "feature-00002-005"."""
        places = (f"{getattr(self, place):0{_DIGITS[place]}d}" for place in _PLACES[self.kind])
        return "-".join((self.kind.value, *places))


_DIGITS = {"round": 4, "item": 5, "part": 3}
_TEXT = re.compile(r"([a-z-]+?)((?:-\d+)*)")
_PLACES: dict[BlobKind, tuple[str, ...]] = {
    BlobKind.PUBLIC_KEY: (),
    BlobKind.RELINEARISATION_KEYS: (),
    BlobKind.FEATURE: ("item", "part"),
    BlobKind.PRESENCE: ("item",),
    BlobKind.COLUMN: ("item", "part"),
    BlobKind.HYPERPLANE: ("round", "item", "part"),
    BlobKind.RELEASE: ("round", "item"),
    BlobKind.RESULT: ("item",),
}


def parse_name(text: str) -> BlobName:
    """The name that `BlobName` says as this text.

    Raises:
        ValueError: none does.
    """
    match = _TEXT.fullmatch(text)
    kind = BlobKind(match[1]) if match else None
    numbers = [int(number) for number in match[2].split("-")[1:]] if match else []
    if kind is None or len(numbers) != len(_PLACES[kind]):
        raise ValueError("not the name of a blob")
    name = BlobName(kind, **dict(zip(_PLACES[kind], numbers, strict=True)))
    if str(name) != text:
        raise ValueError("not the name of a blob")
    return name


@dataclass(frozen=True)
class BlobHeader:
    """What is announced before a blob's first byte.

    Attributes:
        name: which blob.
        length: bytes that will follow.
        sha256: digest of all of them, 32 bytes.
    """

    name: BlobName
    length: int
    sha256: bytes


@dataclass(frozen=True)
class Chunk:
    """A piece of a blob and where in the blob it stands."""

    offset: int
    data: bytes
