"""A long line between two hosts: a rate and a delay, where the kernel has no `tc netem`.

Two network devices, one at each end, and a process between them that holds every packet back as
long as a line of this rate and length would. As real as it gets without a second site: TCP's own
windows, acknowledgements and losses at a full queue do the rest.

    python -m tests.faults.wan NAMESPACE ADDRESS NAMESPACE ADDRESS --mbit 100 --ms 20
"""

from __future__ import annotations

import argparse
import collections
import ctypes
import fcntl
import os
import struct
import subprocess
import threading
import time
from pathlib import Path

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_CLONE_NEWNET = 0x40000000
_MTU = 1500
# What a router at the line's end holds before it drops: a quarter of a second's worth.
_QUEUE_SECONDS = 0.25


def open_device(namespace: str, name: str, address: str) -> int:
    """Make a network device in a namespace and return its file.

    Args:
        namespace: a named one (`ip netns add`).
        name: of the device.
        address: its own, with the length of the network's prefix.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/proc/thread-self/ns/net").open() as here, \
            Path("/run/netns", namespace).open() as there:  # fmt: skip
        if libc.setns(there.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        device = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH", name.encode(), _IFF_TUN | _IFF_NO_PI))
        if libc.setns(here.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
    for words in (["addr", "add", address, "dev", name], ["link", "set", name, "mtu", str(_MTU)],
                  ["link", "set", name, "up"]):  # fmt: skip
        subprocess.run(["ip", "-n", namespace, *words], check=True)
    return device


class Direction:
    """One direction of the line.

    Args:
        source: device that packets come from.
        sink: device that they go to.
        rate: bytes per second.
        delay: seconds that a packet travels.
    """

    def __init__(self, source: int, sink: int, rate: float, delay: float) -> None:
        self._source, self._sink = source, sink
        self._rate, self._delay = rate, delay
        self._waiting: collections.deque[tuple[float, bytes]] = collections.deque()
        self._more = threading.Semaphore(0)
        self.n_bytes = self.n_lost = 0

    def start(self) -> None:
        """Carry packets from now on."""
        for work in (self._take, self._give):
            threading.Thread(target=work, daemon=True).start()

    def _take(self) -> None:
        free = time.monotonic()  # when the line has sent all that came before
        while packet := os.read(self._source, 65536):
            now = time.monotonic()
            if free - now > _QUEUE_SECONDS:
                self.n_lost += 1
                continue
            free = max(free, now) + len(packet) / self._rate
            self.n_bytes += len(packet)
            self._waiting.append((free + self._delay, packet))
            self._more.release()

    def _give(self) -> None:
        while self._more.acquire():
            due, packet = self._waiting.popleft()
            left = due - time.monotonic()
            if left > 0:
                time.sleep(left)
            os.write(self._sink, packet)


def main() -> None:
    """Be the line until standard input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ends", nargs=4)
    parser.add_argument("--mbit", type=float, default=100.0)
    parser.add_argument("--ms", type=float, default=20.0, help="one way")
    parser.add_argument("--device", default="wan0")
    given = parser.parse_args()
    one, one_address, other, other_address = given.ends
    ends = [open_device(one, given.device, one_address),
            open_device(other, "wan0", other_address)]  # fmt: skip
    rate, delay = given.mbit * 1e6 / 8, given.ms / 1e3
    lines = [Direction(*pair, rate, delay) for pair in (ends, ends[::-1])]
    for line in lines:
        line.start()
    os.write(1, b"ready\n")
    while os.read(0, 4096):
        pass
    said = (f"{line.n_bytes} bytes, {line.n_lost} packets lost" for line in lines)
    os.write(1, ("; ".join(said) + "\n").encode())


if __name__ == "__main__":
    main()
