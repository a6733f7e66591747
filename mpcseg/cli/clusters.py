"""How many segments, on a command line: a number, or a range to choose from."""

from __future__ import annotations

from mpcseg.errors import ConfigError, PlanError
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


def parse_one_number(text: str) -> int:
    """Read ``--clusters`` of a command that has no use for a range.

    Raises:
        ConfigError: no number.
        PlanError: fewer than 2.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ConfigError(
            f"--clusters {text} is not one number of segments",
            "Write --clusters 4. The demo takes one number, which it compares with scikit-learn; "
            "`mpcseg study new` and `mpcseg plan` take a range too, from which the study chooses.",
        )
    verify_two(int(text))
    return int(text)


def verify_two(n_clusters: int) -> None:
    """Refuse a number of segments that tells no customers apart.

    Raises:
        PlanError: fewer than 2.
    """
    if n_clusters < 2:
        raise PlanError(
            f"--clusters {n_clusters} is too few: a study has 2 segments at least (k >= 2)",
            "Raise --clusters.",
        )
