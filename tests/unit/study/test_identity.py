"""Identities: what is saved, what is refused, and that two ends really meet over TLS."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from cryptography import x509

from mpcseg.errors import ConfigError, KeyFingerprintError
from mpcseg.study.identity import (
    CERTIFICATE_FILE,
    PRIVATE_KEY_FILE,
    Identity,
    load_identity,
    new_identity,
    verify_signature,
)


def test_an_identity_is_saved_and_loaded(tmp_path: Path) -> None:
    made = new_identity("hub", tmp_path / "keys" / "hub", ["hub.example.org", "127.0.0.1", "::1"])
    assert load_identity(tmp_path / "keys" / "hub") == made
    names = x509.load_pem_x509_certificate(made.certificate_pem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["hub.example.org"]
    addresses = names.value.get_values_for_type(x509.IPAddress)
    assert [str(address) for address in addresses] == ["127.0.0.1", "::1"]


def test_the_private_key_is_for_its_owner_only_and_never_shown(tmp_path: Path) -> None:
    made = new_identity("hub", tmp_path)
    assert stat.S_IMODE((tmp_path / PRIVATE_KEY_FILE).stat().st_mode) == 0o600
    assert "PRIVATE" not in repr(made)
    (tmp_path / PRIVATE_KEY_FILE).chmod(0o640)
    with pytest.raises(ConfigError, match="other users") as caught:
        load_identity(tmp_path)
    assert "chmod 600" in caught.value.hint


def test_an_identity_is_never_overwritten(tmp_path: Path) -> None:
    made = new_identity("hub", tmp_path)
    with pytest.raises(ConfigError, match="exists already"):
        new_identity("hub", tmp_path)
    assert load_identity(tmp_path) == made


@pytest.mark.parametrize("name", ["", "../hub", "a b", ".hub", "x" * 65, "hub\n"])
def test_impossible_names_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a node's name"):
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


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    new_identity("hub", tmp_path / "a")
    new_identity("hub", tmp_path / "b")
    (tmp_path / "b" / CERTIFICATE_FILE).replace(tmp_path / "a" / CERTIFICATE_FILE)
    with pytest.raises(ConfigError, match="do not belong together"):
        load_identity(tmp_path / "a")


@pytest.mark.parametrize("file", [CERTIFICATE_FILE, PRIVATE_KEY_FILE])
def test_absent_and_broken_files_are_named(tmp_path: Path, file: str) -> None:
    new_identity("hub", tmp_path)
    (tmp_path / file).write_bytes(b"-----BEGIN NOTHING-----")
    with pytest.raises(ConfigError, match=file):
        load_identity(tmp_path)
    (tmp_path / file).unlink()
    with pytest.raises(ConfigError, match=f"{file} does not exist"):
        load_identity(tmp_path)


def test_a_certificate_that_has_run_out_is_refused(tmp_path: Path) -> None:
    new_identity("hub", tmp_path, days=0)
    with pytest.raises(ConfigError, match="is valid from"):
        load_identity(tmp_path)


def test_a_signature_holds_for_these_bytes_and_this_certificate_only(tmp_path: Path) -> None:
    hub, other = new_identity("hub", tmp_path / "a"), new_identity("other", tmp_path / "b")
    signature = hub.sign(b"public key")
    verify_signature(hub.certificate_pem, b"public key", signature)
    for certificate, data, made in [
        (hub.certificate_pem, b"another key", signature),
        (other.certificate_pem, b"public key", signature),
        (hub.certificate_pem, b"public key", signature[:-1]),
        (hub.certificate_pem, b"public key", b""),
    ]:
        with pytest.raises(KeyFingerprintError):
            verify_signature(certificate, data, made)


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
