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
from mpcseg.study.documents import check, read_toml
from mpcseg.study.spec import NO_NOISE_SENTENCE, ClusterRange, StudySpec

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


def draft_terms(data: dict[str, Any], path: Path, *, hint: str = "") -> StudySpec:
    """The terms of a draft's content; see `load_draft`.

    Args:
        data: the parsed TOML; not to be used afterwards.
        path: where it stands, or will; cards are looked for beside it.
        hint: what to do about a field that does not fit; a default points to the template.
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
    return check(StudySpec, data, what, hint=hint)


def write_draft(draft: Draft, path: Path) -> StudySpec:
    """Write a draft, once it is sure that it can be signed as it is.

    Args:
        draft: what goes into it.
        path: the file, which must not exist yet.

    Returns:
        The terms as they would be signed.

    Raises:
        ConfigError: a card is absent or unreadable, a field is impossible, or the file exists
            already or cannot be written.
        SignatureError: a card is not signed by its own key.
    """
    if not path.parent.is_dir():
        raise ConfigError(
            f"{path} cannot be written: there is no folder {path.parent}",
            "Make it, or choose another --output.",
        )
    text = draft_text(draft, path.parent)
    hint = "Change the option that says so; `mpcseg study new --help` has them all."
    spec = draft_terms(tomllib.loads(text), path, hint=hint)
    if spec.expires < _today():
        raise ConfigError(f"the last day {spec.expires} is over already", "Change --expires.")
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
        _PARTY.format(card=_path(card, folder), records=_most_records(draft.most_records.get(name)))
        for name, card in zip(names, draft.parties, strict=True)
    )
    consent = draft.consent or ("may_be_used", "yes")
    return _DRAFT.format(
        name=_text(draft.name),
        purpose=_text(draft.purpose),
        legal_basis=_text(draft.legal_basis),
        n_clusters=_clusters(draft.n_clusters),
        n_rounds=draft.n_rounds,
        seed=draft.seed,
        parameter_set=_text(draft.parameter_set),
        expires=expires.isoformat(),
        retention_days=_number(draft.retention_days),
        radius="# radius = 1.5" if draft.radius is None else f"radius = {_number(draft.radius)}",
        features="\n".join(_feature(feature) for feature in draft.features),
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
    return _FEATURE.format(
        name=_text(feature.name),
        transform=_text(feature.transform),
        lower=_number(feature.lower),
        upper=_number(feature.upper),
    )


def _most_records(number: int | None) -> str:
    return "# most_records = 5000" if number is None else f"most_records = {number}"


_FEATURE = """\
[[features]]
name = {name}
transform = {transform}
lower = {lower}
upper = {upper}
"""

_PARTY = """\
[[parties]]
card = {card}
{records}
"""

_DRAFT = """\
# The draft of a study agreement. Discuss and edit it; nobody has signed it yet. Then one
# organisation freezes and signs it, and sends the file NAME.agreement round for the others to sign:
#
#     mpcseg study sign THIS_FILE --identity FOLDER
#
# Comments are not part of the agreement. Paths of cards count from this file's folder.

name = {name}

# What the segments are for, and why the customers' records may be used for it (such as consent, or
# a legitimate interest, with where it is written down). Both are part of what is signed; one line
# of plain text each.
purpose = {purpose}
legal_basis = {legal_basis}

# How many segments to look for, and how many rounds at most: rounds end earlier once the segments
# stand still. Each round spends privacy budget, so that more of them mean more noise in each.
# n_clusters = {{ smallest = 3, largest = 7 }} has the study choose: it tries each number out first,
# which takes rounds and three tenths of the privacy budget.
n_clusters = {n_clusters}
n_rounds = {n_rounds}

# Of the starting centroids; the same seed starts in the same way.
seed = {seed}

# "planned" chooses the smallest parameter set with 128-bit security that carries the study;
# `mpcseg plan --study THIS_FILE` shows it with its cost. A set can be fixed by name.
parameter_set = {parameter_set}

# The last day (UTC) on which the study may run, and for how many days the compute node keeps
# anything once the last round is over.
expires = {expires}
retention_days = {retention_days}

# How far out a record may lie once each feature is scaled to [-1, 1]: its L2 norm is clipped to
# this. A smaller radius needs less noise, and pulls in whoever lies outside. Without it, records
# are clipped by the features' bounds alone.
{radius}

# --- features ------------------------------------------------------------------------------
# What is clustered on, in this order; no other column is read. Bounds are in original units and
# are agreed on without looking at anybody's data: values outside are clipped, counted and warned
# about. Bounds far wider than the data blur the segments, and noise with them. transform "log1p"
# suits amounts and counts with a heavy tail; "identity" leaves values as they are.

{features}
# --- consent -------------------------------------------------------------------------------
# Records whose column does not hold exactly this value, as text, take no part. Left out: every
# record in a party's table takes part.

{off}[consent]
{off}column = {column}
{off}value = {value}

# --- privacy -------------------------------------------------------------------------------
# The budget (differential privacy, for one record) of everything that the key node decrypts in all
# rounds together. Smaller epsilon, more noise; `mpcseg plan` says what it will mean for the
# expected number of records. delta should be well below one over the number of records.
#
# epsilon = "none" releases exact sums and must be acknowledged, word for word, by
#     acknowledgement = "{sentence}"

[privacy]
epsilon = {epsilon}
delta = {delta}
acknowledgement = {acknowledgement}

# --- release -------------------------------------------------------------------------------
# What leaves the key node: segments of fewer customers than smallest_segment are not shown, and
# every number is rounded to significant_digits (2 to 6). `report` names the organisations that
# receive the segment report, `centroids` those that can label their own customers; an empty list
# means nobody.

[release]
smallest_segment = {smallest_segment}
significant_digits = {significant_digits}
report = {report}
centroids = {centroids}

# --- organisations -------------------------------------------------------------------------
# Each is known by the card that it made with `mpcseg identity new` and sent round. Compare the
# fingerprints (`mpcseg identity show FILE.card`) by telephone before you sign.
#
# The compute node and the key node must be run by organisations that do not collude: together
# they could decrypt every record. Two organisations are enough for a study: one runs the key node
# and a party node, the other the compute node and a party node.

[compute]
card = {compute}

[key]
card = {key}

# most_records is optional: how many records a party brings at most. Parties that say so, and fit,
# share a block of ciphertexts (8192 records in the smaller parameter sets, 16384 in the larger),
# and rounds get cheaper, for a block costs the same however full it is. A party without it fills
# blocks of its own, and the compute node learns how many.

{parties}"""
