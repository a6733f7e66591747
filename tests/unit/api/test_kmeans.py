"""The estimator over one real study: two parties, real keys, ciphertexts and TLS."""

from __future__ import annotations

import dataclasses
import pickle
import tempfile
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import estimator_checks_generator

from mpcseg import EncryptedKMeans
from mpcseg.errors import ConfigError, ConstantFeatureError
from mpcseg.study.spec import Privacy, ReleaseTerms

SIZES = (110, 70)
BOUNDS = {"visits": (0, 100), "spend": (0, 5000)}
TRANSFORMS = {"spend": "log1p"}


def company(n: int, seed: int) -> pd.DataFrame:
    """Two groups of customers: many visits with much spent, and few with little."""
    rng = np.random.default_rng(seed)
    is_large = rng.random(n) < 0.4
    visits = np.where(is_large, 60, 20) + rng.normal(0, 6, n)
    spend = np.where(is_large, 900, 60) * rng.lognormal(0, 0.3, n)
    return pd.DataFrame({"visits": visits, "spend": spend})


@dataclasses.dataclass(frozen=True)
class Fitted:
    model: EncryptedKMeans
    tables: list[pd.DataFrame]

    @property
    def standardised(self) -> np.ndarray:
        """All records as the study compares them, by its features' own transforms."""
        pooled = pd.concat(self.tables).to_numpy()
        scaled = np.column_stack(
            [one.scale(column) for one, column in zip(self.model.features_, pooled.T, strict=True)]
        )
        return (scaled - scaled.mean(axis=0)) / scaled.std(axis=0)


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    """One study for all tests: the smallest that there is."""
    tables = [company(n, seed) for seed, n in enumerate(SIZES)]
    model = EncryptedKMeans(
        2, n_rounds=1, epsilon="none", bounds=BOUNDS, transforms=TRANSFORMS, random_state=0,
        n_jobs=1,
    )  # fmt: skip
    before = set(Path(tempfile.gettempdir()).glob("mpcseg-local-*"))
    assert model.fit(tables) is model
    assert set(Path(tempfile.gettempdir()).glob("mpcseg-local-*")) <= before
    assert not [one for one in threading.enumerate() if one.name.startswith("mpcseg ")]
    return Fitted(model, tables)


def test_segments_are_those_of_scikit_learn_on_the_pooled_table(fitted: Fitted) -> None:
    model = fitted.model
    reference = KMeans(2, n_init=3, random_state=0).fit(fitted.standardised)
    labels = np.concatenate(model.labels_)
    by_size = np.argsort(-np.bincount(reference.labels_))
    assert (by_size[labels] == reference.labels_).mean() > 0.99
    assert model.inertia_ == pytest.approx(reference.inertia_, rel=0.1)
    assert model.segment_sizes_ == pytest.approx(np.bincount(labels), abs=4)


def test_centroids_are_in_original_units_and_rounded_as_agreed(fitted: Fitted) -> None:
    model = fitted.model
    assert model.cluster_centers_.shape == (2, 2)
    assert model.cluster_centers_ == pytest.approx(np.array([[20, 60], [60, 900]]), rel=0.1)
    scaled = [
        [float(one.scale(value)) for one, value in zip(model.features_, row, strict=True)]
        for row in model.cluster_centers_
    ]
    assert np.array(scaled) == pytest.approx(
        np.array([[float(f"{value:.3g}") for value in row] for row in scaled]), abs=1e-12
    )


def test_labels_are_of_the_nearest_released_centroid_for_each_party(fitted: Fitted) -> None:
    model, tables = fitted.model, fitted.tables
    assert [len(labels) for labels in model.labels_] == list(SIZES)
    for table, labels in zip(tables, model.labels_, strict=True):
        assert (model.transform(table).argmin(axis=1) == labels).all()
        assert (model.predict(table) == labels).all()
    for several, one in zip(model.predict(tables), model.labels_, strict=True):
        assert (several == one).all()


def test_distances_and_score_are_in_standard_deviations(fitted: Fitted) -> None:
    model = fitted.model
    distances = model.transform(fitted.tables)
    nearest = sum(float((each.min(axis=1) ** 2).sum()) for each in distances)
    assert model.score(fitted.tables) == pytest.approx(-nearest)
    assert -model.score(fitted.tables) == pytest.approx(model.inertia_, rel=0.1)
    centers = np.column_stack(
        [one.scale(c) for one, c in zip(model.features_, model.cluster_centers_.T, strict=True)]
    )
    pooled = np.concatenate([one.to_numpy() for one in fitted.tables])
    scaled = np.column_stack(
        [one.scale(column) for one, column in zip(model.features_, pooled.T, strict=True)]
    )
    offsets = (scaled[:, None, :] - centers) / scaled.std(axis=0)
    assert np.concatenate(distances) == pytest.approx(np.linalg.norm(offsets, axis=2), rel=0.01)


def test_attributes_have_scikit_learns_names(fitted: Fitted) -> None:
    model = fitted.model
    assert model.n_iter_ == 1
    assert model.n_features_in_ == 2
    assert list(model.feature_names_in_) == ["visits", "spend"]
    assert list(model.get_feature_names_out()) == ["encryptedkmeans0", "encryptedkmeans1"]
    assert model.party_names_ == ("party-1", "party-2")
    assert model.n_hidden_ == 0


def test_everybody_receives_what_was_agreed_and_nothing_of_what_was_decrypted(
    fitted: Fitted,
) -> None:
    model = fitted.model
    assert set(model.results_) == {"party-1", "party-2"}
    assert all(one.recipient == name for name, one in model.results_.items())
    assert model.report_ == model.results_["party-2"].report
    assert model.study_.key.result is None
    assert not model.study_.key.sealed
    assert model.study_.compute.bytes_by_link["party_to_compute"]["feature"] > 1e6


def test_a_fitted_model_can_be_kept_and_cloned(fitted: Fitted) -> None:
    table = fitted.tables[0]
    again = pickle.loads(pickle.dumps(fitted.model))  # noqa: S301  our own
    assert (again.predict(table) == fitted.model.labels_[0]).all()
    with pytest.raises(NotFittedError):
        clone(fitted.model).predict(table)


def test_values_outside_the_bounds_are_labelled_as_they_were_clustered(fitted: Fitted) -> None:
    far = pd.DataFrame({"visits": [1e6], "spend": [1e9]})
    edge = pd.DataFrame({"visits": [100.0], "spend": [5000.0]})
    assert fitted.model.transform(far) == pytest.approx(fitted.model.transform(edge))


def test_other_columns_than_those_of_fit_are_refused(fitted: Fitted) -> None:
    table = fitted.tables[0]
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.model.predict(table.rename(columns={"spend": "turnover"}))
    with (
        pytest.warns(UserWarning, match="feature names"),
        pytest.raises(ValueError, match="expecting 2 features"),
    ):
        fitted.model.predict(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="NaN"):
        fitted.model.predict(table.assign(spend=np.nan))


def test_noise_and_rules_of_release_are_those_of_an_agreement_unless_asked_otherwise() -> None:
    params = EncryptedKMeans().get_params()
    assert (params["epsilon"], params["delta"]) == (Privacy().epsilon, Privacy().delta)
    for name in ("smallest_segment", "significant_digits"):
        assert params[name] == ReleaseTerms.model_fields[name].default


@pytest.mark.parametrize(
    ("X", "reason"),
    [
        ([], "no table|Expected 2D"),
        ({}, "no table"),
        (np.arange(5.0), "Expected 2D array"),
        ([np.ones((3, 2)), np.ones((3, 4))], "expecting 2 features"),
        ([company(5, 0), company(5, 1)[["spend", "visits"]]], "must be in the same order"),
        ([company(5, 0), company(5, 1).assign(spend="much")], "could not convert"),
        (company(3, 0), "n_samples=3 should be >= n_clusters=4"),
    ],
)
def test_tables_that_scikit_learn_would_refuse_start_no_node(X: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        EncryptedKMeans().fit(X)


def test_impossible_studies_are_refused_with_the_reason() -> None:
    table = company(30, 0)
    with pytest.raises(ConfigError, match="n_clusters"):
        EncryptedKMeans(1).fit(table)
    with pytest.raises(ConfigError, match="must be a number from"):
        EncryptedKMeans(2, epsilon=0).fit(table)
    with pytest.raises(ConstantFeatureError, match="'spend'"):
        EncryptedKMeans(2).fit(table.assign(spend=3.0))
    with pytest.raises(ConfigError, match="another node"):
        EncryptedKMeans(2).fit({"hub": table})


CONVENTIONS = {
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
}


def test_the_conventions_that_need_no_study_hold() -> None:
    """scikit-learn's own checks; those that fit are in tests/notebook."""
    done = set()
    for estimator, check in estimator_checks_generator(EncryptedKMeans(), legacy=True):
        if check.func.__name__ in CONVENTIONS:
            check(estimator)
            done.add(check.func.__name__)
    assert done == CONVENTIONS
