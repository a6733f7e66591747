"""mpcseg for programs: a local trial with scikit-learn's conventions, and each role's node.

docs/python.md shows every name. They are loaded when they are first used: gRPC, TenSEAL and
scikit-learn take a while to import, and scikit-learn is needed for `EncryptedKMeans` alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpcseg.api.kmeans import EncryptedKMeans
    from mpcseg.api.local import LocalStudy
    from mpcseg.api.roles import ComputeServer, KeyClient, PartyClient
    from mpcseg.cli.config import ComputeConfig, KeyConfig, PartyConfig
    from mpcseg.errors import MpcsegError
    from mpcseg.nodes.progress import Progress, SilentProgress
    from mpcseg.nodes.requests import close_study, study_status, withdraw
    from mpcseg.report.model import segment_table
    from mpcseg.report.table import SegmentsView
    from mpcseg.study.agreement import (
        Agreement,
        load_agreement,
        load_study,
        load_unsigned,
        write_agreement,
    )
    from mpcseg.study.identity import Identity, load_identity, new_identity
    from mpcseg.study.results import Results
    from mpcseg.study.spec import StudySpec

_HOMES = {
    "EncryptedKMeans": "mpcseg.api.kmeans",
    "LocalStudy": "mpcseg.api.local",
    "ComputeServer": "mpcseg.api.roles",
    "KeyClient": "mpcseg.api.roles",
    "PartyClient": "mpcseg.api.roles",
    "ComputeConfig": "mpcseg.cli.config",
    "KeyConfig": "mpcseg.cli.config",
    "PartyConfig": "mpcseg.cli.config",
    "MpcsegError": "mpcseg.errors",
    "Progress": "mpcseg.nodes.progress",
    "SilentProgress": "mpcseg.nodes.progress",
    "close_study": "mpcseg.nodes.requests",
    "study_status": "mpcseg.nodes.requests",
    "withdraw": "mpcseg.nodes.requests",
    "segment_table": "mpcseg.report.model",
    "SegmentsView": "mpcseg.report.table",
    "Agreement": "mpcseg.study.agreement",
    "load_agreement": "mpcseg.study.agreement",
    "load_study": "mpcseg.study.agreement",
    "load_unsigned": "mpcseg.study.agreement",
    "write_agreement": "mpcseg.study.agreement",
    "Identity": "mpcseg.study.identity",
    "load_identity": "mpcseg.study.identity",
    "new_identity": "mpcseg.study.identity",
    "Results": "mpcseg.study.results",
    "StudySpec": "mpcseg.study.spec",
}

__all__ = [
    "Agreement",
    "ComputeConfig",
    "ComputeServer",
    "EncryptedKMeans",
    "Identity",
    "KeyClient",
    "KeyConfig",
    "LocalStudy",
    "MpcsegError",
    "PartyClient",
    "PartyConfig",
    "Progress",
    "Results",
    "SegmentsView",
    "SilentProgress",
    "StudySpec",
    "close_study",
    "load_agreement",
    "load_identity",
    "load_study",
    "load_unsigned",
    "new_identity",
    "segment_table",
    "study_status",
    "withdraw",
    "write_agreement",
]


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
