"""Identities: what is saved, what is refused, and that two ends really meet over TLS."""

from __future__ import annotations

import base64
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import grpc
import pytest
from cryptography import x509

from mpcseg.errors import ConfigError, PassphraseError, SignatureError
from mpcseg.study.card import load_card, verify_signature
from mpcseg.study.identity import (
    CERTIFICATE_FILE,
    PRIVATE_KEYS_FILE,
    Identity,
    card_path,
    is_locked,
    load_identity,
    new_identity,
)
from tests.organisations import identity

PASSPHRASE = "Zwölf Boxkämpfer"  # noqa: S105  of identities that live for a test


def test_an_identity_is_saved_and_loaded(tmp_path: Path) -> None:
    made = new_identity("hub", tmp_path / "keys" / "hub", ["hub.example.org", "127.0.0.1", "::1"])
    assert load_identity(tmp_path / "keys" / "hub") == made
    names = x509.load_pem_x509_certificate(made.certificate_pem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["hub.example.org"]
    addresses = names.value.get_values_for_type(x509.IPAddress)
    assert [str(address) for address in addresses] == ["127.0.0.1", "::1"]


def test_the_private_keys_are_for_their_owner_only_and_never_shown(tmp_path: Path) -> None:
    made = new_identity("hub", tmp_path)
    assert stat.S_IMODE((tmp_path / PRIVATE_KEYS_FILE).stat().st_mode) == 0o600
    shown = repr(made) + str(made)
    for private in (made.private_key_pem, made.private_signing_key, made.private_sealing_key):
        assert repr(private)[2:-1] not in shown
        assert private.hex() not in shown
    (tmp_path / PRIVATE_KEYS_FILE).chmod(0o640)
    with pytest.raises(ConfigError, match="other users") as caught:
        load_identity(tmp_path)
    assert "chmod 600" in caught.value.hint


@pytest.mark.parametrize(
    ("mode", "owner", "user", "is_shared"),
    [
        (0o600, 1000, 1000, False),
        (0o400, 1000, 1000, False),
        (0o640, 1000, 1000, True),  # its owner may not hand it to a group
        (0o604, 1000, 1000, True),
        (0o440, 0, 1000, False),  # as Kubernetes and systemd hand out secrets
        (0o640, 0, 1000, False),
        (0o660, 0, 1000, True),
        (0o644, 0, 1000, True),
        (0o640, 0, 0, True),  # root's own keys are root's alone
        (0o640, 1001, 1000, True),
    ],
)
def test_private_keys_may_be_read_by_a_group_only_where_root_hands_them_to_a_node(
    tmp_path: Path, mode: int, owner: int, user: int, is_shared: bool
) -> None:
    new_identity("hub", tmp_path)
    path = tmp_path / PRIVATE_KEYS_FILE
    path.chmod(mode)
    seen = list(path.stat())
    seen[stat.ST_UID] = owner
    with (
        patch.object(os, "geteuid", lambda: user),
        patch.object(Path, "stat", lambda _self: os.stat_result(seen)),
    ):
        if is_shared:
            with pytest.raises(ConfigError, match="other users"):
                is_locked(tmp_path)
        else:
            assert not is_locked(tmp_path)


def test_the_public_files_hold_nothing_private(tmp_path: Path) -> None:
    made = new_identity("hub", tmp_path)
    public = card_path(tmp_path, "hub").read_bytes() + (tmp_path / CERTIFICATE_FILE).read_bytes()
    for private in (
        made.private_signing_key,
        made.private_sealing_key[:32],
        made.private_sealing_key[-32:],
    ):
        assert private not in public
        assert base64.b64encode(private)[:40] not in public
    assert b"PRIVATE" not in public


def test_an_identity_is_on_disk_before_anybody_hears_of_it(tmp_path: Path) -> None:
    synced: list[str] = []

    def remember(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    with patch("os.fsync", remember):
        new_identity("alder", tmp_path / "alder")
    assert synced == [
        *("private_keys.pem", "alder"),
        *("certificate.pem", "alder"),
        *("alder.card", "alder"),
    ]


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    made = new_identity("hub", tmp_path)
    with pytest.raises(ConfigError, match="exists already"):
        new_identity("hub", tmp_path)
    assert load_identity(tmp_path) == made


@pytest.mark.parametrize("file", [CERTIFICATE_FILE, PRIVATE_KEYS_FILE, "hub.card"])
def test_nothing_is_written_where_one_of_the_files_exists(tmp_path: Path, file: str) -> None:
    (tmp_path / file).touch()
    with pytest.raises(ConfigError, match=f"{file} exists already"):
        new_identity("hub", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_a_passphrase_locks_the_private_keys(tmp_path: Path) -> None:
    made = new_identity("hub", tmp_path, passphrase=PASSPHRASE)
    assert is_locked(tmp_path)
    content = (tmp_path / PRIVATE_KEYS_FILE).read_text()
    assert content.count("-----BEGIN ENCRYPTED PRIVATE KEY-----") == 4
    assert "-----BEGIN PRIVATE KEY-----" not in content
    assert load_identity(tmp_path, PASSPHRASE) == made
    for passphrase, reason in [
        (None, "are locked"),
        ("", "are locked"),
        ("Zwolf Boxkampfer", "do not open with this passphrase"),
    ]:
        with pytest.raises(PassphraseError, match=reason) as caught:
            load_identity(tmp_path, passphrase)
        assert "Box" not in str(caught.value)


def test_a_passphrase_is_not_looked_at_where_there_is_none(tmp_path: Path) -> None:
    made = new_identity("hub", tmp_path)
    assert not is_locked(tmp_path)
    assert load_identity(tmp_path, "whatever") == made


def test_an_empty_passphrase_is_none(tmp_path: Path) -> None:
    with pytest.raises(PassphraseError, match="empty"):
        new_identity("hub", tmp_path / "hub", passphrase="")
    assert not (tmp_path / "hub").exists()


def test_a_locked_identity_whose_salt_is_lost_is_refused_plainly(tmp_path: Path) -> None:
    new_identity("hub", tmp_path, passphrase=PASSPHRASE)
    path = tmp_path / PRIVATE_KEYS_FILE
    content = path.read_text()
    path.write_text("\n".join(line for line in content.split("\n") if "salt" not in line))
    with pytest.raises(ConfigError, match="not a file of private keys"):
        load_identity(tmp_path, PASSPHRASE)
    path.write_text(content.replace("scrypt-salt: ", "scrypt-salt: A"))
    with pytest.raises(ConfigError, match=r"salt.*not base64|do not open"):
        load_identity(tmp_path, PASSPHRASE)


@pytest.mark.parametrize("name", ["", "../hub", "a b", ".hub", "x" * 65, "hub\n"])
def test_impossible_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be an organisation's name"):
        new_identity(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["hub.example.org:7443", "", "a b", "https://hub"])
def test_impossible_hosts_are_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="neither an IP address nor a host name"):
        new_identity("hub", tmp_path, [host])


def test_a_folder_that_cannot_be_written_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be saved"):
        new_identity("hub", tmp_path / "file" / "keys")


@pytest.mark.parametrize("file", [CERTIFICATE_FILE, PRIVATE_KEYS_FILE, "hub.card"])
def test_files_that_do_not_belong_together_are_refused(tmp_path: Path, file: str) -> None:
    new_identity("hub", tmp_path / "a")
    new_identity("hub", tmp_path / "b")
    (tmp_path / "b" / file).replace(tmp_path / "a" / file)
    with pytest.raises(ConfigError, match="do not belong together"):
        load_identity(tmp_path / "a")


@pytest.mark.parametrize("file", [CERTIFICATE_FILE, PRIVATE_KEYS_FILE, "hub.card"])
def test_absent_and_broken_files_are_named(tmp_path: Path, file: str) -> None:
    new_identity("hub", tmp_path)
    (tmp_path / file).write_bytes(b"-----BEGIN NOTHING-----")
    with pytest.raises(ConfigError, match=file):
        load_identity(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(ConfigError, match=f"{file} does not exist"):
        load_identity(tmp_path)


@pytest.mark.parametrize("kept", [0, 1, 3])
def test_private_keys_that_are_not_complete_are_refused(tmp_path: Path, kept: int) -> None:
    new_identity("hub", tmp_path)
    path = tmp_path / PRIVATE_KEYS_FILE
    blocks = path.read_text().split("-----BEGIN")
    path.write_text("-----BEGIN".join(blocks[: kept + 1]))
    with pytest.raises(ConfigError, match="not a file of private keys"):
        load_identity(tmp_path)


def test_a_certificate_with_text_around_it_is_refused_in_words(tmp_path: Path) -> None:
    new_identity("hub", tmp_path, ["127.0.0.1"])
    path = tmp_path / CERTIFICATE_FILE
    path.write_bytes(b"of the hub\n" + path.read_bytes())
    with pytest.raises(ConfigError, match="text around it"):
        load_identity(tmp_path)


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("06072a8648ce3d0201", "06072a8648ce3d0200"),  # P-256, as a kind unheard of
        ("06032b6570", "06032b656f"),  # Ed25519, as an X448 key that is too short
    ],
)
def test_a_private_key_of_another_kind_is_refused_in_words(
    tmp_path: Path, kind: str, other: str
) -> None:
    new_identity("hub", tmp_path, ["127.0.0.1"])
    path = tmp_path / PRIVATE_KEYS_FILE
    content = path.read_bytes()
    for body in re.findall(rb"KEY-----\n([^-]*)-----END", content):
        der = base64.b64decode(body)
        changed = der.replace(bytes.fromhex(kind), bytes.fromhex(other))
        content = content.replace(body, base64.b64encode(changed) + b"\n")
    assert content != path.read_bytes()
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="not a file of private keys"):
        load_identity(tmp_path)


def test_a_certificate_that_has_run_out_is_refused(tmp_path: Path) -> None:
    new_identity("hub", tmp_path, days=0)
    with pytest.raises(ConfigError, match="is valid from"):
        load_identity(tmp_path)


def test_a_signature_holds_for_these_bytes_this_purpose_and_this_card_only() -> None:
    hub, other = identity("hub"), identity("hub", 1)
    signature = hub.sign("keys", b"public key")
    assert len(signature) == 64
    verify_signature(hub.card, "keys", b"public key", signature)
    for card, purpose, data, made in [
        (hub.card, "keys", b"another key", signature),
        (hub.card, "agreement", b"public key", signature),
        (hub.card, "key", b"s\0public key", signature),
        (hub.card, "keys\0public", b" key", signature),
        (other.card, "keys", b"public key", signature),
        (hub.card, "keys", b"public key", signature[:-1]),
        (hub.card, "keys", b"public key", signature + b"\0"),
        (hub.card, "keys", b"public key", bytes(64)),
        (hub.card, "keys", b"public key", b""),
    ]:
        with pytest.raises(SignatureError, match="is not that of 'hub'"):
            verify_signature(card, purpose, data, made)


def test_the_card_is_what_the_identity_is_known_by(tmp_path: Path) -> None:
    made = new_identity("hub", tmp_path)
    card = load_card(card_path(tmp_path, "hub"))
    assert card == made.card
    assert (card.name, card.certificate_pem) == ("hub", made.certificate_pem)
    assert card.fingerprint == made.fingerprint
    assert (len(card.signing_key), len(card.sealing_key)) == (32, 1216)


def _call(server: Identity, trusted: list[Identity], client: Identity) -> bytes:
    """One call over mutual TLS to a real server that trusts the given clients."""

    def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
        (name,) = context.auth_context()["x509_common_name"]
        return name + b" " + request

    with ThreadPoolExecutor(1) as pool:
        node = grpc.server(pool)
        method = grpc.unary_unary_rpc_method_handler(handle)
        node.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler("test", {"Say": method})]
        )
        port = node.add_secure_port(
            "127.0.0.1:0",
            grpc.ssl_server_credentials(
                [(server.private_key_pem, server.certificate_pem)],
                b"".join(identity.certificate_pem for identity in trusted),
                require_client_auth=True,
            ),
        )
        node.start()
        credentials = grpc.ssl_channel_credentials(
            server.certificate_pem, client.private_key_pem, client.certificate_pem
        )
        try:
            with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
                answer: bytes = channel.unary_unary("/test/Say")(b"hello", timeout=20)
                return answer
        finally:
            node.stop(0).wait()


def test_mutual_tls_admits_the_certificates_of_the_study_and_no_other(tmp_path: Path) -> None:
    hub = new_identity("hub", tmp_path / "hub", ["127.0.0.1"])
    parties = [new_identity(name, tmp_path / name) for name in ("alder", "birch")]
    for party in parties:
        assert _call(hub, parties, party) == party.name.encode() + b" hello"
    stranger = new_identity("alder", tmp_path / "stranger")
    with pytest.raises(grpc.RpcError):
        _call(hub, parties, stranger)


def test_a_server_is_refused_under_a_host_it_was_not_made_for(tmp_path: Path) -> None:
    hub = new_identity("hub", tmp_path / "hub", ["hub.example.org"])
    party = new_identity("alder", tmp_path / "alder")
    with pytest.raises(grpc.RpcError):
        _call(hub, [party], party)
