"""Profile columns on the command line of ``mpcseg study new``."""

from __future__ import annotations

from collections.abc import Sequence

from mpcseg.errors import ConfigError
from mpcseg.study.documents import check
from mpcseg.study.profile_columns import CategoryColumn, NumericColumn, ProfileColumn


def profile_columns(texts: Sequence[str], protected: Sequence[str]) -> list[ProfileColumn]:
    """The columns that options name.

    Args:
        texts: NAME:TRANSFORM:LOWER:UPPER, or NAME=VALUE,VALUE.
        protected: names of the categories that are protected.

    Raises:
        ConfigError: an option does not look like that, a column is impossible, or no category has
            a name that is to be protected.
    """
    columns = [_column(text, protected) for text in texts]
    categories = {column.name for column in columns if isinstance(column, CategoryColumn)}
    unknown = [name for name in protected if name not in categories]
    if unknown:
        raise ConfigError(
            f"--protected {unknown[0]} is no profile column with agreed values",
            "Write it as in: --profile-column age_band=18-29,30-49 --protected age_band",
        )
    return columns


def _column(text: str, protected: Sequence[str]) -> ProfileColumn:
    source = f"--profile-column {text}"
    hint = "Write NAME:TRANSFORM:LOWER:UPPER, or NAME=VALUE,VALUE."
    name, equals, values = text.partition("=")
    if equals:
        category = {
            "name": name,
            "kind": "category",
            "values": [value.strip() for value in values.split(",")],
            "protected": name in protected,
        }
        return check(CategoryColumn, category, source, hint=hint)
    parts = text.rsplit(":", 3)
    try:
        name, transform, lower, upper = parts
        numeric = {
            "name": name,
            "kind": "numeric",
            "transform": transform,
            "lower": float(lower),
            "upper": float(upper),
        }
    except ValueError:
        raise ConfigError(f"{source} is neither of the two forms", hint) from None
    return check(NumericColumn, numeric, source, hint=hint)
