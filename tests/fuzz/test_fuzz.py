"""A bounded run of the fuzz targets, the same each time; `make fuzz` is the long one."""

from __future__ import annotations

import random
import time

import pytest

from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import TARGETS

_SLOWEST = 5.0
"""Seconds that no input may take, also on a machine that is busy with other tests."""


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_parser_takes_good_inputs_and_refuses_bad_ones_in_words(target: Target) -> None:
    seeds = target.seeds()
    assert all(target.run(seed) for seed in seeds)
    kept = [path.read_bytes() for path in target.corpus()]
    for data in kept:
        target.run(data)
    source = random.Random(target.name)
    refused = 0
    for _ in range(target.tries):
        data = source.choice([*seeds, *seeds, *kept])
        for _ in range(source.choice((1, 1, 2, 3))):
            data = source.choice(target.mutators)(source, data)[: target.longest]
        began = time.monotonic()
        refused += not target.run(data)
        assert time.monotonic() - began < _SLOWEST, data[:200]
    # The mutations must reach the checks, or this shows nothing.
    assert refused > target.tries // 20 or not target.refuses


def test_every_kept_input_belongs_to_a_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} <= set(TARGETS)
