"""Mutual TLS between the nodes of one study, with every certificate pinned by the study.

The compute node is the only server (docs/protocol.md section 1). It admits the certificates that
the agreement names and no others, and learns from the certificate which organisation is calling: a
caller names its role only, and must hold it.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Protocol

import grpc
from cryptography import x509
from cryptography.x509.oid import NameOID

from mpcseg.errors import ConfigError, ListenError, ProtocolError, UnknownCertificateError
from mpcseg.nodes.call_limit import CallLimit
from mpcseg.nodes.pins import Pins
from mpcseg.nodes.roles import Caller, Role
from mpcseg.nodes.route import Proxy, channel_options
from mpcseg.study.agreement import verify_member
from mpcseg.study.certificate import certificate_fingerprint
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire.blobs import CHUNK_BYTES

# Room for the fields around one chunk.
_MESSAGE_BYTES = CHUNK_BYTES + (64 << 10)

# A dead peer (cable pulled, no FIN) is noticed after ping interval + answer time. The interval is
# shorter than any router or proxy forgets a silent connection; the answer may be late behind a
# full line.
_KEEPALIVE = (
    ("grpc.keepalive_time_ms", 15_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)
_LIMITS = (
    ("grpc.max_receive_message_length", _MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MESSAGE_BYTES),
)


AuthContext = Mapping[str, Iterable[bytes]]
"""What gRPC knows of a caller from TLS."""


def presented(auth_context: AuthContext) -> str:
    """Return the fingerprint of the certificate with which a caller came; empty without one."""
    return next((certificate_fingerprint(p) for p in auth_context.get("x509_pem_cert", ())), "")


class Admission(Protocol):
    """Who may call, and how much at once."""

    def organisation(self, auth_context: AuthContext) -> str:
        """Return who calls; raises ``UnknownCertificateError``."""
        ...

    def n_nodes(self, organisation: str) -> int:
        """Return how many nodes of an organisation may call at once."""
        ...


class Roster:
    """The organisations that the compute node admits, and the roles that they hold.

    Args:
        spec: the study.
        pins: the certificates that count; all of the study if left out.
    """

    def __init__(self, spec: StudySpec, pins: Pins | None = None) -> None:
        self.key = Caller(spec.key.name, Role.KEY)
        self.parties = tuple(Caller(card.name, Role.PARTY) for card in spec.parties)
        self.pins = pins or Pins(spec)

    def name_of(self, fingerprint: str) -> str | None:
        """Return whose certificate it is; None for one that does not count in the study."""
        return self.pins.name_of(fingerprint)

    def organisation(self, auth_context: AuthContext) -> str:
        """Return which organisation is calling, from the certificate that TLS verified.

        Raises:
            UnknownCertificateError: the certificate is not one of the agreement, or was renewed.
            StorageError: that a new one is used cannot be written down.
        """
        for pem in auth_context.get("x509_pem_cert", ()):
            name = self.pins.admit(certificate_fingerprint(pem))
            if name is not None:
                return name
        raise UnknownCertificateError(
            "the caller's certificate is not one of this study",
            "Check that both nodes use the same agreement and the identities it names.",
        )

    def caller(self, organisation: str, role: Role) -> Caller:
        """Return the caller that an organisation is in a role.

        Raises:
            ProtocolError: the agreement does not give it this role.
        """
        caller = Caller(organisation, role)
        if caller not in (self.key, *self.parties):
            raise ProtocolError(f"the agreement has no {caller}", "Check both nodes' agreements.")
        return caller

    def n_nodes(self, organisation: str) -> int:
        """Return how many nodes of an organisation may call at once: its roles, and a person."""
        return 1 + sum(caller.name == organisation for caller in (self.key, *self.parties))


def verify_identity(spec: StudySpec, identity: Identity, role: Role) -> None:
    """Check that the study knows this identity, by its whole card, in this role.

    Raises:
        ConfigError: not in this role; every call would be refused.
        SignatureError: the study has another card in its name.
    """
    cards = {Role.COMPUTE: (spec.compute,), Role.KEY: (spec.key,), Role.PARTY: spec.parties}[role]
    if identity.name not in {card.name for card in cards}:
        raise ConfigError(
            f"the identity {identity.name} is not a {role.value} node of study {spec.name}",
            "Use the identity whose card stands in the agreement for this role.",
        )
    verify_member(spec, identity)


def make_server(roster: Admission) -> grpc.aio.Server:
    """Return the compute node's server, without a port or a service yet."""
    return grpc.aio.server(
        interceptors=[CallLimit(roster.organisation, roster.n_nodes)],
        options=[
            *_LIMITS,
            *_KEEPALIVE,
            ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            # No client is sent away for its pings: members are known, and a NAT wants them.
            ("grpc.http2.max_ping_strikes", 0),
            # Two servers must never share one port by accident.
            ("grpc.so_reuseport", 0),
        ],
    )


def listen_on(
    server: grpc.aio.Server, rosters: Iterable[Roster], identity: Identity, address: str
) -> int:
    """Open the server's port for mutual TLS and return its number.

    TLS lets in the organisations of all studies; which study is whose, each study's roster says,
    and which certificate was replaced since the port was opened.

    Raises:
        ListenError: the address cannot be listened on.
    """
    known = b"".join(sorted(set[bytes]().union(*(one.pins.certificates for one in rosters))))
    credentials = grpc.ssl_server_credentials(
        [(identity.private_key_pem, identity.certificate_pem)],
        root_certificates=known,
        require_client_auth=True,
    )
    _verify_free(address)
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if port == 0:
        raise _deaf(address)
    return port


def _verify_free(address: str) -> None:
    """Try the address out: gRPC's library writes a line of its own where it fails."""
    host, _, port = address.rpartition(":")
    try:
        places = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, kind, protocol, _, place = places[0]
        with socket.socket(family, kind, protocol) as probe:
            # As a server does, so that connections of an earlier process do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
            probe.listen(1)
    except OSError as error:
        raise _deaf(address, error.strerror) from None


def _deaf(address: str, reason: str | None = None) -> ListenError:
    return ListenError(
        f"cannot listen on {address}" + (f": {reason}" if reason else ""),
        "Something else may listen there already, or it is no address of this machine.",
    )


def open_channel(
    spec: StudySpec, identity: Identity, address: str, proxy: Proxy | None = None
) -> grpc.Channel:
    """Return a client's channel to the compute node; connects on first use.

    Args:
        spec: the study.
        identity: the caller's own.
        address: "host:port" of the compute node.
        proxy: on the way to it.
    """
    # The one that counts now, and not the one before: a node that still shows that is waited for.
    pinned = spec.current_card(spec.compute.name).certificate_pem
    credentials = grpc.ssl_channel_credentials(
        root_certificates=pinned,
        private_key=identity.private_key_pem,
        certificate_chain=identity.certificate_pem,
    )
    return grpc.secure_channel(
        address,
        credentials,
        options=[
            *_LIMITS,
            *_KEEPALIVE,
            *channel_options(proxy),
            # The one certificate is pinned, which is more than its name could say; and a partner
            # may reach the node under a name that the certificate does not hold.
            ("grpc.ssl_target_name_override", _any_name(pinned)),
            # Retries are the client's own (client.py), so that a person is told about each.
            ("grpc.enable_retries", 0),
            ("grpc.initial_reconnect_backoff_ms", 250),
            ("grpc.min_reconnect_backoff_ms", 250),
            ("grpc.max_reconnect_backoff_ms", 1_000),
            # Channels to one address must not share a connection made with another identity.
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )


def _any_name(certificate_pem: bytes) -> str:
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    dns = names.get_values_for_type(x509.DNSName)
    return dns[0] if dns else str(names.get_values_for_type(x509.IPAddress)[0])
