"""Cards: what people compare, what is refused, and keys that only look like keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mpcseg.errors import ConfigError, MpcsegError, SignatureError
from mpcseg.study import card as card_module
from mpcseg.study.card import PublicCard, card_text, load_card, spoken
from tests.organisations import identity

PRIME = 2**255 - 19
D = -121665 * pow(121666, -1, PRIME) % PRIME


def test_a_fingerprint_is_read_out_in_eight_groups_of_five_digits() -> None:
    card = identity("hub").card
    assert re.fullmatch(r"([0-9]{5} ){7}[0-9]{5}", card.spoken)
    assert card.spoken != identity("hub", 1).card.spoken
    assert spoken("00" * 32) == " ".join(["00000"] * 8)
    assert spoken("00" * 31 + "ff").endswith(" 00255")


@given(st.binary(min_size=32, max_size=32), st.integers(0, 131))
def test_each_of_the_lower_132_bits_changes_what_is_read_out(digest: bytes, bit: int) -> None:
    changed = (int.from_bytes(digest) ^ (1 << bit)).to_bytes(32)
    assert spoken(changed.hex()) != spoken(digest.hex())


def test_the_fingerprint_of_a_card_depends_on_every_part() -> None:
    hub, other = identity("hub").card, identity("hub", 1).card
    parts = hub.model_dump()
    found = {hub.card_fingerprint}
    for field in ("certificate_pem", "signing_key", "sealing_key"):
        mixed = PublicCard.model_validate({**parts, field: getattr(other, field)})
        found.add(mixed.card_fingerprint)
    assert len(found) == 4


def text_of(number: int = 0, signer: int = 0) -> str:
    made = identity("hub", number)
    return card_text(made.card, identity("hub", signer).sign("card", made.card.canonical))


def refused(path: Path, text: str) -> MpcsegError:
    path.write_text(text)
    with pytest.raises(MpcsegError) as caught:
        load_card(path)
    assert "hub.card" in caught.value.message
    assert caught.value.hint
    return caught.value


def test_a_card_survives_the_mail(tmp_path: Path) -> None:
    path = tmp_path / "hub.card"
    for text in (text_of(), text_of().replace("\n", "\r\n"), text_of() + "\n\n"):
        path.write_bytes(text.encode())
        assert load_card(path) == identity("hub").card


def test_a_card_of_mixed_keys_is_refused(tmp_path: Path) -> None:
    lines, others = text_of().split("\n"), text_of(1).split("\n")
    assert len(lines) == len(others)
    differing = [i for i in range(len(lines)) if lines[i] != others[i]]
    assert len(differing) > 20
    for i in differing:
        mixed = [*lines[:i], others[i], *lines[i + 1 :]]
        refused(tmp_path / "hub.card", "\n".join(mixed))
    assert isinstance(refused(tmp_path / "hub.card", text_of(0, signer=1)), SignatureError)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "hub"', 'name = "hab"', "made out to another name"),
        ('name = "hub"', 'name = "../hub"', "name must be of letters, digits"),
        ('name = "hub"', "", "name is missing"),
        ('name = "hub"', 'name = "hub"\nrole = "key"', "role is unknown"),
        ("mpcseg card 1", "mpcseg card 2", "not a card of this version"),
        ('signing_key = "', 'signing_key = "#', "signing_key: is not base64"),
        ('signing_key = "', 'signing_key = "AAAA', "a signing key is 32 bytes long"),
        ('sealing_key = """', 'sealing_key = """AAAA', "a sealing key is 1216 bytes long"),
        ('signature = "', 'other = "', "signature is missing"),
    ],
)
def test_a_card_that_is_none_is_refused_with_its_field(
    tmp_path: Path, old: str, new: str, reason: str
) -> None:
    assert old in text_of()
    error = refused(tmp_path / "hub.card", text_of().replace(old, new, 1))
    assert re.search(reason, error.message), error.message


def test_a_file_without_end_is_no_card() -> None:
    with pytest.raises(ConfigError, match="larger than 64 kB"):
        load_card(Path("/dev/zero"))


def order_divides_eight(encoded: bytes) -> bool:
    """Whether an encoded point of Ed25519, if it is one, vanishes when it is doubled thrice."""
    y = (int.from_bytes(encoded, "little") & ((1 << 255) - 1)) % PRIME
    u, v = (y * y - 1) % PRIME, (D * y * y + 1) % PRIME
    square = u * pow(v, -1, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if x * x % PRIME != square:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    if x * x % PRIME != square:
        return False
    for _ in range(3):
        k = D * x * x * y * y % PRIME
        x, y = (
            2 * x * y * pow(1 + k, -1, PRIME) % PRIME,
            (y * y + x * x) * pow(1 - k, -1, PRIME) % PRIME,
        )
    return (x, y) == (0, 1)


def test_keys_under_which_anybody_could_sign_are_refused() -> None:
    """All points of small order, in each of their encodings; the library takes them all."""
    points = card_module._SMALL_ORDER
    canonical = {int.from_bytes(point, "little") % PRIME for point in points}
    assert len(points) == 7
    assert len(canonical) == 5  # y of the orders 1, 2, 4 (one for two points) and 8 (two for four)
    parts = identity("hub").card.model_dump()
    for point in points:
        for sign in (0x00, 0x80):
            encoded = point[:-1] + bytes([point[-1] | sign])
            assert order_divides_eight(encoded)
            Ed25519PublicKey.from_public_bytes(encoded)
            with pytest.raises(ValidationError, match="anybody could sign"):
                PublicCard.model_validate({**parts, "signing_key": encoded})
    assert not order_divides_eight(parts["signing_key"])


def test_keys_that_nothing_can_be_sealed_under_are_refused() -> None:
    parts = identity("hub").card.model_dump()
    good = parts["sealing_key"]
    for bad in (good[:-32] + bytes(32), b"\xff" * 1184 + good[-32:], good[:-1], b""):
        with pytest.raises(ValidationError, match="sealing_key"):
            PublicCard.model_validate({**parts, "sealing_key": bad})
