"""The draft of a study that follows a former one: the former's terms, but for what is said anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Set as AbstractSet
from typing import Any

from mpcseg.errors import ConfigError
from mpcseg.study.draft import Draft, DraftFeature
from mpcseg.study.spec import StudySpec

# What makes centroids of one study mean the same in the other.
_SAME = {"features": "--feature", "radius": "--radius", "n_clusters": "--clusters"}


def following(draft: Draft, former: StudySpec, given: AbstractSet[str]) -> Draft:
    """A draft that follows a former study.

    Args:
        draft: as options say it.
        former: the study whose centroids it starts from.
        given: names of the fields that options have said. Of the others, those that describe the
            segments, the noise and what is released to whom are the former's.

    Raises:
        ConfigError: an option says something else than the former on what must be the same.
    """
    of_former = _terms(former)
    for field, option in _SAME.items():
        if field == "n_clusters" and draft.n_clusters in former.cluster_numbers:
            continue
        if field in given and getattr(draft, field) != of_former[field]:
            raise ConfigError(
                f"{option} is another one than that of the former study '{former.name}'",
                "A study that follows another has its features, radius and number of segments: "
                "leave the option out, or --follow.",
            )
    if "epsilon" in given:  # an acknowledgement belongs to an epsilon
        given = {*given, "acknowledgement"}
    if former.scouting and "n_clusters" not in given:
        raise ConfigError(
            f"the former study '{former.name}' has chosen its number of segments, and its "
            "agreement does not say which",
            "Say it: --clusters, with the number of segments in its report.",
        )
    kept = {field: value for field, value in of_former.items() if field not in given}
    return dataclasses.replace(draft, former=former.digest, **kept)


def _terms(former: StudySpec) -> dict[str, Any]:
    privacy, release = former.privacy, former.release
    return {
        "n_clusters": former.n_clusters,
        "n_rounds": former.n_rounds,
        "features": [
            DraftFeature(feature.name, feature.transform, feature.lower, feature.upper)
            for feature in former.features
        ],
        "profile_columns": former.profile_columns,
        "party_shares": former.party_shares,
        "fairness_threshold": former.fairness.threshold,
        "radius": former.radius,
        "consent": (former.consent.column, former.consent.value) if former.consent else None,
        "epsilon": privacy.epsilon,
        "delta": privacy.delta,
        "acknowledgement": privacy.acknowledgement,
        "smallest_segment": release.smallest_segment,
        "significant_digits": release.significant_digits,
        "report": release.report,
        "centroids": release.centroids,
        "retention_days": former.retention_days,
        "parameter_set": former.parameter_set,
        "seed": former.seed,
    }
