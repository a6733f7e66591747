"""Joint customer segmentation in which nobody sees a customer.

The folders are the architecture, lowest layer first: ``errors``, ``reference``, ``ckks``,
``study``, ``wire``, ``engine``, ``nodes``, ``report``, ``cli``. Imports only go down. For programs
there is ``mpcseg.api``, and its `EncryptedKMeans` can be imported from here.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load `EncryptedKMeans` when it is first used: every node imports this module."""
    if name == "EncryptedKMeans":
        return importlib.import_module("mpcseg.api").EncryptedKMeans
    raise AttributeError(f"module 'mpcseg' has no attribute '{name}'")
