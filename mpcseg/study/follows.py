"""Whether a study can start from where another one ended, as far as the two agreements say."""

from __future__ import annotations

from mpcseg.errors import AgreementError
from mpcseg.study.cluster_range import clusters_in_words
from mpcseg.study.spec import StudySpec


def verify_follows(spec: StudySpec, former: StudySpec) -> None:
    """Check that a study can start from another one's centroids, as far as agreements say.

    The centroids must mean the same in both: the same features with the same transforms, bounds and
    radius, and as many segments. And the organisation that leads the follow-up must have received
    them.

    Args:
        spec: the follow-up.
        former: the study that it names.

    Raises:
        AgreementError: it names another one or none, or the two differ; says in what.
    """
    if spec.former is None:
        raise AgreementError(
            f"the study '{spec.name}' follows no other study",
            "A study that does says so in its agreement: former.",
        )
    if spec.former != former.digest:
        raise AgreementError(
            f"the study '{spec.name}' follows another study than '{former.name}', or another "
            "agreement on it",
            "Take the agreement with the digest that `mpcseg study show` names as the former's.",
        )
    if spec.key.name not in former.release.centroids:
        raise AgreementError(
            f"the former study '{former.name}' gave '{spec.key.name}' no centroids, so that it "
            "cannot lead a study that starts from them",
            "Have an organisation run the key node that received the former's centroids.",
        )
    differs = _differences(spec, former)
    if differs:
        raise AgreementError(
            f"the study '{spec.name}' cannot start from '{former.name}': {'; '.join(differs)}",
            "Agree on the same terms as the former study's, or on a study of its own.",
        )


def _differences(spec: StudySpec, former: StudySpec) -> list[str]:
    differs = []
    if spec.feature_names != former.feature_names:
        differs.append("it has other features, or in another order")
    else:
        differs += [
            f"feature '{own.name}' has another transform or other bounds"
            for own, other in zip(spec.features, former.features, strict=True)
            if own != other
        ]
    if spec.l2_radius != former.l2_radius:
        differs.append("it has another radius")
    if spec.n_clusters not in former.cluster_numbers:
        agreed = clusters_in_words(former.n_clusters)
        differs.append(f"it looks for {clusters_in_words(spec.n_clusters)} segments, not {agreed}")
    return differs
