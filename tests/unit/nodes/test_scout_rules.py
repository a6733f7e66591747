"""Rounds that choose a number of clusters: the compute node runs what was agreed, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mpcseg.errors import ProtocolError
from mpcseg.nodes.study_rules import RoundOrder
from mpcseg.reference.rounds import RoundKind, ScoutTerms
from mpcseg.wire.names import BlobKind, BlobName
from tests.unit.nodes.study import ADMISSION, BLUNT, KEY, MOMENTS, RULES, SHARP

RULES_OF_A_RANGE = replace(RULES, n_clusters=4, scouting=ScoutTerms((3, 4), 2, 1))
SIGNS: dict[RoundKind, tuple[int, ...]] = {"scout": BLUNT, "appraisal": SHARP}


def whole_study(chosen: int = 3) -> list[RoundOrder]:
    orders = [ADMISSION, MOMENTS]
    for kind, k in RULES_OF_A_RANGE.scouting.sequence:
        orders.append(RoundOrder(kind, len(orders), SIGNS[kind], k))
    for kind in ("lloyd", "lloyd", "profile"):
        orders.append(RoundOrder(kind, len(orders), SHARP, chosen))
    return orders


@pytest.mark.parametrize("chosen", [3, 4])
def test_the_agreed_rounds_are_run(chosen: int) -> None:
    orders = whole_study(chosen)
    for at, order in enumerate(orders):
        RULES_OF_A_RANGE.verify_next(orders[:at], order)
    assert len(orders) == RULES_OF_A_RANGE.most_rounds


@pytest.mark.parametrize(
    ("at", "changes", "message"),
    [
        (2, {"kind": "appraisal", "sign": SHARP}, "in the agreed order"),
        (2, {"kind": "lloyd"}, "in the agreed order"),
        (2, {"n_clusters": 4}, "in the agreed order"),
        (2, {"n_clusters": 0}, "in the agreed order"),
        (2, {"sign": SHARP}, "not planned"),
        (3, {"sign": BLUNT}, "not planned"),
        (3, {"kind": "scout", "sign": BLUNT}, "in the agreed order"),
        (10, {"kind": "scout", "sign": BLUNT}, "in the agreed order"),
        (10, {"n_clusters": 5}, "not agreed"),
        (10, {"n_clusters": 0}, "not agreed"),
        (11, {"n_clusters": 4}, "changed after it was chosen"),
        (12, {"n_clusters": 4}, "changed after it was chosen"),
        (12, {"kind": "lloyd"}, "more than the agreed 2"),
        (1, {"n_clusters": 3}, "takes no"),
    ],
)
def test_another_round_than_the_agreed_one_is_refused(
    at: int, changes: dict[str, object], message: str
) -> None:
    orders = whole_study()
    with pytest.raises(ProtocolError, match=message):
        RULES_OF_A_RANGE.verify_next(orders[:at], replace(orders[at], **changes))


@pytest.mark.parametrize(
    "order",
    [
        RoundOrder("scout", 2, BLUNT, 3),
        RoundOrder("lloyd", 2, SHARP, 3),
        RoundOrder("scout", 2, BLUNT),
    ],
)
def test_where_the_number_is_fixed_none_is_tried_out(order: RoundOrder) -> None:
    with pytest.raises(ProtocolError, match="fixes the number"):
        RULES.verify_next([ADMISSION, MOMENTS], order)


def test_a_round_takes_the_hyperplanes_of_its_own_clusters() -> None:
    orders = whole_study()
    of_three, of_four = orders[2], orders[6]
    assert (RULES_OF_A_RANGE.n_pairs(of_three), RULES_OF_A_RANGE.n_pairs(of_four)) == (3, 6)
    RULES_OF_A_RANGE.verify_place(KEY, BlobName(BlobKind.HYPERPLANE, 6, 5, 0), of_four)
    with pytest.raises(ProtocolError, match="no place in this study now"):
        RULES_OF_A_RANGE.verify_place(KEY, BlobName(BlobKind.HYPERPLANE, 2, 3, 0), of_three)
