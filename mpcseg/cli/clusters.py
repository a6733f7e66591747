"""How many segments, on a command line: a number, or a range to choose from."""

from __future__ import annotations

from mpcseg.errors import ConfigError
from mpcseg.study.cluster_range import ClusterRange
from mpcseg.study.documents import check

_MOST_DIGITS = 6


def parse_clusters(text: str) -> int | ClusterRange:
    """Read ``--clusters``; whether a single number makes sense is for the agreement to say.

    Raises:
        ConfigError: neither a number nor a range, or a range that no study can try out.
    """
    parts = text.split("-")
    if len(parts) > 2 or not all(
        part.isascii() and part.isdigit() and len(part) <= _MOST_DIGITS for part in parts
    ):
        raise ConfigError(
            f"--clusters {text} is neither a number nor a range",
            "Write --clusters 4, or --clusters 3-7 to have the study choose.",
        )
    if len(parts) == 1:
        return int(text)
    data = {"smallest": int(parts[0]), "largest": int(parts[1])}
    return check(ClusterRange, data, f"--clusters {text}", hint="Write it as in --clusters 3-7.")
