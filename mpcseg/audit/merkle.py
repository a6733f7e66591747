"""The Merkle tree of RFC 6962, and proofs that a log was only ever appended to.

A tree head (size and root) commits to every entry. An inclusion proof shows that an entry is in it,
a consistency proof that a later head goes on from an earlier one. Verification follows RFC 9162,
sections 2.1.3.2 and 2.1.4.2. Why it is ours: docs/adr/0015.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from mpcseg.errors import LogError

HASH_BYTES = 32

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of a tree without leaves."""

_LEAF, _NODE = b"\x00", b"\x01"


def leaf_hash(entry: bytes) -> bytes:
    """Hash of a leaf; told from an inner node's by its first byte."""
    return hashlib.sha256(_LEAF + entry).digest()


def _join(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()


class Tree:
    """A growing tree that remembers its full subtrees, so that a root costs a few hashes.

    Args:
        leaves: leaf hashes to begin with.
    """

    def __init__(self, leaves: Sequence[bytes] = ()) -> None:
        # Row h holds the roots of all full subtrees of 2^h leaves, from left to right.
        self._rows: list[list[bytes]] = [[]]
        for leaf in leaves:
            self.append(leaf)

    def __len__(self) -> int:
        return len(self._rows[0])

    def append(self, leaf: bytes) -> None:
        """Add a leaf hash."""
        height, node = 0, leaf
        while True:
            row = self._rows[height]
            row.append(node)
            if len(row) % 2:
                return
            node = _join(row[-2], row[-1])
            height += 1
            if height == len(self._rows):
                self._rows.append([])

    def root(self, size: int | None = None) -> bytes:
        """Root of the first ``size`` leaves; of all for None."""
        size = len(self) if size is None else size
        self._verify_size(size)
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Show that leaf ``index`` is among the first ``size`` (RFC 6962, section 2.1.1)."""
        self._verify_size(size)
        if not 0 <= index < size:
            raise LogError(f"entry {index} is not among the first {size} of the log")
        return self._path(index, 0, size)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """Show that the first ``old`` leaves begin the first ``new`` (RFC 6962, section 2.1.2)."""
        self._verify_size(new)
        if not 0 <= old <= new:
            raise LogError(f"a log of {new} entries does not go on from one of {old}")
        return self._subproof(old, 0, new, whole=True) if 0 < old < new else []

    def _verify_size(self, size: int) -> None:
        if not 0 <= size <= len(self):
            raise LogError(f"the log has {len(self)} entries, not {size}")

    def _range(self, start: int, end: int) -> bytes:
        """Root of leaves start to end, where start is a multiple of the range's power of two."""
        size = end - start
        height = size.bit_length() - 1
        if size == 1 << height:
            return self._rows[height][start >> height]
        split = _split(size)
        return _join(self._range(start, start + split), self._range(start + split, end))

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _split(end - start)
        if index < middle:
            return [*self._path(index, start, middle), self._range(middle, end)]
        return [*self._path(index, middle, end), self._range(start, middle)]

    def _subproof(self, old: int, start: int, end: int, *, whole: bool) -> list[bytes]:
        if start + old == end:
            return [] if whole else [self._range(start, end)]
        split = _split(end - start)
        if old <= split:
            left = self._subproof(old, start, start + split, whole=whole)
            return [*left, self._range(start + split, end)]
        right = self._subproof(old - split, start + split, end, whole=False)
        return [*right, self._range(start, start + split)]


def _split(size: int) -> int:
    """The largest power of two below a size."""
    return int(1 << (size - 1).bit_length() - 1)


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that a leaf stands at its place in a tree.

    Args:
        leaf: the leaf's hash.
        index: its place.
        size: leaves of the tree.
        proof: as `Tree.inclusion_proof` gives it.
        root: of the tree.

    Raises:
        LogError: it does not, or the proof is none.
    """
    if not 0 <= index < size:
        raise LogError(f"entry {index} is not in a log of {size} entries")
    at, last, node = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise LogError("an inclusion proof is too long")
        if at & 1 or at == last:
            node = _join(step, node)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            node = _join(node, step)
        at, last = at >> 1, last >> 1
    if last or not hmac.compare_digest(node, root):
        raise LogError(f"entry {index} is not proven to be in the log")


def verify_consistency(
    old_size: int, old_root: bytes, new_size: int, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that a tree goes on from an earlier one: nothing was changed or taken out.

    Args:
        old_size: leaves of the earlier tree.
        old_root: its root.
        new_size: leaves of the later tree.
        new_root: its root.
        proof: as `Tree.consistency_proof` gives it.

    Raises:
        LogError: it does not, or the proof is none.
    """
    if not 0 <= old_size <= new_size:
        raise LogError(f"a log of {new_size} entries does not go on from one of {old_size}")
    if old_size in (0, new_size):
        expected = new_root if old_size else EMPTY_ROOT
        if proof or not hmac.compare_digest(old_root, expected):
            raise LogError("two heads of a log contradict each other")
        return
    old, new = _roots(old_size, old_root, new_size, proof)
    is_old = hmac.compare_digest(old, old_root)
    if not is_old or not hmac.compare_digest(new, new_root):
        raise LogError("a log does not go on from its earlier head: it was rewritten")


def _roots(
    old_size: int, old_root: bytes, new_size: int, proof: Sequence[bytes]
) -> tuple[bytes, bytes]:
    """The two roots that a consistency proof speaks of, for 0 < old_size < new_size."""
    path = list(proof)
    if old_size & (old_size - 1) == 0:  # its root is a node of the later tree
        path.insert(0, old_root)
    if not path:
        raise LogError("a consistency proof is missing")
    at, last = old_size - 1, new_size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = path[0]
    for step in path[1:]:
        if last == 0:
            raise LogError("a consistency proof is too long")
        if at & 1 or at == last:
            old, new = _join(step, old), _join(step, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = _join(new, step)
        at, last = at >> 1, last >> 1
    if last:
        raise LogError("a consistency proof is too short")
    return old, new
