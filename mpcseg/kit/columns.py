"""What a start-up kit's page says of the customer table: each column, and what may be in it."""

from __future__ import annotations

from collections.abc import Iterator

from mpcseg.report.terms import exact
from mpcseg.study.features import FeatureSpec
from mpcseg.study.profile_columns import CategoryColumn
from mpcseg.study.spec import StudySpec
from mpcseg.verification.markdown import code

_BESIDE = "Told of the segments, not clustered on."


def columns(spec: StudySpec) -> Iterator[str]:
    """Each column that is read, in Markdown, by a name that can be copied into a heading."""
    yield (
        f"{code('customer_id')}: the identifier, another one in each row. It is checked for "
        "duplicates and forgotten; never encrypted, sent or logged."
    )
    for feature in spec.features:
        yield f"{code(feature.name)}: {_number(feature)}. Clustered on."
    for column in spec.numeric_columns:
        yield f"{code(column.name)}: {_number(column)}. {_BESIDE}"
    for category in spec.categories:
        yield f"{code(category.name)}: {_category(category)} {_BESIDE}"
    if spec.consent:
        yield (
            f"{code(spec.consent.column)}: a record takes part where this is exactly "
            f"{code(spec.consent.value)}; others, and empty cells, are left out and counted."
        )


def _number(column: FeatureSpec) -> str:
    bounds = f"a number, agreed from {exact(column.lower)} to {exact(column.upper)}"
    how = "taken as it is (`identity`)"
    if column.transform == "log1p":
        how = "taken by its logarithm (`log1p`; -1 or less refuses the table)"
    return f"{bounds} (what lies outside is clipped and warned about), {how}"


def _category(column: CategoryColumn) -> str:
    def counted(label: str) -> str:
        return f"counts as {code(label)}" if label else "refuses the table"

    return (
        f"one of {', '.join(map(code, column.values))}, letter for letter. Any other value "
        f"{counted(column.other)}, an empty cell {counted(column.unknown)}."
    )
