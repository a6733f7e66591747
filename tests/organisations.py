"""Organisations, studies and agreements for tests, made quickly."""

from __future__ import annotations

import datetime
import functools
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mpcseg.study.agreement import Agreement, freeze, utc_today, write_agreement
from mpcseg.study.identity import Identity, new_identity
from mpcseg.study.spec import NO_NOISE_SENTENCE, FeatureSpec, StudySpec

LOCAL_HOSTS = ("127.0.0.1", "localhost")


def identity(name: str, number: int = 0) -> Identity:
    """An organisation's identity, the same in the whole test session.

    Args:
        name: the organisation's name.
        number: another number, another identity of that name.
    """
    return _identity(name, number)


@functools.cache
def _identity(name: str, number: int) -> Identity:
    with tempfile.TemporaryDirectory() as folder:
        return new_identity(name, Path(folder), LOCAL_HOSTS)


def identities(*names: str) -> dict[str, Identity]:
    """Several organisations' identities by name."""
    return {name: identity(name) for name in names}


def features(*names: str) -> tuple[FeatureSpec, ...]:
    """Features with bounds of -1 and 1, so that scaling changes nothing."""
    return tuple(FeatureSpec(name=name, lower=-1, upper=1) for name in names)


def study_spec(
    *,
    compute: str = "hub",
    key: str = "keeper",
    parties: Iterable[str] | Mapping[str, int | None] = ("alder", "birch"),
    known: Mapping[str, Identity] | None = None,
    **overrides: Any,
) -> StudySpec:
    """A valid study; noise and release terms are the defaults of an agreement.

    Args:
        compute: the organisation of the compute node.
        key: the organisation of the key node.
        parties: the parties' names, or their names with the most records that they bring.
        known: identities to use instead of those of `identity`.
        overrides: any field of `StudySpec`.
    """
    found = {**(known or {})}
    most = dict(parties) if isinstance(parties, Mapping) else dict.fromkeys(parties)
    for name in (compute, key, *most):
        found.setdefault(name, identity(name))
    everybody = tuple(most)
    fields: dict[str, Any] = {
        "name": "trial",
        "purpose": "Segments for a joint spring campaign.",
        "legal_basis": "Consent, Art. 6 (1) a GDPR.",
        "n_clusters": 2,
        "n_rounds": 2,
        "features": features("x0", "x1"),
        "release": {"report": everybody, "centroids": everybody},
        "expires": utc_today() + datetime.timedelta(days=30),
        "compute": found[compute].card.model_dump(),
        "key": found[key].card.model_dump(),
        "parties": [
            {**found[name].card.model_dump(), "most_records": records}
            for name, records in most.items()
        ],
    }
    return StudySpec.model_validate({**fields, **overrides})


def no_noise() -> dict[str, Any]:
    """The ``privacy`` of a study without noise."""
    return {"epsilon": "none", "acknowledgement": NO_NOISE_SENTENCE}


def signed(spec: StudySpec, known: Mapping[str, Identity] | None = None) -> Agreement:
    """The agreement on a study, signed by everybody."""
    agreement = freeze(spec)
    for card in spec.organisations:
        agreement = agreement.signed_by((known or {}).get(card.name) or identity(card.name))
    return agreement


def write_study(
    path: Path, spec: StudySpec | None = None, known: Mapping[str, Identity] | None = None
) -> Path:
    """Write an agreement file that everybody has signed; returns its path."""
    write_agreement(signed(spec or study_spec(), known), path)
    return path


def save_identity(folder: Path, name: str, **options: Any) -> Identity:
    """A fresh identity that is kept in a folder, for tests that run commands."""
    return new_identity(name, folder, LOCAL_HOSTS, **options)
