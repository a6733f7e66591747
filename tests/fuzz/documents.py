"""Targets: agreements, cards, drafts, configurations, records, results, identities, ledgers."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rfc8785

from mpcseg.cli.config import ComputeConfig, KeyConfig, PartyConfig, load_config
from mpcseg.nodes.planning import study_plan
from mpcseg.privacy.ledger import Ledger
from mpcseg.study import closing, results
from mpcseg.study.agreement import parse_agreement
from mpcseg.study.card import card_text, load_card
from mpcseg.study.draft import load_draft
from mpcseg.study.identity import (
    CERTIFICATE_FILE,
    PRIVATE_KEYS_FILE,
    load_identity,
    renew_identity,
)
from mpcseg.study.nearest import ReleasedCentroids
from mpcseg.study.policy import load_policy, verify_policy
from mpcseg.study.renewal import new_renewal, parse_renewal
from mpcseg.study.sealing import seal
from mpcseg.study.spec import StudySpec
from tests.fuzz.mutation import mutate_bytes, mutate_json, mutate_toml
from tests.fuzz.target import Target, in_file, scratch
from tests.made_up import SPENT, agreed, finished
from tests.organisations import identity, save_identity, signed, study_spec

TEMPLATES = Path(__file__).parents[2] / "parties"
TIME = "2025-03-31T12:00:00Z"
DIGEST = b"@STUDY-DIGEST@"
"""Stands in kept inputs for the study's digest, which is another one in each session."""


@functools.cache
def spec() -> StudySpec:
    """The study that documents are about: its five segments go to alder, birch and hub."""
    return agreed()


def with_digest(data: bytes) -> bytes:
    """An input with the session's study digest in it."""
    return data.replace(DIGEST, spec().digest.encode())


def without_digest(data: bytes) -> bytes:
    """An input that can be kept."""
    return data.replace(spec().digest.encode(), DIGEST)


# --- agreement -----------------------------------------------------------------------------


def _agreement(data: bytes) -> None:
    agreement = parse_agreement(data, "the agreement")
    assert agreement.canonical == data
    for check in agreement.checks(None):
        assert check.what


def _agreement_terms(data: bytes) -> None:
    """Terms alone, laid over a good agreement, so that mutations need not be canonical."""
    try:
        terms = json.loads(data)
        whole = json.loads(signed(study_spec()).canonical)
        content = rfc8785.dumps({**whole, "agreement": terms})
    except (ValueError, RecursionError):
        return
    _agreement(content)


def _terms() -> list[bytes]:
    return [rfc8785.dumps(json.loads(signed(one).canonical)["agreement"]) for one in _studies()]


def _studies() -> list[StudySpec]:
    consent = {"column": "may", "value": "yes"}
    return [study_spec(), spec(), study_spec(consent=consent, radius=1.0)]


def _renewal(data: bytes) -> None:
    renewal = parse_renewal(data, "the renewal")
    assert renewal.canonical == data
    for check in renewal.checks(study_spec()):
        assert check.what


@functools.cache
def _renewals() -> list[bytes]:
    new = renew_identity(identity("alder"), scratch() / "renewed")
    renewal = new_renewal(study_spec(), [new.card])
    for card in study_spec().organisations:
        own = new if card.name == new.name else identity(card.name)
        renewal = renewal.signed_by(study_spec(), own)
    return [renewal.canonical]


# --- cards and identities ------------------------------------------------------------------


def _card(data: bytes) -> None:
    card = load_card(in_file(data, "foreign.card"))
    assert load_card(in_file(data, "foreign.card")) == card


def _card_seeds() -> list[bytes]:
    alder = identity("alder")
    return [card_text(alder.card, alder.sign("card", alder.card.canonical)).encode()]


def _certificate(data: bytes) -> None:
    folder = _own_folder()
    (folder / CERTIFICATE_FILE).write_bytes(data)
    assert load_identity(folder).name == "alder"


def _private_keys(data: bytes) -> None:
    folder = _own_folder()
    (folder / PRIVATE_KEYS_FILE).write_bytes(data)
    assert load_identity(folder, None).name == "alder"


@functools.cache
def _own() -> dict[str, bytes]:
    folder = scratch() / "made"
    save_identity(folder, "alder")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _own_folder() -> Path:
    folder = scratch() / "own"
    folder.mkdir(exist_ok=True)
    for name, content in _own().items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    return folder


# --- drafts, configurations, policies ------------------------------------------------------


def _draft(data: bytes) -> None:
    cards = scratch() / "cards"
    cards.mkdir(exist_ok=True)
    for name in ("hub", "notary", "alder", "birch"):
        path = cards / f"{name}.card"
        if not path.exists():
            own = identity(name)
            path.write_text(card_text(own.card, own.sign("card", own.card.canonical)))
    load_draft(in_file(data, "draft.toml"))


def _configuration(data: bytes) -> None:
    models = (PartyConfig, KeyConfig, ComputeConfig)
    model = models[data[0] % 3] if data else PartyConfig
    loaded = load_config(model, in_file(data[1:], "node.toml"), {})
    if isinstance(loaded, PartyConfig):
        assert loaded.source.name


def _configurations() -> list[bytes]:
    roles = ("party", "key", "compute")
    return [
        bytes([number]) + (TEMPLATES / role / f"{role}.toml").read_bytes()
        for number, role in enumerate(roles)
    ]


def _policy(data: bytes) -> None:
    verify_policy(load_policy(in_file(data, "policy.toml")), spec(), {})


def _template(name: str) -> Callable[[], list[bytes]]:
    return lambda: [(TEMPLATES / name).read_bytes()]


# --- closing records -----------------------------------------------------------------------


def _record(data: bytes) -> None:
    record = closing.verify_record(spec(), data)
    assert closing.sign_record(spec(), identity("hub"), record) == data


def _signed_record(data: bytes) -> None:
    """What a lying compute node may sign."""
    try:
        content = json.loads(with_digest(data))
        canonical = rfc8785.dumps(content)
    except (ValueError, RecursionError):
        return
    signature = identity("hub").sign(closing._RECORD_PURPOSE, canonical)
    _record(rfc8785.dumps({"record": content, "signature": closing._text(signature)}))


def _records() -> list[bytes]:
    keeper = identity("keeper")
    digest = spec().digest
    request = closing.sign_request(keeper, digest, "close", TIME)
    destroyed = closing.sign_key_destroyed(keeper, digest, 70, TIME)
    purged = closing.Purged(12, 34_000_000)
    full = closing.ClosingRecord("closed", TIME, purged, request, destroyed)
    short = closing.ClosingRecord("aborted", TIME, purged, None, None, "node_vanished")
    return [closing.sign_record(spec(), identity("hub"), record) for record in (full, short)]


def _record_contents() -> list[bytes]:
    return [rfc8785.dumps(json.loads(record)["record"]) for record in _records()]


# --- results -------------------------------------------------------------------------------


def _results(data: bytes) -> None:
    opened = results.open_results(spec(), identity("alder"), data)
    if opened.centroids is not None:
        # Whatever the key node has signed, labelling must be able to refuse it.
        ReleasedCentroids.of_document(opened.centroids.document, spec().feature_names)


def _sealed() -> list[bytes]:
    made = results.seal_results(spec(), identity("keeper"), finished(_SIZES), SPENT)
    return [made["alder"]]


def _signed_results(data: bytes) -> None:
    """What a lying key node may sign and seal."""
    document, study, recipient = with_digest(data), spec(), "alder"
    body = results._signed(study, recipient, document)
    signature = identity("keeper").sign(results._PURPOSE, body)
    content = len(document).to_bytes(results._LENGTH_BYTES, "big") + signature + document
    info = results._info(study, recipient)
    sealed = seal(study.card_of(recipient), content, info)
    _results(results._header(study, recipient) + sealed)


def _documents() -> list[bytes]:
    sizes: tuple[list[float], ...] = (_SIZES, [300.0, 1200.4, 650.1, 200.0, 100.0])
    return [results.make_results(spec(), "alder", finished(s), SPENT).canonical for s in sizes]


_SIZES = [1200.4, 15.2, 650.1, 0.0, 303.3]


def _centroids(data: bytes) -> None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(document, dict):
        return
    read = ReleasedCentroids.of_document(document, spec().feature_names)
    assert read.centers.shape == (len(read.segments), spec().n_features)


def _centroid_seeds() -> list[bytes]:
    made = results.make_results(spec(), "alder", finished(_SIZES), SPENT).centroids
    assert made is not None
    return [json.dumps(made.document).encode()]


# --- the ledger ----------------------------------------------------------------------------


def _ledger(data: bytes) -> None:
    path = in_file(with_digest(data), "ledger.json")
    ledger = Ledger.load(path, _noise(), spec().digest)
    assert ledger.epsilon >= 0
    ledger.save(path)
    assert Ledger.load(path, _noise(), spec().digest).entries == ledger.entries


@functools.cache
def _noise() -> Any:
    return study_plan(spec()).noise


def _ledgers() -> list[bytes]:
    ledger = Ledger(_noise(), spec().digest)
    for index, kind in enumerate(("admission", "moments")):
        ledger.spend(kind, index + 1)
    path = scratch() / "made-ledger.json"
    ledger.save(path)
    return [without_digest(path.read_bytes())]


def _keepable(seeds: Callable[[], list[bytes]]) -> Callable[[], list[bytes]]:
    return lambda: [without_digest(seed) for seed in seeds()]


_JSON, _TOML = (mutate_json, mutate_json, mutate_bytes), (mutate_toml, mutate_toml, mutate_bytes)


def _toml_after_first(random_: random.Random, data: bytes) -> bytes:
    return data[:1] + mutate_toml(random_, data[1:])


DOCUMENT_TARGETS = (
    Target("agreement", _agreement, lambda: [signed(one).canonical for one in _studies()], _JSON),
    Target("agreement-terms", _agreement_terms, _terms, (mutate_json,), tries=60),
    Target("renewal", _renewal, _renewals, _JSON),
    Target("card", _card, _card_seeds, _TOML),
    Target("certificate", _certificate, lambda: [_own()[CERTIFICATE_FILE]], tries=60),
    Target("private-keys", _private_keys, lambda: [_own()[PRIVATE_KEYS_FILE]], tries=60),
    Target("draft", _draft, _template("study.toml"), _TOML, tries=100),
    Target("configuration", _configuration, _configurations, (_toml_after_first, mutate_bytes)),
    Target("policy", _policy, _template("policy.toml"), _TOML),
    Target("closing-record", _record, _records, _JSON),
    Target("signed-closing-record", _signed_record, _keepable(_record_contents), _JSON),
    Target("sealed-results", _results, _sealed, tries=60),
    Target("signed-results", _signed_results, _keepable(_documents), _JSON, tries=80),
    Target("centroids", _centroids, _centroid_seeds, _JSON),
    Target("ledger", _ledger, _ledgers, _JSON),
)
