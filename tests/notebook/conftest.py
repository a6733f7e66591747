"""Fixtures that run commands of documents."""

from __future__ import annotations

from tests.docs.conftest import environment, start

__all__ = ["environment", "start"]
