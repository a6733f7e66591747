"""Hosts for nodes: a network namespace and a small disk each, on one Linux machine; needs root.

All hosts hang on one switch. A host's line can be cut and mended, and its disk filled and freed:
what a node sees is what it would see on a machine of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

MISSING = (
    "needs root and Debian's iproute2" if os.geteuid() != 0 or shutil.which("ip") is None else ""
)
"""Why there are no hosts on this machine; empty where there are."""

_FILLER = "filler"


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


class Switch:
    """A network of hosts. A context manager; afterwards nothing of it is left.

    Args:
        name: short, and of this network alone.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._hosts: list[Host] = []

    def __enter__(self) -> Switch:
        """Make the network."""
        _run("ip", "netns", "add", self._name)
        _run("ip", "-n", self._name, "link", "add", "switch", "type", "bridge")
        _run("ip", "-n", self._name, "link", "set", "switch", "up")
        return self

    def __exit__(self, *exception: object) -> None:
        """Remove the hosts and the network."""
        for host in self._hosts:
            host.remove()
        _run("ip", "netns", "del", self._name)

    def host(self, disk: Path, megabytes: int) -> Host:
        """Add a host.

        Args:
            disk: folder where its disk is mounted; made if absent.
            megabytes: of the disk.
        """
        number = len(self._hosts) + 1
        host = Host(f"{self._name}-{number}", f"10.77.0.{number}", disk)
        self._hosts.append(host)
        host.make(self._name, megabytes)
        return host


class Host:
    """One host.

    Attributes:
        name: of its network namespace.
        address: its address on the network.
        disk: where its disk is mounted.
    """

    def __init__(self, name: str, address: str, disk: Path) -> None:
        self.name = name
        self.address = address
        self.disk = disk

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs a command on this host."""
        return ["ip", "netns", "exec", self.name, *command]

    def cut(self) -> None:
        """Pull the network cable: packets vanish, and nobody is told."""
        _run("ip", "-n", self.name, "link", "set", "eth0", "down")

    def mend(self) -> None:
        """Plug it in again."""
        _run("ip", "-n", self.name, "link", "set", "eth0", "up")

    def fill(self) -> None:
        """Fill the disk to the last byte."""
        with (self.disk / _FILLER).open("wb", buffering=0) as file:
            size = 1 << 20
            while size:
                try:
                    file.write(b"\0" * size)
                except OSError:
                    size //= 2

    def free(self) -> None:
        """Free what `fill` has taken."""
        (self.disk / _FILLER).unlink(missing_ok=True)

    def make(self, switch: str, megabytes: int) -> None:
        """Set the host up; called by its switch."""
        far = f"v{self.address.rpartition('.')[2]}"
        _run("ip", "netns", "add", self.name)
        _run("ip", "link", "add", "eth0", "netns", self.name, "type", "veth",
             "peer", "name", far, "netns", switch)  # fmt: skip
        _run("ip", "-n", switch, "link", "set", far, "master", "switch", "up")
        _run("ip", "-n", self.name, "addr", "add", f"{self.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            _run("ip", "-n", self.name, "link", "set", link, "up")
        self.disk.mkdir(parents=True, exist_ok=True)
        _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(self.disk))

    def remove(self) -> None:
        """Take it down; its processes have ended."""
        subprocess.run(["umount", "-l", str(self.disk)], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)
