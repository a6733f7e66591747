"""What a follow-up may start from: released centroids of the agreed study, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpcseg.errors import AgreementError, MpcsegError, SealError
from mpcseg.study.follows import verify_follows
from mpcseg.study.former import open_former
from mpcseg.study.results import open_results, seal_results
from mpcseg.study.spec import FeatureSpec, StudySpec
from tests.made_up import FEATURES, SPENT, agreed, finished
from tests.organisations import identity

# The key node's organisation may have been given the centroids.
RELEASE = {"report": ["alder"], "centroids": ["keeper"]}


def former_spec(**overrides: Any) -> StudySpec:
    return agreed(4, release=overrides.pop("release", RELEASE), **overrides)


FORMER = former_spec()


def following(of: StudySpec = FORMER, **overrides: Any) -> StudySpec:
    fields = {"name": "summer", "former": of.digest, "release": RELEASE, **overrides}
    return agreed(fields.pop("n_clusters", 4), **fields)


def sealed(former: StudySpec = FORMER, sizes: tuple[float, ...] = (900, 500, 15, 300)) -> bytes:
    return seal_results(former, identity("keeper"), finished(sizes), SPENT)["keeper"]


def test_it_starts_from_what_was_released_rounded_by_number_without_hidden_segments() -> None:
    """Segments of 15 and 300 customers are hidden: they leave nothing to start from."""
    result = finished((900, 500, 15, 300))
    file = sealed()
    start = open_former(following(), identity("keeper"), FORMER, file)
    opened = open_results(FORMER, identity("keeper"), file).centroids
    assert opened is not None
    assert opened.suppressed == 2
    assert start.centers.tolist() == [list(row) for row in opened.centers_scaled]
    raw = result.cluster_centers[:2]
    assert np.abs(start.centers - raw).max() < 1e-3
    assert not np.isin(start.centers, raw).any()  # three digits of them, not all
    assert start.study_digest == FORMER.digest
    assert "centers" not in repr(start)


OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "clusters": ({"n_clusters": 5}, "it looks for 5 segments, not 4"),
    "features": ({"features": FEATURES[::-1]}, "other features, or in another order"),
    "bounds": (
        {"features": (FEATURES[0], FeatureSpec(name="money", lower=0, upper=10_000))},
        "feature 'money' has another transform or other bounds",
    ),
    "radius": ({"radius": 1.0}, "it has another radius"),
    "another study": ({"former": "ab" * 32}, "follows another study than 'trial'"),
    "a study of its own": ({"former": None}, "follows no other study"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_study_that_differs_is_refused_in_plain_words(what: str) -> None:
    fields, said = OTHERS[what]
    spec = following(**fields)
    for refuse in (
        lambda: verify_follows(spec, FORMER),
        lambda: open_former(spec, identity("keeper"), FORMER, sealed()),
    ):
        with pytest.raises(AgreementError, match=said):
            refuse()


def test_who_was_given_no_centroids_cannot_lead_a_follow_up() -> None:
    former = former_spec(release={"report": ["alder", "keeper"], "centroids": ["alder"]})
    with pytest.raises(AgreementError, match="gave 'keeper' no centroids"):
        open_former(following(former), identity("keeper"), former, sealed(former))


def test_a_study_without_a_shown_segment_leaves_nothing_to_start_from() -> None:
    few = sealed(sizes=(5, 4, 3, 2))
    with pytest.raises(AgreementError, match="has released no centroids"):
        open_former(following(), identity("keeper"), FORMER, few)


@pytest.mark.parametrize("how", ["changed", "another recipient", "another study", "another maker"])
def test_results_that_the_former_key_node_has_not_made_for_us_are_refused(how: str) -> None:
    whole = sealed()
    file = {
        "changed": whole[:-1] + bytes([whole[-1] ^ 1]),
        "another recipient": seal_results(
            FORMER, identity("keeper"), finished((9, 9, 9, 9)), SPENT
        )["alder"],
        "another study": sealed(former_spec(name="winter")),
        "another maker": sealed(),
    }[how]
    own = identity("keeper", 1) if how == "another maker" else identity("keeper")
    with pytest.raises(SealError):
        open_former(following(), own, FORMER, file)


def test_following_a_study_is_agreed_on() -> None:
    assert following().digest != following(former=None).digest
    for wrong in ("spring", "AB" * 32, "ab" * 31, 7):
        with pytest.raises((ValueError, MpcsegError)):
            following(former=wrong)
