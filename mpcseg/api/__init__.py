"""mpcseg for programs: a local trial with scikit-learn's conventions, and each role's node.

docs/python.md shows every name. They are loaded when they are first used: gRPC, TenSEAL and
scikit-learn take a while to import, and scikit-learn is needed for `EncryptedKMeans` alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpcseg.api.kmeans import EncryptedKMeans
    from mpcseg.api.local import LocalStudy, run_local_study

_HOMES = {
    "EncryptedKMeans": "mpcseg.api.kmeans",
    "LocalStudy": "mpcseg.api.local",
    "run_local_study": "mpcseg.api.local",
}

__all__ = ["EncryptedKMeans", "LocalStudy", "run_local_study"]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used.

    Raises:
        AttributeError: there is no such name.
        ImportError: scikit-learn is needed and not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'mpcseg.api' has no attribute '{name}'")
    try:
        found = getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("sklearn", "joblib"):
            raise
        raise ImportError(
            f"{name} needs scikit-learn, which is not installed: pip install 'mpcseg[report]'"
        ) from None
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
