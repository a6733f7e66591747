"""Which organisation runs which nodes of a study, and where the compute node is found."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from cryptography import x509

from mpcseg.errors import ConfigError
from mpcseg.study.card import PublicCard
from mpcseg.study.certificate import general_name, load_certificate
from mpcseg.study.spec import StudySpec

DEFAULT_PORT = 7443
_LARGEST_PORT = 65535
_ADDRESS = re.compile(
    r"(?:\[(?P<ipv6>[0-9a-fA-F:.]+)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>[0-9]{1,5})"
)


@dataclass(frozen=True)
class Address:
    """Where the others reach the compute node.

    Attributes:
        host: a DNS name or an IP address.
        port: 1 to 65535.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Holder:
    """An organisation with the nodes that it runs.

    Attributes:
        card: the organisation.
        roles: of ``compute``, ``key`` and ``party``, in this order.
        receives_results: whether results are sealed to it.
        labels: whether it may label its own customers.
    """

    card: PublicCard
    roles: tuple[str, ...]
    receives_results: bool
    labels: bool

    @property
    def name(self) -> str:
        """The organisation's name."""
        return self.card.name

    @property
    def collects(self) -> bool:
        """Whether it fetches results itself: a key node opens its organisation's by the way."""
        return self.receives_results and not ("key" in self.roles and "party" not in self.roles)


def holders(spec: StudySpec) -> tuple[Holder, ...]:
    """Each organisation of a study once, in the agreement's order."""
    return tuple(_holder(spec, card) for card in spec.organisations)


def _holder(spec: StudySpec, card: PublicCard) -> Holder:
    played = (
        ("compute", card.name == spec.compute.name),
        ("key", card.name == spec.key.name),
        ("party", card.name in {party.name for party in spec.parties}),
    )
    return Holder(
        card,
        tuple(role for role, is_played in played if is_played),
        receives_results=card.name in spec.recipients,
        labels=card.name in spec.release.centroids,
    )


def parse_address(text: str) -> Address:
    """HOST:PORT as a person writes it, with an IPv6 address in brackets.

    Stricter than a node's configuration: it is written into commands that people copy.

    Raises:
        ConfigError: no host name or IP address, or no port.
    """
    parts = _ADDRESS.fullmatch(text)
    if parts is None or not 1 <= int(parts["port"]) <= _LARGEST_PORT:
        raise ConfigError(
            f"the address '{text}' is not HOST:PORT",
            "Write it as in: --address hub.example.org:7443",
        )
    host = parts["ipv6"] or parts["host"]
    general_name(host)
    return Address(host, int(parts["port"]))


def certified_address(spec: StudySpec) -> Address:
    """The first host name, or else IP address, in the compute node's certificate, with port 7443.

    Raises:
        ConfigError: the certificate names no host.
    """
    certificate = load_certificate(spec.compute.certificate_pem)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        found = x509.SubjectAlternativeName([])
    hosts = found.get_values_for_type(x509.DNSName)
    hosts += [str(ip) for ip in found.get_values_for_type(x509.IPAddress)]
    usable = [host for host in hosts if not _is_local(host)] or hosts
    if not usable:
        raise ConfigError(
            f"the certificate of '{spec.compute.name}' names no host, so that nobody knows where "
            "the compute node is reached",
            f"Ask '{spec.compute.name}', and give it: --address HOST:PORT",
        )
    return Address(usable[0], DEFAULT_PORT)


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
