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
    from mpcseg.cli.agreed import study_to_end
    from mpcseg.cli.config import ComputeConfig, KeyConfig, PartyConfig
    from mpcseg.errors import MpcsegError
    from mpcseg.nodes.progress import Progress, SilentProgress
    from mpcseg.nodes.requests import close_study, study_status, withdraw
    from mpcseg.report.document import report_document
    from mpcseg.report.model import segment_table
    from mpcseg.report.pictures import svg
    from mpcseg.report.received import Received
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
    "study_to_end": "mpcseg.cli.agreed",
    "ComputeConfig": "mpcseg.cli.config",
    "KeyConfig": "mpcseg.cli.config",
    "PartyConfig": "mpcseg.cli.config",
    "MpcsegError": "mpcseg.errors",
    "Progress": "mpcseg.nodes.progress",
    "SilentProgress": "mpcseg.nodes.progress",
    "close_study": "mpcseg.nodes.requests",
    "study_status": "mpcseg.nodes.requests",
    "withdraw": "mpcseg.nodes.requests",
    "report_document": "mpcseg.report.document",
    "segment_table": "mpcseg.report.model",
    "svg": "mpcseg.report.pictures",
    "Received": "mpcseg.report.received",
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

_EXTRAS = {
    "sklearn": "scikit-learn",
    "joblib": "scikit-learn",
    "altair": "Altair",
    "vl_convert": "vl-convert",
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
    "Received",
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
    "report_document",
    "segment_table",
    "study_status",
    "study_to_end",
    "svg",
    "withdraw",
    "write_agreement",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used.

    Raises:
        AttributeError: there is no such name.
        ImportError: a package of the extra `report` is needed and not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module 'mpcseg.api' has no attribute '{name}'")
    try:
        found = getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        package = _EXTRAS.get((error.name or "").partition(".")[0])
        if package is None:
            raise
        raise ImportError(
            f"{name} needs {package}, which is not installed: pip install 'mpcseg[report]'"
        ) from None
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
