"""An organisation's own policy: floors that no agreement can go under, whoever signed it.

Each organisation keeps its own file and shows it to nobody. It is checked before the organisation
signs, and by each of its nodes before anything else is done.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

from mpcseg.errors import PolicyError
from mpcseg.study.card import FROZEN, NODE_NAME, Line, PublicCard
from mpcseg.study.documents import check, read_toml
from mpcseg.study.spec import StudySpec

# Hex, or as it is read out.
_FINGERPRINT = re.compile(r"[0-9a-f]{64}|[0-9]{40}")


def _key_holder(text: str) -> str:
    """A name as it is; a fingerprint, however it is spaced, in one form."""
    joined = re.sub(r"\s", "", text).lower()
    if _FINGERPRINT.fullmatch(joined):
        return joined
    if not re.fullmatch(NODE_NAME.strip("^$"), text):
        raise ValueError("must be an organisation's name, or the fingerprint of its card")
    return text


class Policy(BaseModel):
    """The rules; one that is left out limits nothing.

    Attributes:
        largest_epsilon: privacy budget at most; a study without noise is refused as well.
        largest_delta: its delta at most; a study without noise is refused as well.
        smallest_segment: segments with fewer customers must not be shown; the agreement's own
            limit must be at least this.
        forbidden_columns: never used, neither as a feature, nor as a profile column, nor for
            consent; upper and lower case are the same.
        allow_protected: whether profile columns may be marked as protected.
        allow_party_shares: whether sizes of segments may be told by party.
        key_holders: who may run the key node: names, or fingerprints of cards (hex, or as they are
            read out).
        longest_retention_days: how long the compute node may keep anything.
        most_significant_digits: of every number that is shown.
    """

    model_config = FROZEN

    largest_epsilon: float | None = Field(default=None, gt=0)
    largest_delta: float | None = Field(default=None, gt=0)
    smallest_segment: int | None = Field(default=None, ge=1)
    forbidden_columns: tuple[Line, ...] = ()
    allow_protected: bool = True
    allow_party_shares: bool = True
    key_holders: tuple[Annotated[str, AfterValidator(_key_holder)], ...] | None = None
    longest_retention_days: float | None = Field(default=None, gt=0)
    most_significant_digits: int | None = Field(default=None, ge=1)


def load_policy(path: Path) -> Policy:
    """Read an organisation's policy.

    Args:
        path: the file (TOML).

    Raises:
        ConfigError: absent, unreadable, or a rule is unknown or impossible.
    """
    return check(Policy, read_toml(path, "the policy"), f"the policy {path}")


def verify_policy(
    policy: Policy, spec: StudySpec, columns: Mapping[str, str] | None = None
) -> None:
    """Check that a study goes under none of an organisation's floors.

    Run before signing, and by every node of the organisation before it does anything else.

    Args:
        policy: the organisation's own.
        spec: the study.
        columns: a party's own names of columns, by feature, where they differ.

    Raises:
        PolicyError: it goes under one; names each rule with what was agreed and the limit.
    """
    broken = list(_violations(policy, spec, columns or {}))
    if broken:
        raise PolicyError(
            f"this organisation's policy refuses the study '{spec.name}': {'; '.join(broken)}",
            "Agree on other terms, or have whoever answers for the policy change it.",
        )


def _violations(policy: Policy, spec: StudySpec, columns: Mapping[str, str]) -> Iterator[str]:
    privacy, release = spec.privacy, spec.release
    noised_delta = privacy.delta if privacy.is_noised else "none"
    for rule, agreed, limit in (
        ("largest_epsilon", privacy.epsilon, policy.largest_epsilon),
        ("largest_delta", noised_delta, policy.largest_delta),
        ("longest_retention_days", spec.retention_days, policy.longest_retention_days),
        ("most_significant_digits", release.significant_digits, policy.most_significant_digits),
    ):
        if limit is not None and (isinstance(agreed, str) or agreed > limit):
            yield f"{rule} is {limit:g}, and {_value(agreed)} is agreed"
    floor = policy.smallest_segment
    if floor is not None and release.smallest_segment < floor:
        yield f"smallest_segment is {floor}, and {release.smallest_segment} is agreed"
    used = _used_columns(spec, columns)
    for column in policy.forbidden_columns:
        if _folded(column) in used:
            yield f"forbidden_columns has '{column}', and it is agreed as {used[_folded(column)]}"
    protected = [column.name for column in spec.categories if column.protected]
    if protected and not policy.allow_protected:
        yield f"allow_protected is false, and the column '{protected[0]}' is agreed as protected"
    if spec.party_shares and not policy.allow_party_shares:
        yield "allow_party_shares is false, and sizes by party are agreed"
    if policy.key_holders is not None and not _is_among(spec.key, policy.key_holders):
        yield (
            f"key_holders does not have '{spec.key.name}' (card {spec.key.spoken}), which is "
            "agreed to run the key node"
        )


def _value(agreed: float | str) -> str:
    return f"'{agreed}'" if isinstance(agreed, str) else f"{agreed:g}"


def _used_columns(spec: StudySpec, columns: Mapping[str, str]) -> dict[str, str]:
    """What each column is used as, under the agreed names and the party's own."""
    uses = {name: f"the feature '{name}'" for name in spec.feature_names}
    uses |= {column.name: f"the profile column '{column.name}'" for column in spec.profile_columns}
    if spec.consent:
        uses[spec.consent.column] = "the consent column"
    own = {columns[name]: use for name, use in uses.items() if name in columns}
    return {_folded(name): use for name, use in {**own, **uses}.items()}


def _folded(column: str) -> str:
    """A column's name without the differences that people overlook."""
    return unicodedata.normalize("NFKC", column).casefold().strip()


def _is_among(card: PublicCard, holders: tuple[str, ...]) -> bool:
    known = {card.card_fingerprint, card.spoken.replace(" ", "")}
    if not _FINGERPRINT.fullmatch(card.name.lower()):  # nobody gets in by such a name
        known.add(card.name)
    return not known.isdisjoint(holders)
