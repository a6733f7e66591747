"""A TCP line between a node and the compute node that a test can cut."""

from __future__ import annotations

import contextlib
import socket
import threading


class Line:
    """Forwards connections to an address, until it is cut and again when it is mended."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = threading.Event()
        self._open.set()
        self._flows = threading.Event()
        self._flows.set()
        self._sockets: list[socket.socket] = []
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.forwarded = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection and take no new one."""
        self._open.clear()
        self._flows.set()
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def hold(self) -> None:
        """Forward nothing more and close nothing, as a cable that is pulled."""
        self._flows.clear()

    def mend(self) -> None:
        self._flows.set()
        self._open.set()

    def close(self) -> None:
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if not self._open.is_set():
                near.close()
                continue
            far = socket.create_connection(self._target)
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        # Each end is the source of one pump, which closes it.
        with source:
            with contextlib.suppress(OSError):
                while data := source.recv(1 << 16):
                    self._flows.wait()
                    sink.sendall(data)
                    self.forwarded += len(data)
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)
