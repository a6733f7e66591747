"""What a refusal quotes of another node's words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mpcseg.errors import ParameterMismatchError, ProtocolError
from mpcseg.nodes.study_rules import RoundOrder
from tests.unit.nodes.study import CLAIMS, RULES, A, lloyd


@pytest.mark.parametrize("version", ["\x1b[2J", "1\n", "\x9b31m", "x" * 65, "\u202e1"])
def test_a_version_that_cannot_be_shown_is_refused_and_not_quoted(version: str) -> None:
    claims = replace(CLAIMS, software_version=version, protocol_version=99)
    with pytest.raises(ProtocolError, match="software version") as caught:
        RULES.verify_claims(A, claims)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 100


def test_an_ordinary_version_is_quoted() -> None:
    claims = replace(CLAIMS, software_version="9.8.7rc1+local", protocol_version=99)
    with pytest.raises(ParameterMismatchError, match=r"mpcseg 9\.8\.7rc1\+local"):
        RULES.verify_claims(A, claims)


@pytest.mark.parametrize("count", [9, 100_000])
def test_a_sign_of_endless_stages_is_not_quoted(count: int) -> None:
    order: RoundOrder = lloyd(2, (2**32 - 1,) * count)
    with pytest.raises(ProtocolError, match=f"of {count} stages") as caught:
        RULES.verify_next([], order)
    assert len(caught.value.message) < 200
