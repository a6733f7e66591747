"""The study that a follow-up starts from: what of it may be used, and who may use it.

A follow-up's agreement names the former agreement by its digest. Its key node starts from the
former study's centroids as they were *released* to its organisation: rounded, without hidden
segments, signed by the former's key node and sealed to this organisation. Nothing else of a former
study is kept for it, at no node. So an organisation can lead a follow-up if, and only if, the
former agreement gave it the centroids.

Centroid a of the follow-up starts from segment a + 1 of the former, so that everybody who has the
results of both can follow a segment through time (`mpcseg.report.drift`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mpcseg.errors import AgreementError, ConfigError
from mpcseg.study.follows import verify_follows
from mpcseg.study.identity import Identity
from mpcseg.study.results import open_results
from mpcseg.study.spec import StudySpec


@dataclass(frozen=True, eq=False)
class FormerCentroids:
    """Where a follow-up starts.

    Attributes:
        study_digest: of the former agreement.
        results_digest: SHA-256 (hex) of the sealed results that the centroids were taken from; the
            former key node's log has it too.
        centers: released centroids by number, scaled space, shape (m, d), 1 <= m <= k.
    """

    study_digest: str
    results_digest: str
    centers: npt.NDArray[np.float64] = field(repr=False)


def open_former(
    spec: StudySpec, identity: Identity, former: StudySpec, sealed: bytes
) -> FormerCentroids:
    """Open the released centroids that a follow-up starts from; run by its key node at its start.

    Args:
        spec: the follow-up.
        identity: of the key node's organisation, by which the former knew it.
        former: the former study, whose agreement everybody had signed.
        sealed: the results of the former that were sealed to this organisation.

    Raises:
        AgreementError: `verify_follows`; or the former has shown no segment, or has found another
            number of them.
        SealError: the sealed results are not those, were changed, or are sealed for another
            identity than this one.
    """
    verify_follows(spec, former)
    centroids = open_results(former, identity, sealed).centroids
    if centroids is None or not centroids.segments:
        raise AgreementError(
            f"the former study '{former.name}' has released no centroids to start from",
            "Agree on a study of its own.",
        )
    n_found = len(centroids.segments) + centroids.suppressed
    if n_found != spec.n_clusters:
        raise AgreementError(
            f"the former study '{former.name}' has found {n_found} segments; the study "
            f"'{spec.name}' looks for {spec.n_clusters}",
            f"Agree on n_clusters = {n_found}, or on a study of its own.",
        )
    return FormerCentroids(
        former.digest,
        hashlib.sha256(sealed).hexdigest(),
        np.array(centroids.centers_scaled, dtype=np.float64),
    )


def verify_former_is_given(spec: StudySpec, former: FormerCentroids | None) -> None:
    """Check that a key node has what its study starts from; run before anything else is done.

    Raises:
        ConfigError: it follows a study whose centroids are not given, or none and they are.
    """
    if spec.former is not None and (former is None or former.study_digest != spec.former):
        raise ConfigError(
            f"the study '{spec.name}' starts from a former study's centroids, which are not given",
            "Name the former agreement and the results of it that were sealed to this "
            "organisation: former_study and former_sealed.",
        )
    if spec.former is None and former is not None:
        raise ConfigError(
            f"the study '{spec.name}' follows no other study, and one is given",
            "Leave former_study and former_sealed out, or agree on a study that follows it.",
        )
