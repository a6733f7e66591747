"""Why a channel to the compute node keeps failing, in words.

gRPC reports a refused connection and a refused certificate alike as "unavailable". This module
makes one TLS connection of its own with Python's ssl module and tells them apart.
"""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import time

from mpcseg.errors import CertificateEndedError, ConfigError, UnknownCertificateError
from mpcseg.nodes.route import Proxy
from mpcseg.study.certificate import verify_valid
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec

# What a refused certificate looks like from outside. So does a server that is being stopped, but
# not twice: after a pause nothing listens there any more.
_CLOSED = "it closes the connection"
_TRIES = 2
_PAUSE_SECONDS = 0.5

# The opening of an HTTP/2 connection with empty settings: enough for the server to answer.
_HTTP2_OPENING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


def diagnose(
    address: str,
    identity: Identity,
    spec: StudySpec,
    *,
    proxy: Proxy | None = None,
    timeout: float = 5.0,
) -> str:
    """Try the address once and say what is wrong there, as a clause for a message.

    Args:
        address: "host:port" of the compute node.
        identity: the caller's own.
        spec: the study, which says what the compute node's certificate is.
        proxy: on the way to it.
        timeout: seconds for each step.

    Raises:
        ProxyError: the proxy does not let this node through.
        UnknownCertificateError: one side's certificate is not the one that the other side expects;
            trying again cannot help.
        CertificateEndedError: one side's certificate is not valid any more.
    """
    _verify_valid(identity.certificate_pem, "this node's certificate")
    for _ in range(_TRIES):
        reason = _diagnose_once(address, identity, spec, proxy, timeout)
        if reason != _CLOSED:
            return reason
        time.sleep(_PAUSE_SECONDS)
    if any(identity.name in version.certificates for version in spec.versions):
        # A renewal that it has not taken yet, and will when its operator starts it with it.
        return "it does not know this node's renewed certificate yet"
    raise UnknownCertificateError(
        f"the compute node at {address} does not know this node's certificate",
        "Its agreement must name the certificate of this node's identity. Was that renewed? Then "
        "start this node with the renewed identity, and give it the renewal: --renewal FILE",
    )


def _diagnose_once(
    address: str, identity: Identity, spec: StudySpec, proxy: Proxy | None, timeout: float
) -> str:
    # Before the connection, which may not last. The certificate is compared with the pinned one
    # afterwards; nothing is sent that matters.
    context = tls_context(identity)
    raw = _connected(address, timeout) if proxy is None else proxy.tunnel(address, timeout)
    if isinstance(raw, str):
        return raw
    with raw:
        try:
            # ssl does not close what it was given when the other side is gone by then.
            raw.getpeername()
        except OSError:
            return "the connection breaks off at once"
        try:
            tls = context.wrap_socket(raw)
        except (ssl.SSLError, OSError):
            return "what listens there does not speak TLS"
        with tls:
            return _diagnose_tls(tls, address, spec)


def _connected(address: str, timeout: float) -> socket.socket | str:
    host, _, port = address.rpartition(":")
    try:
        return socket.create_connection((host.strip("[]"), int(port)), timeout)
    except (OSError, ValueError):
        return "nothing listens there"


def _diagnose_tls(tls: ssl.SSLSocket, address: str, spec: StudySpec) -> str:
    shown = hashlib.sha256(tls.getpeercert(binary_form=True) or b"").hexdigest()
    *older, counts = spec.cards_of(spec.compute.name).values()
    if shown in {card.fingerprint for card in older}:
        return "it still shows the certificate that was renewed, and must be started with the new"
    if shown != counts.fingerprint:
        raise UnknownCertificateError(
            f"the node at {address} shows a certificate that the study does not name",
            "Check the address, and that both sides have the same agreement, and the same "
            "renewals if there are any: --renewal FILE",
        )
    _verify_valid(counts.certificate_pem, f"the certificate of the compute node '{counts.name}'")
    # In TLS 1.3 the client's certificate is judged after the client is done with its handshake:
    # a server that refuses it closes the connection (gRPC sends no alert) before it says a word.
    try:
        tls.sendall(_HTTP2_OPENING)
        return "the connection breaks off now and then" if tls.recv(1) else _CLOSED
    except TimeoutError:
        return "it accepts connections and says nothing"
    except OSError:
        return _CLOSED


def _verify_valid(certificate_pem: bytes, what: str) -> None:
    try:
        verify_valid(certificate_pem, what)
    except ConfigError as error:
        raise CertificateEndedError(error.message, error.hint) from None


def tls_context(
    identity: Identity, protocol: ssl._SSLMethod = ssl.PROTOCOL_TLS_CLIENT
) -> ssl.SSLContext:
    """Settings of one end of TLS that shows an organisation's certificate and speaks HTTP/2.

    It checks no certificate of the other end: that is the caller's to do.

    Args:
        identity: of this end.
        protocol: which end it is.
    """
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    # ssl reads keys from files only; an anonymous one keeps the private key off the disk.
    handle = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        os.write(handle, identity.private_key_pem + b"\n" + identity.certificate_pem)
        context.load_cert_chain(f"/proc/self/fd/{handle}")
    finally:
        os.close(handle)
    return context
