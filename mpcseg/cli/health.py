"""``mpcseg health``: whether a node on this machine runs, for engines that ask every so often."""

from __future__ import annotations

import http.client
import json
import os
from contextlib import closing
from typing import Annotated

import typer

from mpcseg.cli.config import METRICS_OF_IMAGE, verify_address
from mpcseg.errors import UnhealthyError

DEFAULT_ADDRESS = os.environ.get(METRICS_OF_IMAGE, "127.0.0.1:9464")

_SCHEME = "http://"

_SECONDS = 5.0
_LONGEST_ANSWER = 1 << 20


def health(
    *,
    address: Annotated[
        str,
        typer.Option(
            "--address",
            envvar="MPCSEG_METRICS",
            help="Where the node serves its metrics, as HOST:PORT; http:// may stand before it.",
        ),
    ] = DEFAULT_ADDRESS,
) -> None:
    """Ask a node that was started with --metrics whether it runs, and how far its study is.

    It shows that the node's process answers, and nothing about other nodes: one that waits for
    them, for however long, is healthy. Clients have no other port that could be asked.
    """
    answer = _asked(address)
    typer.echo(f"the node on {address} runs")
    for study, phase in sorted(answer.items()):
        typer.echo(f"study {study}: {phase}")


def _asked(address: str) -> dict[str, str]:
    where = address.removeprefix(_SCHEME).rstrip("/")
    verify_address(where)
    host, _, port = where.rpartition(":")
    try:
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=_SECONDS)
        with closing(connection):
            connection.request("GET", "/healthz")
            with connection.getresponse() as response:
                content = response.read(_LONGEST_ANSWER)
                document = json.loads(content) if response.status == http.client.OK else {}
    except OSError as error:
        reason = f": {error.strerror}" if error.strerror else ""
        raise UnhealthyError(
            f"no node answers on {address}{reason}",
            "It does not run, hangs, or was started without --metrics.",
        ) from None
    except (ValueError, http.client.HTTPException):
        document = None
    if not isinstance(document, dict) or document.get("status") != "serving":
        raise UnhealthyError(
            f"what answers on {address} is no healthy node",
            "Something else listens there, or the node is ending.",
        )
    studies = document.get("studies")
    return {str(k): str(v) for k, v in studies.items()} if isinstance(studies, dict) else {}
