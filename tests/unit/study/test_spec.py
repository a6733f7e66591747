"""The study file: what it says, what is refused, and what its digest pins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from mpcseg.errors import ConfigError
from mpcseg.study.identity import new_identity
from mpcseg.study.spec import FeatureSpec, StudySpec, load_study

STUDY = """
name = "spring"
n_clusters = 4
n_rounds = 8
epsilon = "none"
seed = 7

[[features]]
name = "recency"
lower = 0
upper = 730

[[features]]
name = "money"
transform = "log1p"
lower = 0.0
upper = 5000

[compute]
name = "hub"
certificate = "certificates/hub.pem"

[key]
name = "notary"
certificate = "certificates/notary.pem"

[[parties]]
name = "alder"
certificate = "certificates/alder.pem"

[[parties]]
name = "birch"
certificate = "certificates/birch.pem"
"""

Edit = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("identities")
    names = ("hub", "notary", "alder", "birch")
    return {name: new_identity(name, folder / name).certificate_pem for name in names}


@pytest.fixture
def edited(tmp_path: Path, certificates: dict[str, bytes]) -> Edit:
    """Write the study with one passage replaced."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    for name, pem in certificates.items():
        (folder / f"{name}.pem").write_bytes(pem)

    def write(old: str, new: str) -> Path:
        assert old in STUDY
        path = tmp_path / "study.toml"
        path.write_text(STUDY.replace(old, new), encoding="utf-8")
        return path

    return write


def test_a_study_is_read_with_the_certificates_it_names(
    edited: Edit, certificates: dict[str, bytes]
) -> None:
    spec = load_study(edited("", ""))
    assert (spec.name, spec.n_clusters, spec.n_rounds, spec.seed) == ("spring", 4, 8, 7)
    assert spec.feature_names == ("recency", "money")
    assert spec.features[1].transform == "log1p"
    assert spec.parameter_set == "planned"
    assert [node.name for node in spec.nodes] == ["hub", "notary", "alder", "birch"]
    assert {node.name: node.certificate_pem for node in spec.nodes} == certificates
    assert len({node.fingerprint for node in spec.nodes}) == 4


REFUSALS = {
    "bounds swapped": ("lower = 0.0", "lower = 6000", "'money'.*lower bound"),
    "bounds equal": ("upper = 730", "upper = 0", "'recency'.*lower bound"),
    "bounds too close": (
        "lower = 0\nupper = 730",
        "lower = 1e9\nupper = 1000000000.5",
        "'recency'.*too close",
    ),
    "bound infinite": ("upper = 730", "upper = inf", "'recency'.*finite"),
    "bound is text": ("upper = 730", 'upper = "many"', "'recency' upper"),
    "bound missing": ("upper = 730", "", "'recency' upper is missing"),
    "log1p below -1": ("lower = 0.0", "lower = -1", "'money'.*log1p"),
    "unknown transform": ('"log1p"', '"sqrt"', "'money' transform"),
    "one cluster": ("n_clusters = 4", "n_clusters = 1", "n_clusters"),
    "no rounds": ("n_rounds = 8", "n_rounds = 0", "n_rounds"),
    "misspelt field": ("n_rounds = 8", "n_round = 8", "n_round is unknown|n_rounds is missing"),
    "a budget without noise": ('epsilon = "none"', "epsilon = 1.0", "epsilon"),
    "no word on noise": ('epsilon = "none"', "", "epsilon is missing"),
    "negative seed": ("seed = 7", "seed = -1", "seed"),
    "seed beyond a double": ("seed = 7", f"seed = {2**53}", "seed"),
    "feature twice": ('name = "money"', 'name = "recency"', "two features are named 'recency'"),
    "formula as a name": ('name = "money"', 'name = "=money"', "name"),
    "node twice": ('name = "birch"', 'name = "alder"', "two nodes are named 'alder'"),
    "party named as compute": ('name = "birch"', 'name = "hub"', "two nodes are named 'hub'"),
    "one certificate for two": (
        "certificates/birch.pem",
        "certificates/alder.pem",
        "'alder' and 'birch' have the same certificate",
    ),
    "certificate absent": ("certificates/birch.pem", "certificates/oak.pem", "oak.pem does not"),
    "certificate broken": ("certificates/birch.pem", "study.toml", "birch.*not a PEM certificate"),
    "certificate not named": (
        'certificate = "certificates/notary.pem"',
        "",
        "node 'notary' has no field 'certificate'",
    ),
    "no records": ('name = "birch"', 'name = "birch"\nmost_records = 0', "'birch' most_records"),
    "records of the compute node": (
        'name = "hub"',
        'name = "hub"\nmost_records = 9',
        "compute most_records is unknown",
    ),
    "name with a path": ('name = "hub"', 'name = "../hub"', "compute name"),
    "not TOML": ("n_rounds = 8", "n_rounds = ", "not valid TOML"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_study_that_cannot_be_is_refused_with_file_and_field(edited: Edit, case: str) -> None:
    old, new, expected = REFUSALS[case]
    path = edited(old, new)
    with pytest.raises(ConfigError, match=expected) as caught:
        load_study(path)
    assert caught.value.hint
    if case != "certificate absent":
        assert "study.toml" in caught.value.message


def test_a_study_without_parties_or_features_is_refused(edited: Edit) -> None:
    for passage in ("[[parties]]", "[[features]]"):
        path = edited(passage, passage.replace("[[", "[[no_"))
        with pytest.raises(ConfigError, match="is missing"):
            load_study(path)


def test_an_absent_or_unreadable_study_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml does not exist"):
        load_study(tmp_path / "absent.toml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_study(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'name = "caf\xe9"')
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_study(tmp_path / "latin.toml")


def test_the_digest_pins_every_field(edited: Edit, certificates: dict[str, bytes]) -> None:
    changes = [
        ("", ""),
        ('name = "spring"', 'name = "autumn"'),
        ("n_clusters = 4", "n_clusters = 5"),
        ("n_rounds = 8", "n_rounds = 9"),
        ("seed = 7", "seed = 8"),
        ("seed = 7", 'seed = 7\nparameter_set = "ckks-32768-20"'),
        ("upper = 730", "upper = 731"),
        ("lower = 0.0", "lower = 0.5"),
        ('transform = "log1p"', ""),
        ('name = "money"', 'name = "spend"'),
        ('name = "birch"', 'name = "beech"'),
        ('name = "birch"', 'name = "birch"\nmost_records = 4000'),
        ('[compute]\nname = "hub"', '[compute]\nname = "hub2"'),
        ("", "certificate of alder"),
    ]
    digests = set()
    for old, new in changes:
        path = edited(old, "" if new.startswith("certificate of") else new)
        if new.startswith("certificate of"):
            another = new_identity("alder", path.parent / "another")
            (path.parent / "certificates/alder.pem").write_bytes(another.certificate_pem)
        digests.add(load_study(path).digest)
    assert len(digests) == len(changes)
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)


def test_the_digest_ignores_how_the_file_is_written(edited: Edit) -> None:
    digest = load_study(edited("", "")).digest
    assert load_study(edited("upper = 730", "upper = 730.0  # two years")).digest == digest
    assert load_study(edited("seed = 7", "seed = 7\nparameter_set = 'planned'")).digest == digest


def test_a_study_is_frozen(edited: Edit) -> None:
    spec = load_study(edited("", ""))
    assert spec.digest == StudySpec.model_validate(spec.model_dump()).digest
    with pytest.raises(ValidationError):
        spec.n_clusters = 9  # type: ignore[misc]


def test_bounds_scale_to_the_ends_and_the_transform_bends_between() -> None:
    plain = FeatureSpec(name="a", lower=-10, upper=30)
    np.testing.assert_allclose(plain.scale([-10, 10, 30, 50]), [-1, 0, 1, 2])
    bent = FeatureSpec(name="b", transform="log1p", lower=0, upper=99)
    np.testing.assert_allclose(bent.scale([0, 9, 99]), [-1, 0, 1], atol=1e-12)
    assert np.isnan(bent.scale([-2.0]))[0]


@given(
    st.floats(-0.9, 1e6),
    st.floats(0.01, 1e6),
    st.sampled_from(["identity", "log1p"]),
    st.floats(-1.2, 1.2),
)
def test_unscale_is_the_inverse_of_scale(
    lower: float, width: float, transform: str, scaled: float
) -> None:
    assume(width > 1e-3 * abs(lower))  # bounds too close together are refused, see above
    feature = FeatureSpec.model_validate(
        {"name": "f", "transform": transform, "lower": lower, "upper": lower + width}
    )
    assert float(feature.scale(feature.unscale(scaled))) == pytest.approx(scaled, abs=1e-5)
