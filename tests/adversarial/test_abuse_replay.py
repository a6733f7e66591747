"""Releases that are too large, and replay, which says so: real ciphertexts, masked as agreed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from mpcseg.ckks.serialization import pack_residues, read_residues
from mpcseg.ckks.slot_sum import SLOT_SUM_SHAPE
from mpcseg.errors import ReplayError
from mpcseg.nodes.progress import SilentProgress
from mpcseg.verification.replay import verify_replay
from tests.adversarial.forged import Forger
from tests.finished import finished_study

LLOYD, ITEM = 2, 0


@pytest.fixture
def forger(tmp_path: Path) -> Forger:
    study = finished_study()
    return Forger(study.spec, study.storage, tmp_path)


def replay(forger: Forger) -> None:
    spec, study, storage = forger.spec, forger.study, forger.storage
    verify_replay(spec, study, storage, SilentProgress(), sample="1", rounds=(LLOYD,))


def doubled(forger: Forger) -> None:
    """Twice the sum, so that noise of the key node's own weighs half as much in it."""
    total = forger.total(forger.sums(LLOYD)[ITEM].partials)
    twice = forger.worker.circuit.add(total, total)
    forger.write_release(LLOYD, ITEM, forger.masked(LLOYD, ITEM, twice))


def at_half_the_scale(forger: Forger) -> None:
    """The same, by what the release says of itself alone."""
    blob = forger.release(LLOYD, ITEM)
    residues, scale = read_residues(forger.parameters, blob, SLOT_SUM_SHAPE)
    forger.write_release(LLOYD, ITEM, pack_residues(residues, scale / 2))


def with_a_block_twice(forger: Forger) -> None:
    partials = forger.sums(LLOYD)[ITEM].partials
    total = forger.total([*partials, partials[0]])
    forger.write_release(LLOYD, ITEM, forger.masked(LLOYD, ITEM, total))


def test_an_unchanged_copy_passes(forger: Forger) -> None:
    replay(forger)


@pytest.mark.parametrize("forge", [doubled, at_half_the_scale, with_a_block_twice])
def test_a_sum_that_is_made_larger_is_found(
    forger: Forger, forge: Callable[[Forger], None]
) -> None:
    forge(forger)
    with pytest.raises(ReplayError, match="round 2: release-0002-00000"):
        replay(forger)
