"""Figures over all customers together: joint means, spreads and correlations, in original units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpcseg.privacy.release import significant
from mpcseg.study.outcome import StudyResult
from mpcseg.study.spec import FeatureSpec, StudySpec


@dataclass(frozen=True)
class JointMoments:
    """Means, standard deviations and correlations of all customers together.

    Attributes:
        centres: mean of each feature in original units, shape (d,); for a log1p feature the mean
            of the logarithms mapped back.
        lows: mean minus one standard deviation, mapped back and kept within the agreed bounds.
        highs: mean plus one standard deviation, likewise.
        correlations: between the features after their transforms, row by row above the diagonal,
            shape (d(d - 1)/2,).
    """

    centres: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    correlations: tuple[float, ...]


def original(feature: FeatureSpec, scaled: float) -> float:
    """Scaled space to original units; noise can lead out of the bounds, but not here."""
    value = float(feature.unscale(min(max(scaled, -1.0), 1.0)))
    return min(max(value, feature.lower), feature.upper)


def joint_moments(spec: StudySpec, result: StudyResult) -> JointMoments:
    """What may be told of all customers together, where no segment is hidden. Key node."""
    digits = spec.release.significant_digits
    deviations = np.sqrt(np.diag(result.feature_covariance))
    correlations = result.feature_covariance / np.outer(deviations, deviations)
    above = np.triu_indices(len(deviations), 1)

    def at(offset: int) -> tuple[float, ...]:
        places = (result.feature_means + offset * deviations).tolist()
        return tuple(
            significant(original(feature, place), digits)
            for feature, place in zip(spec.features, places, strict=True)
        )

    return JointMoments(
        centres=at(0),
        lows=at(-1),
        highs=at(1),
        correlations=tuple(
            significant(value, digits) for value in np.clip(correlations[above], -1, 1).tolist()
        ),
    )
