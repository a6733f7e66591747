"""What the organisations of a study agree on; its digest pins all of it.

Features with their bounds, the number of clusters and rounds, the noise, what may be shown to whom
and for how long, and every organisation with its card. How it is written down and signed is in
`mpcseg.study.agreement`.
"""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Self

import rfc8785
from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    StringConstraints,
    model_validator,
)

from mpcseg.reference.columns import ColumnLayout
from mpcseg.reference.rounds import ScoutTerms
from mpcseg.study.card import FROZEN, Line, NodeName, Paragraph, PublicCard
from mpcseg.study.cluster_range import NumberOfClusters
from mpcseg.study.features import FeatureName, FeatureSpec
from mpcseg.study.profile_columns import (
    PARTY_COLUMN,
    CategoryColumn,
    Fairness,
    NumericColumn,
    ProfileColumn,
)
from mpcseg.study.terms import (
    LARGEST_INTEGER,
    MOST_ORGANISATIONS,
    NO_NOISE_SENTENCE,
    Consent,
    Privacy,
    ReleaseTerms,
    refuse_repeats,
)
from mpcseg.study.versions import Version, cards_by_version

__all__ = [
    "LARGEST_INTEGER",
    "NO_NOISE_SENTENCE",
    "AgreementDigest",
    "Consent",
    "FeatureName",
    "FeatureSpec",
    "PartyCard",
    "Privacy",
    "ReleaseTerms",
    "StudySpec",
    "from_document",
]

AgreementDigest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""Of an agreement, by which everybody knows it."""

# A radius is written down in decimals.
_ROUNDING = 1e-9

_FORMAT = "mpcseg agreement 2"

_MOST_PARTIES = MOST_ORGANISATIONS - 2
_MOST_COLUMNS = 100
# Ciphertexts of a block are numbered.
_MOST_VECTORS = 1000


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
        profile_columns: what is told of the segments beside the features.
        party_shares: whether sizes are told by party and segment.
        fairness: how the groups of protected columns are judged.
        consent: the column and value that a record must have; None where none is needed.
        privacy: the noise.
        release: what leaves the key node, and for whom.
        retention_days: how long the compute node keeps anything after the last round.
        expires: the last day (UTC) on which the study may run.
        parameter_set: ``planned`` lets the planner choose; or a set's name.
        seed: of the key node's random choices (starting centroids), for a repeatable study.
        former: digest of the agreement whose study this one follows: it starts from that study's
            released centroids (`mpcseg.study.former`). None for a study of its own.
        compute: the organisation that runs the compute node.
        key: the organisation that runs the key node; never the same.
        parties: the organisations that bring records; the two above may be among them.
    """

    model_config = FROZEN

    name: NodeName
    purpose: Paragraph
    legal_basis: Paragraph
    n_clusters: NumberOfClusters
    n_rounds: int = Field(ge=1, le=1000)
    features: tuple[FeatureSpec, ...] = Field(min_length=1, max_length=1000)
    radius: float | None = Field(default=None, gt=0)
    profile_columns: tuple[ProfileColumn, ...] = Field(default=(), max_length=_MOST_COLUMNS)
    party_shares: bool = False
    fairness: Fairness = Fairness()
    consent: Consent | None = None
    privacy: Privacy = Privacy()
    release: ReleaseTerms
    retention_days: float = Field(default=30.0, gt=0, le=36_500)
    expires: datetime.date
    parameter_set: Line = "planned"
    seed: int = Field(default=0, ge=0, le=LARGEST_INTEGER)
    former: AgreementDigest | None = None
    compute: PublicCard
    key: PublicCard
    parties: tuple[PartyCard, ...] = Field(min_length=1, max_length=_MOST_PARTIES)

    # No term of the study, and not part of its digest: renewals come later, and change no term.
    _versions: tuple[Version, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _follows_with_a_number(self) -> Self:
        if self.former is not None and self.scouting is not None:
            raise ValueError(
                "n_clusters: a study that follows a former one has as many segments as were found, "
                "and chooses none"
            )
        return self

    @model_validator(mode="after")
    def _roles_go_together(self) -> Self:
        if self.compute.name == self.key.name:
            raise ValueError(
                f"'{self.key.name}' is to run both the compute node and the key node: together "
                "they can decrypt every record"
            )
        refuse_repeats("two parties are named", [party.name for party in self.parties])
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
        refuse_repeats("two features are named", self.feature_names)
        if self.consent and self.consent.column in self.feature_names:
            raise ValueError(f"the consent column '{self.consent.column}' is a feature as well")
        self._verify_columns()
        corner = math.sqrt(self.n_features)
        if self.radius is not None and self.radius > corner * (1 + _ROUNDING):
            raise ValueError(
                f"radius: no record can be farther out than sqrt({self.n_features}) = {corner:.4g}"
            )
        return self

    def _verify_columns(self) -> None:
        used = [*self.feature_names, *(column.name for column in self.profile_columns)]
        refuse_repeats("a profile column, and another column or a feature, are named", used)
        if self.consent and self.consent.column in used:
            raise ValueError(f"the consent column '{self.consent.column}' is a profile column too")
        if self.party_shares and PARTY_COLUMN in used:
            raise ValueError(f"with party_shares no column can be named '{PARTY_COLUMN}'")
        if self.column_layout.n_vectors > _MOST_VECTORS:
            raise ValueError(f"the profile columns have more than {_MOST_VECTORS} values together")

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
    def versions(self) -> tuple[Version, ...]:
        """The renewals of certificates that count, in order; `mpcseg.study.renewal` checks them."""
        return self._versions

    def renewed(self, versions: Sequence[Version]) -> StudySpec:
        """The same study, with the same digest, whose certificates these renewals have changed."""
        copy = self.model_copy()
        copy._versions = tuple(versions)
        return copy

    def cards_of(self, name: str) -> dict[int, PublicCard]:
        """An organisation's cards by the version that they came with; the one that counts is last.

        They differ in the certificate alone.

        Raises:
            KeyError: no organisation of this name is in the study.
        """
        return cards_by_version(self.card_of(name), self._versions)

    def current_card(self, name: str) -> PublicCard:
        """An organisation's card with the certificate that counts now; raises as `cards_of`."""
        return [*self.cards_of(name).values()][-1]

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
    def numeric_columns(self) -> tuple[NumericColumn, ...]:
        """Profile columns of numbers, in order."""
        return tuple(c for c in self.profile_columns if isinstance(c, NumericColumn))

    @property
    def categories(self) -> tuple[CategoryColumn, ...]:
        """Profile columns of words, in order."""
        return tuple(c for c in self.profile_columns if isinstance(c, CategoryColumn))

    @property
    def column_names(self) -> tuple[str, ...]:
        """Every column that leaves a party as ciphertexts: features, then profile columns."""
        return (*self.feature_names, *(column.name for column in self.profile_columns))

    @property
    def column_layout(self) -> ColumnLayout:
        """The vectors and sums of the profile columns."""
        return ColumnLayout(
            n_numeric=len(self.numeric_columns),
            groups=tuple(len(column.labels) for column in self.categories),
            n_parties=len(self.parties) if self.party_shares else 0,
        )

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


def from_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `StudySpec` in the document that `StudySpec.document` makes.

    Raises:
        ValueError: a document of another version.
    """
    if document.get("format") != _FORMAT:
        raise ValueError(f"its format is not '{_FORMAT}'")
    return {name: value for name, value in document.items() if name != "format"}
