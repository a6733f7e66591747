"""Results as an organisation receives them: what it is entitled to, signed and sealed to it alone.

The key node makes one sealed file per recipient, the compute node carries it and cannot read it,
and the recipient opens it with its identity (docs/protocol.md section 7).

Who receives the report only gets no centroids. The difference is worth less than it seems: a
segment's mean and its centroid are close once the rounds have come to rest, so that whoever has the
means can label customers by them nearly as well. What the report lacks is the metric, not the means
to sort people into segments. An organisation that must not be able to do that must not receive the
report either.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import rfc8785
from pydantic import TypeAdapter, ValidationError

from mpcseg.errors import AgreementError, ConfigError, SealError, SignatureError
from mpcseg.privacy.release import significant
from mpcseg.reference.rounds import SCOUT_KINDS, RoundKind
from mpcseg.study.card import SIGNATURE_BYTES, verify_signature
from mpcseg.study.choice_figures import choice_fits, longest_choice
from mpcseg.study.column_shapes import columns_fit, longest_categories, longest_numeric
from mpcseg.study.figures import (
    LARGEST_NOTES,
    NOTE_CHARACTERS,
    Centroids,
    FeatureFigures,
    Quality,
    Report,
    SegmentFigures,
    centroids_of,
    report_of,
)
from mpcseg.study.identity import Identity
from mpcseg.study.joint import JointMoments
from mpcseg.study.outcome import StudyResult
from mpcseg.study.sealing import OVERHEAD_BYTES, seal
from mpcseg.study.spec import StudySpec

if TYPE_CHECKING:  # it loads OpenDP, which a recipient does not need
    from mpcseg.privacy.ledger import Ledger

_FORMAT = "mpcseg results 2"
_PURPOSE = "results"
_INFO = b"mpcseg results\0"
_LENGTH_BYTES = 4
_PADDING = 4096
_BUDGET_DIGITS = 6

_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class PrivacySpent:
    """What a study has spent of its privacy budget.

    Attributes:
        epsilon: None for a study without noise.
        delta: likewise.
        shares: of the spent zCDP by kind of round, between 0 and 1; empty without noise.
    """

    epsilon: float | None
    delta: float | None
    shares: Mapping[str, float]


NO_NOISE = PrivacySpent(None, None, {})


def privacy_spent(spec: StudySpec, ledger: Ledger) -> PrivacySpent:
    """Sum up the key node's ledger; run by the key node.

    Args:
        spec: the agreement.
        ledger: with all rounds of all runs under it.
    """
    total = ledger.spent_rho
    if not spec.privacy.is_noised or not 0 < total < math.inf:
        return NO_NOISE
    shares: dict[str, float] = {}
    for entry in ledger.entries:
        shares[entry.kind] = shares.get(entry.kind, 0.0) + entry.rho / total
    return PrivacySpent(
        significant(ledger.epsilon, _BUDGET_DIGITS),
        spec.privacy.delta,
        {kind: significant(share, _BUDGET_DIGITS) for kind, share in shares.items()},
    )


@dataclass(frozen=True)
class Results:
    """What one organisation receives.

    Attributes:
        study: the study's name.
        study_digest: of the agreement, 64 hex digits.
        recipient: the organisation.
        made_at: UTC, to the second, as in 2025-03-31T12:00:00Z.
        features: the features' names, in order.
        smallest_segment: the agreed limit.
        privacy: what was spent.
        report: None for an organisation that does not receive it.
        centroids: likewise.
    """

    study: str
    study_digest: str
    recipient: str
    made_at: str
    features: tuple[str, ...]
    smallest_segment: int
    privacy: PrivacySpent
    report: Report | None
    centroids: Centroids | None

    @property
    def document(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {"format": _FORMAT, **asdict(self)}

    @property
    def canonical(self) -> bytes:
        """The document as canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.document)


_RESULTS: TypeAdapter[Results] = TypeAdapter(Results)
_NONSENSE = (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError)


def make_results(
    spec: StudySpec,
    recipient: str,
    result: StudyResult,
    spent: PrivacySpent,
    made_at: datetime.datetime | None = None,
) -> Results:
    """What one organisation may know of a finished study; run by the key node.

    Args:
        spec: the agreement.
        recipient: one of the agreement's recipients.
        result: what the schedule made of the released sums.
        spent: of the privacy budget.
        made_at: now, if not given.

    Raises:
        AgreementError: the agreement gives this organisation nothing.
    """
    if recipient not in spec.recipients:
        raise AgreementError(f"the agreement on '{spec.name}' gives '{recipient}' no results")
    time = made_at or datetime.datetime.now(datetime.UTC)
    return Results(
        study=spec.name,
        study_digest=spec.digest,
        recipient=recipient,
        made_at=time.astimezone(datetime.UTC).strftime(_TIME),
        features=spec.feature_names,
        smallest_segment=spec.release.smallest_segment,
        privacy=spent,
        report=report_of(spec, result) if recipient in spec.release.report else None,
        centroids=centroids_of(spec, result) if recipient in spec.release.centroids else None,
    )


def seal_results(
    spec: StudySpec, identity: Identity, result: StudyResult, spent: PrivacySpent
) -> dict[str, bytes]:
    """Make, sign and seal the results for every recipient; run by the key node.

    A sealed file's length is that of the longest results that its recipient could have, so that
    whoever carries it cannot tell from it whether segments are hidden.

    Args:
        spec: the agreement.
        identity: of the key node's organisation.
        result: what the schedule made of the released sums.
        spent: of the privacy budget.

    Returns:
        One sealed file per recipient, by name.

    Raises:
        AgreementError: the identity is not that of the key node's organisation.
    """
    if identity.card != spec.current_card(spec.key.name):
        raise AgreementError(
            f"'{identity.name}' does not run the key node of '{spec.name}' by this identity",
            "Results are signed with the identity whose card is in the agreement.",
        )
    made_at = datetime.datetime.now(datetime.UTC)
    sealed = {}
    for recipient in spec.recipients:
        document = make_results(spec, recipient, result, spent, made_at).canonical
        signature = identity.sign(_PURPOSE, _signed(spec, recipient, document))
        content = len(document).to_bytes(_LENGTH_BYTES, "big") + signature + document
        padded = content.ljust(_padded_bytes(spec, recipient, len(content)), b"\0")
        card = spec.card_of(recipient)
        sealed[recipient] = _header(spec, recipient) + seal(card, padded, _info(spec, recipient))
    return sealed


def open_results(spec: StudySpec, identity: Identity, sealed: bytes) -> Results:
    """Open what the key node sealed for this organisation; run by a recipient.

    1. The file says that it holds results of this study, for this organisation.
    2. It opens with this identity's sealing key, for this study and organisation, unchanged.
    3. The key node's organisation has signed study, recipient and document.
    4. The document is what results look like, and says the same of study and recipient.

    An earlier run of the same agreement has results that open as well; ``made_at`` tells them
    apart.

    Args:
        spec: the agreement.
        identity: the recipient's own.
        sealed: the file's content.

    Raises:
        SealError: one of these does not hold; says which.
    """
    sealed_part = _without_header(spec, identity.name, sealed)  # 1
    try:
        content = identity.open_sealed(sealed_part, _info(spec, identity.name))  # 2
    except SealError:
        raise SealError(
            "the sealed results cannot be opened: they were changed on the way, or sealed under "
            f"another card of '{identity.name}' than that of this identity",
            "Fetch them again, with the identity whose card is in the agreement.",
        ) from None
    signature, document = _unpadded(content)
    try:
        signed = _signed(spec, identity.name, document)
        verify_signature(spec.key, _PURPOSE, signed, signature)  # 3
    except SignatureError:
        raise SealError(
            f"the results are not signed by '{spec.key.name}', which runs the key node",
            "Somebody else made them. Do not use them, and tell the others.",
        ) from None
    return _read(spec, identity.name, document)  # 4


def read_results(spec: StudySpec, content: bytes) -> Results:
    """Results that were opened earlier and kept as a file; nothing tells who made the file.

    Args:
        spec: the agreement.
        content: of the file, as `Results.document` in JSON.

    Raises:
        ConfigError: these are no results of this study, or of another version.
    """
    try:
        document = rfc8785.dumps(json.loads(content))
        return _parsed(spec, json.loads(document)["recipient"], document)
    except (*_NONSENSE, rfc8785.CanonicalizationError):
        raise ConfigError(
            f"these are no results of '{spec.name}', or of another version of mpcseg",
            "Take results.json as `mpcseg party results` wrote it, and its agreement.",
        ) from None


def sealed_bytes(spec: StudySpec, recipient: str) -> int:
    """Length of the sealed file of a recipient, known from the agreement alone."""
    return len(_header(spec, recipient)) + _padded_bytes(spec, recipient) + OVERHEAD_BYTES


def _signed(spec: StudySpec, recipient: str, document: bytes) -> bytes:
    return bytes.fromhex(spec.digest) + recipient.encode() + b"\0" + document


def _info(spec: StudySpec, recipient: str) -> bytes:
    return _INFO + bytes.fromhex(spec.digest) + recipient.encode()


def _header(spec: StudySpec, recipient: str) -> bytes:
    """What a sealed file says of itself in the clear, for a plain message to whoever has it."""
    return f"{_FORMAT}\n{spec.digest}\n{recipient}\n".encode()


def _without_header(spec: StudySpec, recipient: str, sealed: bytes) -> bytes:
    parts = sealed.split(b"\n", 3)
    if len(parts) != 4 or parts[0] != _FORMAT.encode():
        raise SealError(
            "this is not a file of sealed results of this version",
            "Take what `mpcseg party results` fetched, as it is.",
        )
    if parts[1] != spec.digest.encode():
        raise SealError(
            f"these are results of another study than '{spec.name}', or of another agreement",
            "Open them with the agreement that they were made under.",
        )
    if parts[2] != recipient.encode():
        raise SealError(
            f"these results are sealed for another organisation than '{recipient}'",
            "Every recipient has a file of its own; fetch yours.",
        )
    return parts[3]


def _unpadded(content: bytes) -> tuple[bytes, bytes]:
    """Signature and document of an opened file; what is not there fails at the signature."""
    start = _LENGTH_BYTES + SIGNATURE_BYTES
    end = start + int.from_bytes(content[:_LENGTH_BYTES], "big")
    return content[_LENGTH_BYTES:start].ljust(SIGNATURE_BYTES, b"\0"), content[start:end]


def _read(spec: StudySpec, recipient: str, document: bytes) -> Results:
    """The results in a signed document, which may still be nonsense."""
    try:
        return _parsed(spec, recipient, document)
    except _NONSENSE:
        raise SealError(
            f"'{spec.key.name}' has signed something that is not results of this study",
            "The key node may run another version of mpcseg than this one.",
        ) from None


def _parsed(spec: StudySpec, recipient: str, document: bytes) -> Results:
    """The results in a canonical document; one of `_NONSENSE` where there are none in it."""
    data = json.loads(document)
    if data.pop("format") != _FORMAT:
        raise ValueError("of another version")
    results = _RESULTS.validate_python(data)
    datetime.datetime.strptime(results.made_at, _TIME)
    if results.canonical != document or not _fits(spec, recipient, results):
        raise ValueError("not what this study has")
    return results


def _fits(spec: StudySpec, recipient: str, results: Results) -> bool:
    """Whether results say the same as the agreement, and have its shapes."""
    d, report, centroids = spec.n_features, results.report, results.centroids
    same = (results.study, results.study_digest, results.recipient, results.features) == (
        spec.name, spec.digest, recipient, spec.feature_names,
    )  # fmt: skip
    if report is not None:
        numbers = tuple(segment.number for segment in report.segments)
        same &= numbers == tuple(range(1, len(numbers) + 1))
        same &= all(len(segment.features) == d for segment in report.segments)
        same &= columns_fit(spec, report)
        same &= choice_fits(spec, report.choice)
        same &= report.moments is None or _has_shape(report.moments, d)
    if centroids is not None:
        same &= len(centroids.segments) == len(centroids.centers_scaled)
        same &= all(len(row) == d for row in centroids.centers_scaled)
        same &= len(centroids.feature_weights) == (d if centroids.segments else 0)
        same &= centroids.features == spec.feature_names
    return same


def _has_shape(moments: JointMoments, d: int) -> bool:
    """Whether joint moments are those of d features."""
    sides = (moments.centres, moments.lows, moments.highs)
    pairs = d * (d - 1) // 2
    return all(len(side) == d for side in sides) and len(moments.correlations) == pairs


def _padded_bytes(spec: StudySpec, recipient: str, needed: int = 0) -> int:
    """Length before sealing: that of the longest document, up to the next multiple of 4 KiB."""
    longest = len(_longest(spec, recipient).canonical) + _LENGTH_BYTES + SIGNATURE_BYTES
    return -(-max(longest, needed) // _PADDING) * _PADDING


def _longest(spec: StudySpec, recipient: str) -> Results:
    """Results in which nothing is hidden and every number as wide as a number can be."""
    count, number = 2**53 - 1, -1.2345678901234567e-300
    k, d = spec.most_clusters, spec.n_features
    feature = FeatureFigures(number, number, number, number, number, number, number)
    segment = SegmentFigures(count, count, count, number, number, (feature,) * d)
    notes = ("\0" * NOTE_CHARACTERS,) * LARGEST_NOTES  # six bytes each in JSON
    quality = Quality(number, count, False, notes, number, number, number)
    every, pairs = (number,) * d, (number,) * (d * (d - 1) // 2)
    moments = JointMoments(every, every, every, pairs)
    report = Report(
        count, (segment,) * k, count, "-" * 200, quality, moments,
        numeric_columns=longest_numeric(spec, k, number),
        categories=longest_categories(spec, k, count, number),
        fairness_threshold=spec.fairness.threshold,
        choice=longest_choice(spec, count, number),
    )  # fmt: skip
    centroids = Centroids(
        (count,) * k, ((number,) * d,) * k, (number,) * d, spec.feature_names, count
    )
    kinds = [k for k in get_args(RoundKind) if spec.scouting or k not in SCOUT_KINDS]
    spent = PrivacySpent(number, number, dict.fromkeys(kinds, number))
    empty = Results(
        spec.name, spec.digest, recipient, "2000-01-01T00:00:00Z", spec.feature_names,
        count, spent, None, None,
    )  # fmt: skip
    return replace(
        empty,
        report=report if recipient in spec.release.report else None,
        centroids=centroids if recipient in spec.release.centroids else None,
    )
