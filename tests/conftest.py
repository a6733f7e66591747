"""For every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Where these are set, pytest works out the whole difference of two values that should be equal:
# of two ciphertexts, for longer than any time limit. The beginning is enough, as everywhere else.
for name in ("CI", "BUILD_NUMBER"):
    os.environ.pop(name, None)

# How long an example takes says more about what else the machine does.
settings.register_profile("mpcseg", deadline=None)
settings.load_profile("mpcseg")

# Files that take half a minute and more, the longest first: begun last, one of them would run alone
# at the end, with nothing left for the other process.
LONGEST = (
    "docs/test_readme.py",
    "adversarial/test_exposure.py",
    "nodes/test_ends.py",
    "demo/test_processes.py",
    "nodes/test_restarts.py",
    "nodes/test_study.py",
    "docs/test_kits.py",
    "nodes/test_processes.py",
    "unit/engine/test_split_invariance.py",
    "nodes/test_choice.py",
    "nodes/test_key_recovery.py",
    "nodes/test_follow_up.py",
    "unit/engine/test_noise.py",
    "adversarial/test_real_view.py",
    "nodes/test_renewals.py",
)
_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the order within a file stays."""
    places = {_HERE / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))
