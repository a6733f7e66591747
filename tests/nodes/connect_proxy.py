"""A small HTTP proxy that tunnels: ``python -m tests.nodes.connect_proxy``, a process of its own.

It prints its port, and then a line for each request: the status that it answered and the address.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _serve(near: socket.socket, refuse: str, credentials: str) -> None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = near.recv(1)
        if not data:
            return
        head += data
    lines = head.decode("latin-1").split("\r\n")
    method, address, _ = lines[0].split()
    wanted = f"proxy-authorization: basic {credentials}".lower()
    allowed = not credentials or wanted in [line.lower() for line in lines]
    answer = refuse or ("200 Connected" if allowed else "407 Proxy Authentication Required")
    far = None
    if answer.startswith("200"):
        host, _, port = address.rpartition(":")
        try:
            far = socket.create_connection((host, int(port)), 5)
            far.settimeout(None)
        except OSError:
            answer = "502 Bad Gateway"
    print(answer[:3], method, address, flush=True)  # noqa: T201  read by the test
    near.sendall(f"HTTP/1.1 {answer}\r\n\r\n".encode())
    if far is None:
        near.close()
        return
    threading.Thread(target=_pump, args=(far, near), daemon=True).start()
    _pump(near, far)
    near.close()
    far.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--refuse", default="")
    parser.add_argument("--credentials", default="")
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)  # noqa: T201  read by the test
        while True:
            near, _ = listener.accept()
            threading.Thread(
                target=_serve, args=(near, options.refuse, options.credentials), daemon=True
            ).start()


class Running:
    """A proxy that runs; what it was asked for is known when it has stopped."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process = process
        self.port = port
        self.asked: list[str] = []

    def stop(self) -> None:
        self._process.kill()
        rest, _ = self._process.communicate()
        self.asked = rest.splitlines()


@contextmanager
def proxy_process(*, refuse: str = "", credentials: str = "") -> Iterator[Running]:
    """Run a proxy while the block runs.

    Args:
        refuse: answer every request with this status.
        credentials: base64 of "user:password" that a request must bring.
    """
    command = [sys.executable, "-m", "tests.nodes.connect_proxy"]
    command += ["--refuse", refuse, "--credentials", credentials]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    running = Running(process, int(process.stdout.readline()))
    try:
        yield running
    finally:
        running.stop()


if __name__ == "__main__":
    main()
