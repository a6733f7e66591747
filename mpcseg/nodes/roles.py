"""Who takes part in a study."""

from __future__ import annotations

from dataclasses import dataclass

from mpcseg.wire.names import Role

__all__ = ["MAX_BLOCKS", "Caller", "Role"]

MAX_BLOCKS = 2048
"""Blocks that one party may upload, if nothing else is said: 16 million records at N = 16384."""


@dataclass(frozen=True)
class Caller:
    """A node that dials out to the compute node.

    Attributes:
        name: its organisation, as known from its certificate.
        role: in which it joined; one that the agreement gives to the organisation.
    """

    name: str
    role: Role

    def __str__(self) -> str:
        """Say who it is, for messages."""
        return f"{self.role.value} node {self.name}"
