"""The tree against RFC 6962's own test vectors, and proofs that must hold or fail."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpcseg.audit.merkle import (
    EMPTY_ROOT,
    Tree,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)
from mpcseg.errors import LogError

# The inputs and roots that implementations of Certificate Transparency are tested with.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def tree(size: int) -> Tree:
    return Tree([leaf_hash(str(number).encode()) for number in range(size)])


def test_roots_are_those_of_certificate_transparency() -> None:
    grown = Tree([leaf_hash(entry) for entry in INPUTS])
    assert [grown.root(size).hex() for size in range(1, 9)] == ROOTS
    assert grown.root(0) == EMPTY_ROOT == hashlib.sha256().digest()


def test_a_known_proof_of_certificate_transparency() -> None:
    grown = Tree([leaf_hash(entry) for entry in INPUTS])
    assert [step.hex() for step in grown.inclusion_proof(5, 8)] == [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [step.hex() for step in grown.consistency_proof(6, 8)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


@given(st.integers(1, 70), st.data())
def test_every_entry_is_proven_and_no_other_in_its_place(size: int, data: st.DataObject) -> None:
    grown = tree(size)
    index = data.draw(st.integers(0, size - 1))
    proof, root = grown.inclusion_proof(index, size), grown.root(size)
    verify_inclusion(leaf_hash(str(index).encode()), index, size, proof, root)
    with pytest.raises(LogError):
        verify_inclusion(leaf_hash(b"other"), index, size, proof, root)
    other = data.draw(
        st.integers(0, size - 1).filter(lambda i: i != index) if size > 1 else st.just(size)
    )
    with pytest.raises(LogError):
        verify_inclusion(leaf_hash(str(index).encode()), other, size, proof, root)
    with pytest.raises(LogError):
        verify_inclusion(leaf_hash(str(index).encode()), index, size, [*proof, root], root)


@given(st.integers(0, 70), st.integers(0, 70))
def test_a_tree_goes_on_from_each_of_its_beginnings(one: int, other: int) -> None:
    old, new = sorted((one, other))
    grown = tree(new)
    proof = grown.consistency_proof(old, new)
    verify_consistency(old, grown.root(old), new, grown.root(new), proof)
    with pytest.raises(LogError):
        verify_consistency(old, leaf_hash(b"other"), new, grown.root(new), proof)
    if old < new:
        with pytest.raises(LogError):
            verify_consistency(new, grown.root(new), old, grown.root(old), proof)
    if 0 < old < new:
        with pytest.raises(LogError):
            verify_consistency(old, grown.root(old), new, grown.root(new), proof[:-1])
        with pytest.raises(LogError):
            verify_consistency(old, grown.root(old), new, grown.root(new), [*proof, proof[0]])


@given(st.integers(2, 40), st.data())
def test_a_rewritten_entry_is_noticed(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size - 1))
    changed = data.draw(st.integers(0, old - 1))
    leaves = [leaf_hash(str(number).encode()) for number in range(size)]
    honest_root = Tree(leaves[:old]).root()
    leaves[changed] = leaf_hash(b"rewritten")
    rewritten = Tree(leaves)
    with pytest.raises(LogError):
        verify_consistency(
            old, honest_root, size, rewritten.root(), rewritten.consistency_proof(old, size)
        )


def test_proofs_of_what_is_not_there_are_refused() -> None:
    for wrong in (lambda t: t.inclusion_proof(5, 5), lambda t: t.consistency_proof(6, 5)):
        with pytest.raises(LogError):
            wrong(tree(5))
    with pytest.raises(LogError):
        tree(5).root(6)
