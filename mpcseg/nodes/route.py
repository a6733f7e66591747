"""The way out: straight to the compute node, or through the organisation's HTTP proxy.

gRPC asks an HTTP proxy for a tunnel (CONNECT) and speaks TLS with the compute node through it: the
proxy learns the address and how much is sent, and nothing else. Which proxy is decided here, and
gRPC is told, so that a message says the truth about the way. Runs on: party nodes, the key node,
and wherever an organisation calls the compute node.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import socket
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from mpcseg.errors import ConfigError, ProxyError
from mpcseg.text import one_line

_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTIONS = ("no_grpc_proxy", "no_proxy")
_DEFAULT_PORT = 80
_ANSWER_BYTES = 8192
_SUCCESS = range(200, 300)
# The proxy is there and lets this node, or the address, not through: trying again cannot help.
_REFUSED = (401, 403, 405, 407)


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy.

    Attributes:
        url: with the credentials it may hold; never shown.
        host: its name or address.
        port: its port.
    """

    url: str = field(repr=False)
    host: str
    port: int

    def __str__(self) -> str:
        """Say which it is, without credentials."""
        return f"{self.host}:{self.port}"

    @property
    def _credentials(self) -> str | None:
        parts = urlsplit(self.url)
        if parts.username is None:
            return None
        text = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return base64.b64encode(text.encode()).decode()

    def tunnel(self, address: str, timeout: float) -> socket.socket | str:
        """Open a tunnel as gRPC does, to say what is wrong with it.

        Returns:
            The connection; or why there is none, as a clause for a message.

        Raises:
            ProxyError: the proxy does not let this node through.
        """
        try:
            line = socket.create_connection((self.host, self.port), timeout)
        except OSError:
            return f"the proxy at {self} does not answer"
        try:
            request = f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n"
            if self._credentials is not None:
                request += f"Proxy-Authorization: Basic {self._credentials}\r\n"
            line.sendall(request.encode() + b"\r\n")
            answer = _head(line)
        except OSError:
            answer = b""
        words = one_line(answer.split(b"\r\n")[0].decode("latin-1"), 80).split(maxsplit=1)
        said = words[1] if len(words) > 1 and words[0].startswith("HTTP/") else ""
        status = int(said[:3]) if said[:3].isdecimal() else 0
        if status in _SUCCESS:
            return line
        line.close()
        if status in _REFUSED:
            raise ProxyError(
                f"the proxy at {self} refuses the way to {address} ({said})",
                "Ask its operator to allow CONNECT to this address, and check the user name and "
                "password in the proxy's URL.",
            )
        if status:
            return f"the proxy at {self} does not reach it ({said})"
        return f"what listens at {self} does not answer as a proxy"


def proxy_for(address: str, configured: str | None) -> Proxy | None:
    """Return the proxy on the way to an address; None where there is none.

    Args:
        address: "host:port" of the compute node.
        configured: the proxy's URL; "" for none, whatever the environment says; None for what the
            environment says: grpc_proxy, https_proxy or http_proxy, the first that is set.

    The environment's no_grpc_proxy or no_proxy names hosts that are reached without one.

    Raises:
        ConfigError: the URL is not that of an HTTP proxy.
    """
    source, url = "the field proxy", configured
    if url is None:
        found = [name for name in _VARIABLES if name in os.environ]
        if not found:
            return None
        source, url = f"the variable {found[0]}", os.environ[found[0]]
    if not url or _is_excepted(address.rpartition(":")[0].strip("[]")):
        return None
    return parse_proxy(url, source)


def parse_proxy(url: str, source: str) -> Proxy:
    """Return the proxy of a URL.

    Args:
        url: "http://host:port" or "http://user:password@host:port".
        source: where it stands, for the error.

    Raises:
        ConfigError: it is not that of an HTTP proxy.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = urlsplit(""), None, None
    if parts.scheme != "http" or not host or parts.path not in ("", "/"):
        raise ConfigError(
            f"{source} does not name an HTTP proxy",
            "Write http://HOST:PORT: the way to the proxy itself is not encrypted, what goes "
            "through it is, up to the compute node.",
        )
    return Proxy(url, host, port or _DEFAULT_PORT)


def channel_options(proxy: Proxy | None) -> list[tuple[str, int | str]]:
    """What gRPC is told about the way."""
    return [("grpc.http_proxy", proxy.url)] if proxy else [("grpc.enable_http_proxy", 0)]


def _is_excepted(host: str) -> bool:
    names = next((os.environ[name] for name in _EXCEPTIONS if name in os.environ), "")
    for entry in (one.strip().lstrip(".").lower() for one in names.split(",")):
        if entry and (host.lower() == entry or host.lower().endswith(f".{entry}")):
            return True
        try:
            if ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False):
                return True
        except ValueError:
            continue
    return False


def _head(line: socket.socket) -> bytes:
    """Read an answer's head and no byte after it: what follows is the compute node's."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < _ANSWER_BYTES:
        byte = line.recv(1)
        if not byte:
            break
        head += byte
    return head
