"""As tests/nodes/test_key_recovery.py, with the key node killed at each of its steps."""

from __future__ import annotations

import pytest

from tests.nodes.dying_key import STEPS
from tests.nodes.test_key_recovery import (  # noqa: F401  collected here once more
    Killed,
    killed,
    test_it_finds_what_a_key_node_finds_that_is_not_killed,
    test_nothing_is_done_twice,
    test_reviewers_find_nothing_wrong_with_it,
    test_started_once_more_when_all_is_done_it_says_the_same,
)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    return killed(tmp_path_factory.mktemp("killed"), tuple(STEPS))
