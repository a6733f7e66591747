"""The files that a report can be, and whether what makes them is installed."""

from __future__ import annotations

from enum import StrEnum
from importlib.util import find_spec

from mpcseg.errors import ConfigError

_PACKAGES = {
    "altair": "altair",
    "vl_convert": "vl-convert-python",
    "typst": "typst",
    "xlsxwriter": "xlsxwriter",
}
"""Of the extra `report`: what is imported, and what is installed for it."""


class Format(StrEnum):
    """One kind of file; tables come as a file each."""

    HTML = "html"
    PDF = "pdf"
    XLSX = "xlsx"
    CSV = "csv"
    PARQUET = "parquet"
    JSON = "json"


def parse_formats(text: str) -> tuple[Format, ...]:
    """Formats as people give them, "html,pdf": each once, in the order of `Format`.

    Raises:
        ConfigError: one of them is none, or there is none.
    """
    names = {name.strip().lower() for name in text.split(",") if name.strip()}
    unknown = names - set(Format)
    if unknown or not names:
        raise ConfigError(
            f"there is no report as '{min(unknown)}'" if unknown else "no format is given",
            f"Choose from {', '.join(Format)}, separated by commas.",
        )
    return tuple(kind for kind in Format if kind in names)


def has_report_extra() -> bool:
    """Whether the packages of the extra `report` are installed."""
    return not _missing()


def verify_report_extra() -> None:
    """Refuse to start on a report that could not be made.

    Raises:
        ConfigError: packages of the extra `report` are not installed; says how to install them.
    """
    if missing := _missing():
        raise ConfigError(
            f"a report needs {', '.join(missing)}, which "
            f"{'is' if len(missing) == 1 else 'are'} not installed",
            "Install it with: pip install 'mpcseg[report]'",
        )


def _missing() -> list[str]:
    return [package for module, package in _PACKAGES.items() if find_spec(module) is None]
