"""The agreement: what was signed runs, and nothing else does.

Most of this is a table of operations on an agreement, each with success or the reason for its
refusal, as in the test vectors of the VDAF specification.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from mpcseg.errors import (
    AgreementError,
    CertificateEndedError,
    ConfigError,
    ExpiredError,
    MpcsegError,
    PolicyError,
    SignatureError,
)
from mpcseg.study.agreement import (
    PURPOSE,
    Agreement,
    freeze,
    is_agreement,
    load_agreement,
    load_study,
    load_terms,
    parse_agreement,
    utc_today,
    verify_member,
    write_agreement,
)
from mpcseg.study.card import card_text
from mpcseg.study.draft import Draft, write_draft
from mpcseg.study.identity import Identity
from mpcseg.study.policy import Policy, verify_policy
from mpcseg.study.spec import StudySpec
from tests.organisations import identity, save_identity, signed, study_spec, write_study

TODAY = datetime.date(2027, 3, 1)
DAY = datetime.timedelta(days=1)

Document = dict[str, Any]


@cache
def spec() -> StudySpec:
    """A study of two organisations; `TODAY` is its last day but one."""
    return study_spec(compute="birch", key="alder", parties=("alder", "birch"), expires=TODAY + DAY)


@cache
def agreement() -> Agreement:
    return signed(spec())


def run(content: bytes, today: datetime.date = TODAY) -> StudySpec:
    """What a node does with a file."""
    read = parse_agreement(content, "the agreement")
    read.verify(today)
    return read.spec


def edited(change: Callable[[Document], object]) -> bytes:
    """The agreement with one change to its content, written canonically again."""
    document = json.loads(agreement().canonical)
    change(document)
    return rfc8785.dumps(document)


def with_signature(name: str, signature: bytes) -> bytes:
    return Agreement(spec(), {**agreement().signatures, name: signature}).canonical


def replaced(old: bytes, new: bytes) -> bytes:
    content = agreement().canonical
    assert content.count(old) >= 1
    return content.replace(old, new, 1)


def digest_of(other: StudySpec) -> bytes:
    return bytes.fromhex(other.digest)


def by_tls_key(of: Identity) -> bytes:
    """A P-256 signature in 64 bytes, over what should have been signed by the Ed25519 key."""
    key = serialization.load_pem_private_key(of.private_key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signed_bytes = b"mpcseg " + PURPOSE.encode() + b"\0" + digest_of(spec())
    r, s = decode_dss_signature(key.sign(signed_bytes, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def swapped() -> bytes:
    alder, birch = (agreement().signatures[name] for name in ("alder", "birch"))
    return Agreement(spec(), {"alder": birch, "birch": alder}).canonical


def without(name: str) -> bytes:
    return edited(lambda document: document["signatures"].pop(name))


def with_another_certificate() -> bytes:
    other = identity("alder", 1).certificate_pem.decode()

    def change(document: Document) -> None:
        document["agreement"]["key"]["certificate"] = other
        document["agreement"]["parties"][0]["certificate"] = other

    return edited(change)


def of_expired_certificate() -> bytes:
    with_days = {"alder": ended("alder")}
    terms = study_spec(
        compute="birch", key="alder", known=with_days, expires=TODAY + DAY, parties=("birch",)
    )
    return signed(terms, with_days).canonical


@cache
def ended(name: str) -> Identity:
    """An identity whose certificate has just ended."""
    with tempfile.TemporaryDirectory() as folder:
        return save_identity(Path(folder), name, days=0)


def reordered() -> bytes:
    document = json.loads(agreement().canonical)
    return json.dumps(
        {"signatures": document["signatures"], "agreement": document["agreement"]},
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode()


def signed_by_a_stranger() -> bytes:
    return with_signature("alder", identity("oak").sign(PURPOSE, digest_of(spec())))


def signed_for_another_purpose() -> bytes:
    return with_signature("alder", identity("alder").sign("card", digest_of(spec())))


def signed_another_study() -> bytes:
    other = study_spec(compute="birch", key="alder", n_rounds=3)
    return with_signature("alder", identity("alder").sign(PURPOSE, digest_of(other)))


def with_extra_signature() -> bytes:
    return with_signature("oak", identity("oak").sign(PURPOSE, digest_of(spec())))


def drafted(alder_card: str) -> bytes:
    """What becomes of a draft with this card of 'alder'."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "alder.card").write_text(alder_card)
        birch = identity("birch")
        proof = birch.sign("card", birch.card.canonical)
        (folder / "birch.card").write_text(card_text(birch.card, proof))
        cards = (folder / "alder.card", folder / "birch.card")
        draft = Draft("s", "p", "l", compute=cards[1], key=cards[0], parties=cards)
        return signed(write_draft(draft, folder / "study.toml")).canonical


def of_a_card_that_another_key_signed() -> bytes:
    card = identity("alder").card
    return drafted(card_text(card, identity("birch").sign("card", card.canonical)))


def of_a_card_of_another_certificate() -> bytes:
    alder, other = identity("alder"), identity("alder", 1).certificate_pem.decode()
    text = card_text(alder.card, alder.sign("card", alder.card.canonical))
    return drafted(text.replace(alder.certificate_pem.decode(), other))


def under_policy(**rules: Any) -> bytes:
    verify_policy(Policy.model_validate(rules), spec())
    return agreement().canonical


def with_format(text: str) -> bytes:
    return edited(lambda document: document["agreement"].update(format=text))


NOT_MADE = "in the name of 'alder' was not made by its key over these terms"
NOT_CANONICAL = "not written in its canonical form"

# What is done, the file that results, the day on which it is run, and why it is refused (None: it
# runs).
OPERATIONS: list[
    tuple[str, Callable[[], bytes], datetime.date, tuple[type[MpcsegError], str] | None]
] = [
    ("nothing", lambda: agreement().canonical, TODAY, None),
    ("run on its last day", lambda: agreement().canonical, TODAY + DAY, None),
    ("run on the day after", lambda: agreement().canonical, TODAY + 2 * DAY,
     (ExpiredError, "its last day was 2027-03-02, today is 2027-03-03")),
    ("signed again", lambda: agreement().signed_by(identity("alder")).canonical, TODAY, None),
    ("a line break at the end", lambda: agreement().canonical + b"\n", TODAY,
     (AgreementError, NOT_CANONICAL)),
    ("a blank in front", lambda: b" " + agreement().canonical, TODAY,
     (AgreementError, "is not an agreement file")),
    ("a blank between", lambda: replaced(b'":', b'": '), TODAY, (AgreementError, NOT_CANONICAL)),
    ("a byte order mark", lambda: b"\xef\xbb\xbf" + agreement().canonical, TODAY,
     (AgreementError, "is not an agreement file")),
    ("written in UTF-16", lambda: agreement().canonical.decode().encode("utf-16-le"), TODAY,
     (AgreementError, "not valid JSON")),
    ("keys in another order", reordered, TODAY, (AgreementError, NOT_CANONICAL)),
    ("a key twice", lambda: replaced(b'"seed":0', b'"seed":0,"seed":0'), TODAY,
     (AgreementError, "a key stands twice")),
    ("a signature twice", lambda: replaced(b'"signatures":{', b'"signatures":{"alder":"",'), TODAY,
     (AgreementError, "a key stands twice")),
    ("a number written otherwise", lambda: replaced(b'"seed":0', b'"seed":0.0'), TODAY,
     (AgreementError, NOT_CANONICAL)),
    ("a number as text", lambda: replaced(b'"seed":0', b'"seed":"0"'), TODAY,
     (AgreementError, NOT_CANONICAL)),
    ("a letter written otherwise", lambda: replaced(b'"planned"', b'"\\u0070lanned"'), TODAY,
     (AgreementError, NOT_CANONICAL)),
    ("a default left out", lambda: edited(lambda d: d["agreement"].pop("seed")), TODAY,
     (AgreementError, NOT_CANONICAL)),
    ("an alias for a field",
     lambda: edited(lambda d: d["agreement"]["key"].update(
         certificate_pem=d["agreement"]["key"].pop("certificate"))), TODAY,
     (AgreementError, NOT_CANONICAL)),
    ("infinity", lambda: replaced(b'"seed":0', b'"seed":Infinity'), TODAY,
     (AgreementError, "Infinity is not a number of JSON")),
    ("a number beyond all", lambda: replaced(b'"radius":null', b'"radius":1e999'), TODAY,
     (AgreementError, "radius must be a finite number")),
    ("a number without end", lambda: replaced(b'"seed":0', b'"seed":' + b"9" * 5000), TODAY,
     (AgreementError, "changed or damaged")),
    ("brackets without end", lambda: b'{"agreement":' + b"[" * 100_000, TODAY,
     (AgreementError, "not valid JSON")),
    ("a number changed", lambda: edited(lambda d: d["agreement"].update(n_rounds=3)), TODAY,
     (SignatureError, "was not made by its key over these terms")),
    ("epsilon changed",
     lambda: edited(lambda d: d["agreement"]["privacy"].update(epsilon=20)), TODAY,
     (SignatureError, "was not made by its key over these terms")),
    ("the last day changed",
     lambda: edited(lambda d: d["agreement"].update(expires="2030-01-01")), TODAY + 2 * DAY,
     (SignatureError, "was not made by its key over these terms")),
    ("a recipient added",
     lambda: edited(lambda d: d["agreement"]["release"].update(report=["alder", "birch", "oak"])),
     TODAY, (AgreementError, "'oak' is not an organisation of the study")),
    ("a party added",
     lambda: edited(lambda d: d["agreement"]["parties"].append(
         {**identity("oak").card.document, "most_records": None})), TODAY,
     (SignatureError, "was not made by its key over these terms")),
    ("a field added", lambda: edited(lambda d: d["agreement"].update(note="")), TODAY,
     (AgreementError, "field note is unknown")),
    ("a field beside the terms", lambda: edited(lambda d: d.update(note="")), TODAY,
     (AgreementError, "an agreement and signatures, and nothing else")),
    ("another version", lambda: with_format("mpcseg agreement 3"), TODAY,
     (AgreementError, "its format is not 'mpcseg agreement 2'")),
    ("signatures as a list", lambda: edited(lambda d: d.update(signatures=[])), TODAY,
     (AgreementError, "not an object")),
    ("no signature", lambda: freeze(spec()).canonical, TODAY,
     (SignatureError, "signature of 'birch' is missing")),
    ("a signature taken out", lambda: without("alder"), TODAY,
     (SignatureError, "signature of 'alder' is missing")),
    ("two signatures swapped", swapped, TODAY,
     (SignatureError, "in the name of 'birch' was not made by its key")),
    ("a stranger's signature", signed_by_a_stranger, TODAY, (SignatureError, NOT_MADE)),
    ("a signature over another study", signed_another_study, TODAY, (SignatureError, NOT_MADE)),
    ("a signature for another purpose", signed_for_another_purpose, TODAY,
     (SignatureError, NOT_MADE)),
    ("a signature by the TLS key",
     lambda: with_signature("alder", by_tls_key(identity("alder"))), TODAY,
     (SignatureError, NOT_MADE)),
    ("a signature by another key of that name",
     lambda: with_signature("alder", identity("alder", 1).sign(PURPOSE, digest_of(spec()))), TODAY,
     (SignatureError, NOT_MADE)),
    ("a signature cut short",
     lambda: with_signature("alder", agreement().signatures["alder"][:-1]), TODAY,
     (SignatureError, NOT_MADE)),
    ("an empty signature", lambda: with_signature("alder", b""), TODAY,
     (SignatureError, NOT_MADE)),
    ("a signature of zeros", lambda: with_signature("alder", bytes(64)), TODAY,
     (SignatureError, NOT_MADE)),
    ("one signature more", with_extra_signature, TODAY,
     (SignatureError, "'oak' has signed and is not an organisation of the study")),
    ("a signature in no name",
     lambda: edited(lambda d: d["signatures"].update({"\x1b[2J": ""})), TODAY,
     (AgreementError, "in no possible name")),
    ("a signature in half a character's name",
     lambda: replaced(b'"signatures":{', b'"signatures":{"\\ud800":"",'), TODAY,
     (AgreementError, "in no possible name")),
    ("a signature that is no text",
     lambda: edited(lambda d: d["signatures"].update(alder=1)), TODAY,
     (AgreementError, "a signature is not a text")),
    ("a signature that is not base64",
     lambda: edited(lambda d: d["signatures"].update(alder="#")), TODAY,
     (AgreementError, "not base64 text")),
    ("loose bits in a signature",
     lambda: edited(lambda d: d["signatures"].update(alder=loosened(d["signatures"]["alder"]))),
     TODAY, (AgreementError, NOT_CANONICAL)),
    ("a certificate swapped", with_another_certificate, TODAY,
     (SignatureError, "was not made by its key over these terms")),
    ("a card changed in one role only",
     lambda: edited(lambda d: d["agreement"]["key"].update(identity("alder", 1).card.document)),
     TODAY, (AgreementError, "two organisations are named 'alder', with different cards")),
    ("a certificate that has ended", of_expired_certificate, TODAY,
     (CertificateEndedError, "certificate of 'alder' is valid from")),
    ("a card that another key signed", of_a_card_that_another_key_signed, TODAY,
     (SignatureError, r"alder\.card is not signed by its own signing key")),
    ("a card of another certificate", of_a_card_of_another_certificate, TODAY,
     (SignatureError, r"alder\.card is not signed by its own signing key")),
    ("an own policy that allows it", lambda: under_policy(largest_epsilon=1), TODAY, None),
    ("an own policy of less epsilon", lambda: under_policy(largest_epsilon=0.9), TODAY,
     (PolicyError, "largest_epsilon is 0.9, and 1 is agreed")),
    ("an own policy against the key holder", lambda: under_policy(key_holders=["oak"]), TODAY,
     (PolicyError, "key_holders does not have 'alder'")),
    ("an own policy against a column", lambda: under_policy(forbidden_columns=["X1"]), TODAY,
     (PolicyError, "forbidden_columns has 'X1'")),
    ("an empty file", lambda: b"", TODAY, (AgreementError, "is not an agreement file")),
    ("a draft", lambda: b'name = "spring"\n', TODAY, (AgreementError, "is not an agreement file")),
]  # fmt: skip


def loosened(text: str) -> str:
    """The same bytes in base64, with a bit set that no byte has room for."""
    assert text.endswith("==")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    loose = text[:-3] + alphabet[alphabet.index(text[-3]) | 1] + "=="
    assert base64.b64decode(loose) == base64.b64decode(text)
    assert loose != text
    return loose


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation[0])
def test_an_operation_on_an_agreement_succeeds_or_is_refused_with_the_reason(
    operation: tuple[str, Callable[[], bytes], datetime.date, Any],
) -> None:
    _, make, today, refused = operation
    if refused is None:
        assert run(make(), today) == spec()
        return
    error, reason = refused
    with pytest.raises(error, match=reason) as caught:
        run(make(), today)
    assert type(caught.value) is error
    assert caught.value.hint
    assert len(caught.value.message) < 500


# In some certificates, a bit turns the serial number negative: the library still reads them.
@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_any_changed_byte_is_refused() -> None:
    """Every byte outside the long keys and certificates, every ninth inside, in two ways each."""
    content = agreement().canonical
    inside = long_texts(content)
    positions = [i for i in range(len(content)) if i not in inside or i % 9 == 0]
    assert len(positions) > 1500
    for position in positions:
        for flip in (0x01, 0x20):  # another character; often the same letter in the other case
            changed = bytearray(content)
            changed[position] ^= flip
            with pytest.raises(AgreementError):
                run(bytes(changed))


def long_texts(content: bytes) -> set[int]:
    """Positions inside keys and certificates, but for their first and last four characters."""
    found: set[int] = set()
    begin = 0
    for end in [i for i, byte in enumerate(content) if byte == ord('"')]:
        if end - begin > 100:
            found.update(range(begin + 4, end - 4))
        begin = end + 1
    return found


def test_any_missing_or_added_byte_is_refused() -> None:
    content = agreement().canonical
    for position in range(0, len(content), 97):
        for changed in (
            content[:position],
            content[:position] + content[position + 1 :],
            content[:position] + b" " + content[position:],
            content[:position] + b"0" + content[position:],
        ):
            with pytest.raises(AgreementError):
                run(changed)


def test_an_agreement_is_written_read_and_run(tmp_path: Path) -> None:
    path = write_study(tmp_path / "trial.agreement")
    assert load_study(path) == load_terms(path) == study_spec()
    assert is_agreement(path)
    assert path.read_bytes() == signed(study_spec()).canonical
    assert [file.name for file in tmp_path.iterdir()] == ["trial.agreement"]


def test_signatures_are_collected_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "trial.agreement"
    terms = study_spec()
    write_agreement(freeze(terms), path)
    names = [card.name for card in terms.organisations]
    for i, name in enumerate(names):
        current = load_agreement(path)
        assert current.missing == tuple(names[i:])
        current.verify_signable(utc_today())
        with pytest.raises(SignatureError, match=f"'{name}' is missing"):
            load_study(path)
        write_agreement(current.signed_by(identity(name)), path)
    assert load_study(path) == terms


def test_nobody_signs_for_others() -> None:
    open_agreement = freeze(spec())
    with pytest.raises(SignatureError, match="'oak' is not an organisation of the study"):
        open_agreement.signed_by(identity("oak"))
    with pytest.raises(SignatureError, match="is not that of this identity"):
        open_agreement.signed_by(identity("alder", 1))


def test_an_agreement_in_ones_name_with_anothers_keys_is_noticed() -> None:
    """All signatures hold, and the certificate is right: only the whole card tells."""
    alder, oak = identity("alder"), identity("oak")
    forged = dataclasses.replace(
        alder,
        private_signing_key=oak.private_signing_key,
        private_sealing_key=oak.private_sealing_key,
    )
    terms = study_spec(known={"alder": forged})
    signed(terms, {"alder": forged}).verify(utc_today())
    assert terms.card_of("alder").fingerprint == alder.fingerprint
    with pytest.raises(SignatureError, match=r"card of 'alder' .* is not that of this identity"):
        verify_member(terms, alder)
    verify_member(study_spec(), alder)


def test_nobody_signs_what_is_not_in_order() -> None:
    alder = identity("alder")
    wrong = Agreement(spec(), {"birch": bytes(64)})
    with pytest.raises(SignatureError, match="in the name of 'birch'"):
        wrong.verify_signable(TODAY)
    foreign = Agreement(spec(), {"oak": alder.sign(PURPOSE, digest_of(spec()))})
    with pytest.raises(SignatureError, match="'oak' has signed"):
        foreign.verify_signable(TODAY)
    with pytest.raises(ExpiredError):
        freeze(spec()).verify_signable(TODAY + 2 * DAY)
    freeze(spec()).verify_signable(TODAY)


def test_the_checks_are_told_one_by_one() -> None:
    checks = list(agreement().checks(TODAY))
    assert [check.what for check in checks] == [
        "organisations",
        "signature of birch",
        "signature of alder",
        "certificate of birch",
        "certificate of alder",
        "last day",
    ]
    assert not any(check.error for check in checks)
    late = {check.what: check.error for check in agreement().checks(TODAY + 2 * DAY)}
    assert [what for what, error in late.items() if error] == ["last day"]
    assert len(list(agreement().checks(None))) == 3


def test_absent_and_endless_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.agreement does not exist"):
        load_study(tmp_path / "absent.agreement")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_study(tmp_path)
    with pytest.raises(ConfigError, match="larger than 1024 kB"):
        load_study(Path("/dev/zero"))
    with pytest.raises(ConfigError, match="cannot be written"):
        write_agreement(agreement(), tmp_path / "absent" / "trial.agreement")


def test_a_draft_in_place_of_an_agreement_gets_a_hint(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text('name = "spring"\n')
    with pytest.raises(AgreementError, match="not an agreement file") as caught:
        load_study(tmp_path / "study.toml")
    assert "mpcseg study sign" in caught.value.hint
