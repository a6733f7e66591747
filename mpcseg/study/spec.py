"""The study: what all nodes agree on before a key is made.

A study file names the features with their bounds, the number of clusters and rounds, and every
node with its certificate. Its digest, which each node compares, pins all of it.
"""

from __future__ import annotations

import hashlib
import math
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
import rfc8785
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from mpcseg.errors import ConfigError
from mpcseg.study.documents import check, read_bytes, read_toml
from mpcseg.study.identity import certificate_fingerprint, verify_certificate

Array = npt.NDArray[np.float64]

# Node names become folder names and certificate subjects; feature names become column headings,
# where a leading =, +, - or @ would be run as a formula by a spreadsheet.
NodeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
FeatureName = Annotated[str, StringConstraints(pattern=r"^\w[^\x00-\x1f\x7f-\x9f]{0,63}$")]

# Canonical JSON (RFC 8785) carries integers as doubles, so that larger seeds would collide.
LARGEST_SEED = 2**53 - 1

# Relative width of the transformed bounds under which rounding of a double would show.
_LEAST_WIDTH = 1e-9

_DIGEST_FORMAT = "mpcseg study 1"
_SAY_NONE = "say none, and mind that exact sums are released in every round"
_FROZEN = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))


class FeatureSpec(BaseModel):
    """One agreed feature: its name, transform and bounds.

    Attributes:
        name: the feature's name, and its column in a party's table unless the party maps it.
        transform: applied before scaling; ``log1p`` for heavy-tailed amounts and counts.
        lower: smallest value, in original units; what lies below is clipped.
        upper: largest value, in original units; what lies above is clipped.
    """

    model_config = _FROZEN

    name: FeatureName
    transform: Literal["identity", "log1p"] = "identity"
    lower: float
    upper: float

    @model_validator(mode="after")
    def _bounds_make_sense(self) -> Self:
        if not (math.isfinite(self.lower) and math.isfinite(self.upper)):
            raise ValueError("a bound is not a finite number")
        if self.lower >= self.upper:
            raise ValueError(
                f"the lower bound ({self.lower:g}) is not below the upper bound ({self.upper:g})"
            )
        if self.transform == "log1p" and self.lower <= -1:
            raise ValueError(f"log1p needs a lower bound above -1, not {self.lower:g}")
        low, high = self._transformed_bounds
        if high - low < _LEAST_WIDTH * max(abs(low), abs(high)):
            raise ValueError("the bounds are too close together to tell values between them apart")
        return self

    def scale(self, values: npt.ArrayLike) -> Array:
        """Original units to scaled space: transform, then min-max by the bounds to [-1, 1].

        Args:
            values: any shape, original units; where the transform is undefined the result is NaN.

        Returns:
            Same shape; not clipped, so that values outside the bounds land outside [-1, 1].
        """
        low, high = self._transformed_bounds
        transformed = self._forward(np.asarray(values, dtype=np.float64))
        return 2.0 * (transformed - low) / (high - low) - 1.0

    def unscale(self, scaled: npt.ArrayLike) -> Array:
        """Scaled space back to original units: the inverse of `scale`.

        Args:
            scaled: any shape.
        """
        low, high = self._transformed_bounds
        transformed = (np.asarray(scaled, dtype=np.float64) + 1.0) / 2.0 * (high - low) + low
        return np.expm1(transformed) if self.transform == "log1p" else transformed

    def _forward(self, values: Array) -> Array:
        if self.transform == "identity":
            return values
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.log1p(values)

    @cached_property
    def _transformed_bounds(self) -> tuple[float, float]:
        low, high = self._forward(np.array([self.lower, self.upper]))
        return float(low), float(high)


class NodeCard(BaseModel):
    """A node of the study: its name and the certificate by which the others know it.

    Attributes:
        name: unique in the study.
        certificate_pem: the certificate's PEM text.
    """

    model_config = _FROZEN

    name: NodeName
    certificate_pem: bytes

    @field_validator("certificate_pem")
    @classmethod
    def _is_a_certificate(cls, pem: bytes) -> bytes:
        try:
            certificate_fingerprint(pem)
        except ConfigError as error:  # pydantic adds the node's name to a ValueError only
            raise ValueError(error.message) from None
        return pem

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate (DER), 64 hex digits."""
        return certificate_fingerprint(self.certificate_pem)


class PartyCard(NodeCard):
    """A party node.

    Attributes:
        most_records: how many records it brings at most. Parties whose numbers are small enough
            share a block of ciphertexts, which makes every round cheaper; None for blocks of its
            own.
    """

    most_records: int | None = Field(default=None, ge=1)


class StudySpec(BaseModel):
    """Everything that the nodes of a study agree on.

    Attributes:
        name: the study's name.
        n_clusters: how many segments to look for, at least 2.
        n_rounds: how many Lloyd rounds at most; they stop earlier once the centroids stand still.
        features: what is clustered on, in this order everywhere.
        parameter_set: ``planned`` lets the planner choose; or a set's name.
        epsilon: privacy budget of what is released. ``none``, the only value so far, means that
            exact sums are released in every round; it must be written out.
        seed: of the key node's random choices (starting centroids), for a repeatable study.
        compute: the compute node.
        key: the key node.
        parties: the party nodes.
    """

    model_config = _FROZEN

    name: NodeName
    n_clusters: int = Field(ge=2)
    n_rounds: int = Field(ge=1)
    features: tuple[FeatureSpec, ...] = Field(min_length=1)
    epsilon: Literal["none"]
    parameter_set: str = "planned"
    seed: int = Field(default=0, ge=0, le=LARGEST_SEED)
    compute: NodeCard
    key: NodeCard
    parties: tuple[PartyCard, ...] = Field(min_length=1)

    @field_validator("epsilon", mode="before")
    @classmethod
    def _adds_no_noise(cls, epsilon: object) -> object:
        if epsilon != "none":
            raise ValueError(f"{epsilon} is not possible: this version adds no noise; {_SAY_NONE}")
        return epsilon

    @model_validator(mode="after")
    def _names_and_certificates_are_unique(self) -> Self:
        _refuse_repeats("two features are named", [feature.name for feature in self.features])
        _refuse_repeats("two nodes are named", [node.name for node in self.nodes])
        seen: dict[str, str] = {}
        for node in self.nodes:
            if node.fingerprint in seen:
                raise ValueError(
                    f"nodes '{seen[node.fingerprint]}' and '{node.name}' have the same certificate"
                )
            seen[node.fingerprint] = node.name
        return self

    @property
    def nodes(self) -> tuple[NodeCard, ...]:
        """Compute node, key node, then the parties."""
        return (self.compute, self.key, *self.parties)

    @property
    def n_features(self) -> int:
        """How many features are clustered on (d)."""
        return len(self.features)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(feature.name for feature in self.features)

    @property
    def most_records(self) -> tuple[int | None, ...]:
        """What each party brings at most, in the parties' order."""
        return tuple(party.most_records for party in self.parties)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON (RFC 8785), certificates as fingerprints; 64 hex digits."""
        # Every field, so that one that is added later is agreed on as well.
        content: dict[str, Any] = {
            "format": _DIGEST_FORMAT,
            **self.model_dump(mode="json", exclude={"compute", "key", "parties"}),
            "compute": _card(self.compute),
            "key": _card(self.key),
            "parties": [_card(party) for party in self.parties],
        }
        return hashlib.sha256(rfc8785.dumps(content)).hexdigest()


def _card(node: NodeCard) -> dict[str, Any]:
    fields = node.model_dump(mode="json", exclude={"certificate_pem"})
    return {**fields, "certificate_sha256": node.fingerprint}


def _refuse_repeats(sentence: str, names: list[str]) -> None:
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise ValueError(f"{sentence} '{repeated}'")


_NO_CERTIFICATE = (
    "Put there the certificate that this node's organisation sent you; paths count from the study "
    "file's folder."
)


def load_study(path: Path) -> StudySpec:
    """Read and check a study file; run by every node.

    Certificates are named in the file by paths, which count from the file's own folder.

    Args:
        path: the study file (TOML).

    Raises:
        ConfigError: the file or a certificate is absent or unreadable, a certificate is not of
            the kind that nodes have or not valid today, or a field is missing, unknown or
            impossible. The message names file and field or node.
    """
    data = read_toml(path, "the study file")
    for node in _node_tables(data):
        certificate = node.pop("certificate", None)
        if not isinstance(certificate, str):
            raise ConfigError(
                f"the study file {path}: node '{node.get('name')}' has no field 'certificate'",
                "Give the path of the certificate file that this node's organisation sent you.",
            )
        pem = read_bytes(path.parent / certificate, "the certificate", hint=_NO_CERTIFICATE)
        try:
            verify_certificate(pem, "its certificate")
        except ConfigError as error:
            raise ConfigError(
                f"the study file {path}: node '{node.get('name')}': {error.message}",
                f"Ask this node's organisation for its certificate. {error.hint}",
            ) from None
        node["certificate_pem"] = pem
    return check(StudySpec, data, f"the study file {path}")


def _node_tables(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The tables of a study file that name a node, whatever else may be wrong with the file."""
    parties = data.get("parties")
    candidates = [data.get("compute"), data.get("key")]
    candidates += parties if isinstance(parties, list) else []
    return [node for node in candidates if isinstance(node, dict)]
