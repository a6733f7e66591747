"""What all charts of the report begin with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt


def chart_of(rows: Sequence[dict[str, Any]]) -> alt.Chart:
    """A chart with its data inside.

    Fields are named by the program; names of features and the like belong into values, where no
    character of theirs means anything.
    """
    return alt.Chart(alt.InlineData(values=list(rows)))
