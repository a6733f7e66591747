"""The draft of an agreement: a TOML file in which every field is explained.

It names the organisations' cards by path, and is edited and discussed until somebody signs it.
"""

from __future__ import annotations

import datetime
import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mpcseg.errors import ConfigError
from mpcseg.study.card import load_card
from mpcseg.study.cluster_range import ClusterRange
from mpcseg.study.documents import check, read_toml
from mpcseg.study.draft_template import (
    CATEGORY,
    DRAFT,
    FEATURE,
    NO_COLUMNS,
    NUMERIC,
    PARTY,
)
from mpcseg.study.follows import verify_follows
from mpcseg.study.profile_columns import NumericColumn, ProfileColumn
from mpcseg.study.spec import NO_NOISE_SENTENCE, StudySpec

DEFAULT_DAYS = 90


@dataclass(frozen=True)
class DraftFeature:
    """A feature as it is written down; fields as in `FeatureSpec`."""

    name: str
    transform: str
    lower: float
    upper: float


EXAMPLE_FEATURES = (
    DraftFeature("recency_days", "identity", 0, 730),
    DraftFeature("frequency", "log1p", 0, 300),
    DraftFeature("monetary", "log1p", 0, 20_000),
)


@dataclass(frozen=True)
class Draft:
    """What goes into a draft; fields as in `StudySpec`, checked when the draft is made.

    Attributes:
        compute: path of the card, as are ``key`` and ``parties``.
        most_records: by party's name.
        report: recipients' names; None for all parties, as for ``centroids``.
        expires: None for `DEFAULT_DAYS` ahead.
    """

    name: str
    purpose: str
    legal_basis: str
    compute: Path
    key: Path
    parties: Sequence[Path]
    most_records: Mapping[str, int] = field(default_factory=dict)
    n_clusters: int | ClusterRange = 4
    n_rounds: int = 8
    features: Sequence[DraftFeature] = EXAMPLE_FEATURES
    profile_columns: Sequence[ProfileColumn] = ()
    party_shares: bool = False
    fairness_threshold: float = 0.8
    radius: float | None = None
    consent: tuple[str, str] | None = None
    epsilon: float | str = 1.0
    delta: float = 1e-6
    acknowledgement: str = ""
    smallest_segment: int = 20
    significant_digits: int = 3
    report: Sequence[str] | None = None
    centroids: Sequence[str] | None = None
    retention_days: float = 30.0
    expires: datetime.date | None = None
    parameter_set: str = "planned"
    seed: int = 0
    former: str | None = None


def load_draft(path: Path) -> StudySpec:
    """Read the terms of a draft, which nobody has signed.

    Cards are named in the file by paths, which count from the file's own folder.

    Args:
        path: the draft (TOML).

    Raises:
        ConfigError: the file or a card is absent or unreadable, or a field is missing, unknown or
            impossible. The message names file and field or card.
        SignatureError: a card is not signed by its own key.
    """
    return draft_terms(read_toml(path, "the draft"), path)


def draft_terms(
    data: dict[str, Any], path: Path, *, options: Mapping[str, str] | None = None
) -> StudySpec:
    """The terms of a draft's content; see `load_draft`.

    Args:
        data: the parsed TOML; not to be used afterwards.
        path: where it stands, or will; cards are looked for beside it.
        options: of the command line, by the field that each says, where the content comes from
            there; None where it was read from the file.
    """
    what = f"the draft {path}"
    for role, node in _role_tables(data):
        file = node.pop("card", None)
        if not isinstance(file, str):
            raise ConfigError(
                f"{what}: {role} has no field 'card'",
                "Give the path of the card that this organisation sent you.",
            )
        card = load_card(path.parent / file)
        for name, own in card.document.items():
            if node.pop(name, own) != own:
                raise ConfigError(
                    f"{what}: {role} has another {name} than the card {file}",
                    "Leave it out: the card says it.",
                )
        node.update(card.model_dump())
    if options is None:
        return check(StudySpec, data, what)
    hint = "Change this option; `mpcseg study new --help` explains them all."
    return check(StudySpec, data, "the command line", hint=hint, options=options)


def write_draft(
    draft: Draft,
    path: Path,
    former: StudySpec | None = None,
    *,
    options: Mapping[str, str] | None = None,
) -> StudySpec:
    """Write a draft, once it is sure that it can be signed as it is.

    Args:
        draft: what goes into it.
        path: the file, which must not exist yet.
        former: the study that it follows, where it follows one.
        options: of the command line, as of `draft_terms`.

    Returns:
        The terms as they would be signed.

    Raises:
        ConfigError: a card is absent or unreadable, a field is impossible, or the file exists
            already or cannot be written.
        SignatureError: a card is not signed by its own key.
        AgreementError: it cannot start from the former study's centroids.
    """
    if not path.parent.is_dir():
        raise ConfigError(
            f"{path} cannot be written: there is no folder {path.parent}",
            "Make it, or choose another --output.",
        )
    text = draft_text(draft, path.parent)
    spec = draft_terms(tomllib.loads(text), path, options=options)
    if spec.expires < _today():
        raise ConfigError(f"the last day {spec.expires} is over already", "Change --expires.")
    if former is not None:
        verify_follows(spec, former)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} exists already", "Choose another --output.") from None
    except OSError as error:
        raise ConfigError(
            f"the draft {path} cannot be written: {error.strerror or 'unknown reason'}",
            "Choose a place that this user may write to.",
        ) from None
    return spec


def draft_text(draft: Draft, folder: Path) -> str:
    """A draft's text.

    Args:
        draft: what goes into it.
        folder: where it will stand; paths of cards count from there.

    Raises:
        ConfigError: a card is not readable, or ``most_records`` names no party.
    """
    names = [load_card(card).name for card in draft.parties]
    unknown = sorted(set(draft.most_records) - set(names))
    if unknown:
        raise ConfigError(
            f"'{unknown[0]}' is to bring a number of records, and is not a party of the study",
            f"The parties are: {', '.join(names)}.",
        )
    expires = draft.expires or _today() + datetime.timedelta(days=DEFAULT_DAYS)
    parties = "\n".join(
        PARTY.format(card=_path(card, folder), records=_most_records(draft.most_records.get(name)))
        for name, card in zip(names, draft.parties, strict=True)
    )
    consent = draft.consent or ("may_be_used", "yes")
    return DRAFT.format(
        name=_text(draft.name),
        purpose=_text(draft.purpose),
        legal_basis=_text(draft.legal_basis),
        n_clusters=_clusters(draft.n_clusters),
        n_rounds=draft.n_rounds,
        seed=draft.seed,
        parameter_set=_text(draft.parameter_set),
        former=f'former = "{draft.former}"' if draft.former else '# former = "<digest>"',
        expires=expires.isoformat(),
        retention_days=_number(draft.retention_days),
        radius="# radius = 1.5" if draft.radius is None else f"radius = {_number(draft.radius)}",
        features="\n".join(_feature(feature) for feature in draft.features),
        columns=_columns(draft.profile_columns),
        party_shares="true" if draft.party_shares else "false",
        threshold=_number(draft.fairness_threshold),
        off="" if draft.consent else "# ",
        column=_text(consent[0]),
        value=_text(consent[1]),
        epsilon=_text(draft.epsilon) if isinstance(draft.epsilon, str) else _number(draft.epsilon),
        delta=_number(draft.delta),
        acknowledgement=_text(draft.acknowledgement),
        sentence=NO_NOISE_SENTENCE,
        smallest_segment=draft.smallest_segment,
        significant_digits=draft.significant_digits,
        report=_texts(names if draft.report is None else draft.report),
        centroids=_texts(names if draft.centroids is None else draft.centroids),
        compute=_path(draft.compute, folder),
        key=_path(draft.key, folder),
        parties=parties,
    )


def _clusters(number: int | ClusterRange) -> str:
    if isinstance(number, int):
        return str(number)
    fields = ", ".join(f"{name} = {value}" for name, value in number)
    return f"{{ {fields} }}"


def _role_tables(data: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The tables of a draft that name an organisation, whatever else may be wrong with the file."""
    parties = data.get("parties")
    tables = [("[compute]", data.get("compute")), ("[key]", data.get("key"))]
    if isinstance(parties, list):
        tables += [(f"party number {i + 1}", party) for i, party in enumerate(parties)]
    return [(role, node) for role, node in tables if isinstance(node, dict)]


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _text(text: str) -> str:
    """A TOML string; JSON's escapes are TOML's as well, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _texts(texts: Sequence[str]) -> str:
    return f"[{', '.join(_text(text) for text in texts)}]"


def _number(number: float) -> str:
    """A TOML number, without the decimals that a whole one does not need."""
    return f"{number:.0f}" if float(number).is_integer() and abs(number) < 1e15 else repr(number)


def _path(card: Path, folder: Path) -> str:
    return _text(Path(os.path.relpath(card, folder)).as_posix())


def _feature(feature: DraftFeature) -> str:
    return FEATURE.format(
        name=_text(feature.name),
        transform=_text(feature.transform),
        lower=_number(feature.lower),
        upper=_number(feature.upper),
    )


def _columns(columns: Sequence[ProfileColumn]) -> str:
    return "\n".join(map(_column, columns)) if columns else NO_COLUMNS


def _column(column: ProfileColumn) -> str:
    if isinstance(column, NumericColumn):
        return NUMERIC.format(
            name=_text(column.name),
            transform=_text(column.transform),
            lower=_number(column.lower),
            upper=_number(column.upper),
        )
    return CATEGORY.format(
        name=_text(column.name),
        values=_texts(column.values),
        other=_text(column.other),
        unknown=_text(column.unknown),
        protected="true" if column.protected else "false",
    )


def _most_records(number: int | None) -> str:
    return "# most_records = 5000" if number is None else f"most_records = {number}"
