"""What the organisations of a study agree on; its digest pins all of it.

Features with their bounds, the number of clusters and rounds, the noise, what may be shown to whom
and for how long, and every organisation with its card. How it is written down and signed is in
`mpcseg.study.agreement`.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self, cast

import numpy as np
import numpy.typing as npt
import rfc8785
from pydantic import (
    AfterValidator,
    BaseModel,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)

from mpcseg.reference.rounds import ScoutTerms
from mpcseg.study.card import FROZEN, Line, NodeName, Paragraph, PublicCard, showable
from mpcseg.study.documents import KIND_TAGS

Array = npt.NDArray[np.float64]

# Feature names become column headings, where a leading =, +, - or @ would be run as a formula by a
# spreadsheet.
FeatureName = Annotated[str, StringConstraints(pattern=r"^\w.{0,63}$"), AfterValidator(showable)]

# Canonical JSON (RFC 8785) carries integers as doubles, so that larger ones would collide.
LARGEST_INTEGER = 2**53 - 1

NO_NOISE_SENTENCE = (
    "We know that the key node sees exact sums of every round, and that they can give away single "
    "records."
)
"""What an agreement without noise must say, word for word."""

# Relative width of the transformed bounds under which rounding of a double would show.
_LEAST_WIDTH = 1e-9

# A radius is written down in decimals.
_ROUNDING = 1e-9

# Below, noise drowns everything; above, it is too little to speak of protection.
_EPSILONS = (0.001, 20)

_FORMAT = "mpcseg agreement 1"

_MOST_CANDIDATES = 8

_MOST_PARTIES = 100
_MOST_ORGANISATIONS = _MOST_PARTIES + 2


class FeatureSpec(BaseModel):
    """One agreed feature: its name, transform and bounds.

    Attributes:
        name: the feature's name, and its column in a party's table unless the party maps it.
        transform: applied before scaling; ``log1p`` for heavy-tailed amounts and counts.
        lower: smallest value, in original units; what lies below is clipped.
        upper: largest value, in original units; what lies above is clipped.
    """

    model_config = FROZEN

    name: FeatureName
    transform: Literal["identity", "log1p"] = "identity"
    lower: float
    upper: float

    @model_validator(mode="after")
    def _bounds_make_sense(self) -> Self:
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


class ClusterRange(BaseModel):
    """From how many segments to how many the study tries out, before it chooses a number.

    Attributes:
        smallest: number of segments.
        largest: likewise; a study tries out 2 to 8 numbers.
        starts: how often each number is begun anew; their agreement is what stability means.
        rounds: scout rounds of each start; one more shows how good the segments are.
    """

    model_config = FROZEN

    smallest: int = Field(ge=2, le=1000)
    largest: int = Field(ge=2, le=1000)
    starts: int = Field(default=2, ge=2, le=5)
    rounds: int = Field(default=2, ge=1, le=10)

    @cached_property
    def terms(self) -> ScoutTerms:
        """What is tried out, and how."""
        return ScoutTerms(tuple(range(self.smallest, self.largest + 1)), self.starts, self.rounds)

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.smallest >= self.largest:
            raise ValueError(
                f"the smallest number of segments ({self.smallest}) is not below the largest "
                f"({self.largest})"
            )
        if self.largest - self.smallest >= _MOST_CANDIDATES:
            raise ValueError(
                f"from {self.smallest} to {self.largest} are more than {_MOST_CANDIDATES} numbers "
                "of segments; each costs rounds and privacy budget"
            )
        return self


class PartyCard(PublicCard):
    """An organisation as a party: it brings records.

    Attributes:
        most_records: how many records it brings at most. Parties whose numbers are small enough
            share a block of ciphertexts, which makes every round cheaper; None for blocks of its
            own.
    """

    most_records: int | None = Field(default=None, ge=1, le=LARGEST_INTEGER)

    @cached_property
    def public(self) -> PublicCard:
        """The card alone."""
        return PublicCard.model_validate(self.model_dump(exclude={"most_records"}))


class Consent(BaseModel):
    """Which records may take part at all.

    Attributes:
        column: the column that says so.
        value: what must stand there, as text.
    """

    model_config = FROZEN

    column: FeatureName
    value: Line


class Privacy(BaseModel):
    """The noise on everything that the key node decrypts, and the budget for all of it together.

    Attributes:
        epsilon: the budget, or ``none`` for exact sums.
        delta: the probability with which the guarantee may fail.
        acknowledgement: `NO_NOISE_SENTENCE` where epsilon is ``none``, else empty.
    """

    model_config = FROZEN

    epsilon: float | Literal["none"] = 1.0
    delta: float = Field(default=1e-6, ge=1e-15, le=1e-3)
    acknowledgement: str = ""

    @field_validator("epsilon", mode="before")
    @classmethod
    def _is_a_number_or_none(cls, epsilon: object) -> object:
        is_number = isinstance(epsilon, int | float) and not isinstance(epsilon, bool)
        low, high = _EPSILONS
        if epsilon != "none" and not (is_number and low <= cast("float", epsilon) <= high):
            raise ValueError(f'must be a number from {low:g} to {high:g}, or "none"')
        return epsilon

    @model_validator(mode="after")
    def _is_acknowledged(self) -> Self:
        if self.epsilon == "none" and self.acknowledgement != NO_NOISE_SENTENCE:
            raise ValueError(
                f'without noise the acknowledgement must be, word for word: "{NO_NOISE_SENTENCE}"'
            )
        if self.is_noised and self.acknowledgement:
            raise ValueError('an acknowledgement belongs to epsilon = "none" only')
        return self

    @property
    def is_noised(self) -> bool:
        """Whether noise is added."""
        return self.epsilon != "none"


class ReleaseTerms(BaseModel):
    """What leaves the key node, and for whom.

    Attributes:
        smallest_segment: segments with fewer customers are not shown.
        significant_digits: to which every number is rounded.
        report: organisations that receive the segment report.
        centroids: organisations that receive the centroids, to label their own customers.
    """

    model_config = FROZEN

    smallest_segment: int = Field(default=20, ge=1, le=LARGEST_INTEGER)
    significant_digits: int = Field(default=3, ge=2, le=6)
    report: tuple[NodeName, ...] = Field(default=(), max_length=_MOST_ORGANISATIONS)
    centroids: tuple[NodeName, ...] = Field(default=(), max_length=_MOST_ORGANISATIONS)

    @model_validator(mode="after")
    def _names_stand_once(self) -> Self:
        for what in ("report", "centroids"):
            _refuse_repeats(f"{what} names twice", getattr(self, what))
        if not (self.report or self.centroids):
            raise ValueError("nobody is to receive the report or the centroids")
        return self


class StudySpec(BaseModel):
    """Everything that the organisations of a study agree on.

    Attributes:
        name: the study's name.
        purpose: what the segments are for.
        legal_basis: why the records may be used for it.
        n_clusters: how many segments to look for, at least 2; or a range to choose from.
        n_rounds: how many Lloyd rounds at most; they stop earlier once the centroids stand still.
        features: what is clustered on, in this order everywhere.
        radius: records are clipped to this L2 norm in scaled space; None for sqrt(d), which clips
            nothing that lies within the bounds. A smaller one needs less noise.
        consent: the column and value that a record must have; None where none is needed.
        privacy: the noise.
        release: what leaves the key node, and for whom.
        retention_days: how long the compute node keeps anything after the last round.
        expires: the last day (UTC) on which the study may run.
        parameter_set: ``planned`` lets the planner choose; or a set's name.
        seed: of the key node's random choices (starting centroids), for a repeatable study.
        compute: the organisation that runs the compute node.
        key: the organisation that runs the key node; never the same.
        parties: the organisations that bring records; the two above may be among them.
    """

    model_config = FROZEN

    name: NodeName
    purpose: Paragraph
    legal_basis: Paragraph
    n_clusters: Annotated[
        Annotated[int, Field(ge=2, le=1000), Tag(KIND_TAGS[0])]
        | Annotated[ClusterRange, Tag(KIND_TAGS[1])],
        Discriminator(lambda given: KIND_TAGS[isinstance(given, Mapping | ClusterRange)]),
    ]
    n_rounds: int = Field(ge=1, le=1000)
    features: tuple[FeatureSpec, ...] = Field(min_length=1, max_length=1000)
    radius: float | None = Field(default=None, gt=0)
    consent: Consent | None = None
    privacy: Privacy = Privacy()
    release: ReleaseTerms
    retention_days: float = Field(default=30.0, gt=0, le=36_500)
    expires: datetime.date
    parameter_set: Line = "planned"
    seed: int = Field(default=0, ge=0, le=LARGEST_INTEGER)
    compute: PublicCard
    key: PublicCard
    parties: tuple[PartyCard, ...] = Field(min_length=1, max_length=_MOST_PARTIES)

    @model_validator(mode="before")
    @classmethod
    def _names_what_is_not_computed_yet(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "profile_columns" in data:
            raise ValueError("profile_columns are not computed by this version; leave them out")
        return data

    @model_validator(mode="after")
    def _roles_go_together(self) -> Self:
        if self.compute.name == self.key.name:
            raise ValueError(
                f"'{self.key.name}' is to run both the compute node and the key node: together "
                "they can decrypt every record"
            )
        _refuse_repeats("two parties are named", [party.name for party in self.parties])
        by_name: dict[str, PublicCard] = {}
        by_key: dict[str | bytes, str] = {}
        for card in (node.public for node in self.nodes):
            if by_name.setdefault(card.name, card) != card:
                raise ValueError(f"two organisations are named '{card.name}', with different cards")
            for what, key in (
                ("certificate", card.fingerprint),
                ("signing key", card.signing_key),
                ("sealing key", card.sealing_key),
            ):
                holder = by_key.setdefault(key, card.name)
                if holder != card.name:
                    raise ValueError(
                        f"organisations '{holder}' and '{card.name}' have the same {what}"
                    )
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        names = {node.name for node in self.nodes}
        for what in ("report", "centroids"):
            for name in getattr(self.release, what):
                if name not in names:
                    raise ValueError(
                        f"release {what}: '{name}' is not an organisation of the study"
                    )
        _refuse_repeats("two features are named", self.feature_names)
        if self.consent and self.consent.column in self.feature_names:
            raise ValueError(f"the consent column '{self.consent.column}' is a feature as well")
        corner = math.sqrt(self.n_features)
        if self.radius is not None and self.radius > corner * (1 + _ROUNDING):
            raise ValueError(
                f"radius: no record can be farther out than sqrt({self.n_features}) = {corner:.4g}"
            )
        return self

    @property
    def nodes(self) -> tuple[PublicCard, ...]:
        """The organisations by role: compute node, key node, then the parties."""
        return (self.compute, self.key, *self.parties)

    @cached_property
    def organisations(self) -> tuple[PublicCard, ...]:
        """Each organisation once, in the order of `nodes`."""
        return tuple({node.name: node.public for node in self.nodes}.values())

    def card_of(self, name: str) -> PublicCard:
        """An organisation's card.

        Raises:
            KeyError: no organisation of this name is in the study.
        """
        return {card.name: card for card in self.organisations}[name]

    @property
    def recipients(self) -> tuple[str, ...]:
        """The organisations that receive results, in the order of `organisations`."""
        entitled = {*self.release.report, *self.release.centroids}
        return tuple(card.name for card in self.organisations if card.name in entitled)

    @property
    def compute_receives(self) -> bool:
        """Whether the organisation of the compute node receives results."""
        return self.compute.name in self.recipients

    @property
    def scouting(self) -> ScoutTerms | None:
        """How the number of segments is chosen; None where it is agreed."""
        return None if isinstance(self.n_clusters, int) else self.n_clusters.terms

    @property
    def cluster_numbers(self) -> tuple[int, ...]:
        """How many segments there can be, ascending; one number where it is agreed."""
        chosen = self.n_clusters
        return (chosen,) if isinstance(chosen, int) else chosen.terms.candidates

    @property
    def most_clusters(self) -> int:
        """How many segments there are, or at most."""
        return self.cluster_numbers[-1]

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

    @property
    def l2_radius(self) -> float:
        """The L2 norm that no record exceeds, in scaled space."""
        corner = math.sqrt(self.n_features)
        return corner if self.radius is None else min(self.radius, corner)

    @property
    def document(self) -> dict[str, Any]:
        """Plain data for JSON, all of it, so that a field added later is agreed on as well."""
        return {"format": _FORMAT, **self.model_dump(mode="json", by_alias=True)}

    @cached_property
    def canonical(self) -> bytes:
        """Everything, with the complete cards, as canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.document)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `canonical`, 64 hex digits: what is signed, and what every message carries."""
        return hashlib.sha256(self.canonical).hexdigest()


def clusters_in_words(spec: StudySpec) -> str:
    """How many segments are looked for, as people read it."""
    chosen = spec.n_clusters
    if isinstance(chosen, int):
        return f"{chosen:,}"
    return (
        f"{chosen.smallest} to {chosen.largest} (the study chooses, from {chosen.starts} starts of "
        f"{chosen.rounds} scout rounds each)"
    )


def from_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `StudySpec` in the document that `StudySpec.document` makes.

    Raises:
        ValueError: a document of another version.
    """
    if document.get("format") != _FORMAT:
        raise ValueError(f"its format is not '{_FORMAT}'")
    return {name: value for name, value in document.items() if name != "format"}


def _refuse_repeats(sentence: str, names: tuple[str, ...] | list[str]) -> None:
    repeated = next((name for name, count in Counter(names).items() if count > 1), None)
    if repeated is not None:
        raise ValueError(f"{sentence} '{repeated}'")
