"""Nodes whose way out leads through an HTTP proxy, which is a real one in its own process."""

from __future__ import annotations

import base64
import socket
import time
from collections.abc import Iterator

import pytest

from mpcseg.errors import ConfigError, MpcsegError, NodeUnreachableError, ProxyError
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.route import proxy_for
from tests.nodes.connect_proxy import proxy_process
from tests.nodes.studies import Nodes, connect, start_compute

_VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy", "no_grpc_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def address(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    running, address = start_compute(nodes, tmp_path_factory.mktemp("storage"), patience=600.0)
    yield address
    with connect(nodes, nodes.key, address) as key:
        _join(key)
        key.abort(MpcsegError("the tests are done"))
    running.error()


def _join(client: ComputeClient) -> str:
    """Join as the same process each time, so that its own earlier session is no obstacle."""
    client._instance = "0" * 32
    return client.join().session


def test_a_node_joins_through_the_proxy_that_it_is_configured_with(
    nodes: Nodes, address: str
) -> None:
    with proxy_process() as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        with connect(nodes, nodes.parties[0], address, proxy=url) as client:
            assert _join(client)
            assert client.list_blobs() == []
    assert set(proxy.asked) == {f"200 CONNECT {address}"}


def test_a_proxy_may_ask_for_a_password_which_is_never_shown(nodes: Nodes, address: str) -> None:
    credentials = base64.b64encode(b"alder:s3cr3t").decode()
    with proxy_process(credentials=credentials) as proxy:
        url = f"http://alder:s3cr3t@127.0.0.1:{proxy.port}"
        with connect(nodes, nodes.parties[0], address, proxy=url) as client:
            assert _join(client)
        wrong = url.replace("s3cr3t", "s3cr4t")
        with (
            connect(nodes, nodes.parties[0], address, proxy=wrong) as client,
            pytest.raises(ProxyError, match=r"refuses the way to .* \(407 Proxy Auth") as caught,
        ):
            _join(client)
    assert "s3cr" not in caught.value.message + caught.value.hint + repr(proxy_for(address, wrong))


def test_a_proxy_that_refuses_is_named_at_once(nodes: Nodes, address: str) -> None:
    began = time.monotonic()
    with proxy_process(refuse="403 Forbidden") as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        with (
            connect(nodes, nodes.parties[0], address, proxy=url, patience=600.0) as client,
            pytest.raises(ProxyError) as caught,
        ):
            _join(client)
    assert caught.value.message == (
        f"the proxy at 127.0.0.1:{proxy.port} refuses the way to {address} (403 Forbidden)"
    )
    assert time.monotonic() - began < 60


def test_a_compute_node_behind_the_proxy_that_is_away_is_waited_for(nodes: Nodes) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening
        away = f"127.0.0.1:{held.getsockname()[1]}"
        with proxy_process() as proxy:
            url = f"http://127.0.0.1:{proxy.port}"
            with (
                connect(nodes, nodes.parties[0], away, proxy=url, patience=0.5) as client,
                pytest.raises(NodeUnreachableError, match=r"does not reach it \(502 Bad Gateway"),
            ):
                _join(client)
        with (  # the proxy itself is gone now
            connect(nodes, nodes.parties[0], away, proxy=url, patience=0.2) as client,
            pytest.raises(
                NodeUnreachableError, match=rf"proxy at 127\.0\.0\.1:{proxy.port} does not"
            ),
        ):
            _join(client)


def test_the_environment_names_a_proxy_and_hosts_that_need_none(
    nodes: Nodes, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy_process() as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        with connect(nodes, nodes.parties[0], address) as client:
            _join(client)
        with connect(nodes, nodes.key, address, proxy="") as client:
            _join(client)
        monkeypatch.setenv("no_proxy", "example.org, 127.0.0.0/8")
        with connect(nodes, nodes.key, address) as client:
            _join(client)
    assert len(proxy.asked) == 1


@pytest.mark.parametrize(
    ("host", "excepted", "is_direct"),
    [
        ("hub.example.org", "example.org", True),
        ("hub.example.org", ".example.org", True),
        ("hub.example.org", "other.org, HUB.example.org", True),
        ("hub.notexample.org", "example.org", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("hub.example.org", "", False),
    ],
)
def test_hosts_that_need_no_proxy_are_recognised_as_grpc_does(
    host: str, excepted: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", excepted)
    assert (proxy_for(f"{host}:7443", "http://proxy:3128") is None) is is_direct


@pytest.mark.parametrize("url", ["https://proxy:3128", "proxy:3128", "http://", "http://p:x/"])
def test_what_is_no_http_proxy_is_refused_and_never_gone_around(url: str) -> None:
    with pytest.raises(ConfigError, match="does not name an HTTP proxy"):
        proxy_for("hub.example.org:7443", url)
