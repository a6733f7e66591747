"""Who takes part in a study."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_BLOCKS = 2048
"""Blocks that one party may upload, if nothing else is said: 16 million records at N = 16384."""


class Role(Enum):
    """What a node does in a study."""

    COMPUTE = "compute"
    KEY = "key"
    PARTY = "party"


@dataclass(frozen=True)
class Caller:
    """A node that dials out to the compute node, as known from its certificate."""

    name: str
    role: Role

    def __str__(self) -> str:
        """Say who it is, for messages."""
        return f"{self.role.value} node {self.name}"
