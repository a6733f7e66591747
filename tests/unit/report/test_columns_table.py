"""Profile columns on the screen: every released number, and nothing of what is hidden."""

from __future__ import annotations

import io

from rich.console import Console

from mpcseg.report.columns_table import ColumnsView
from mpcseg.study.figures import Report, report_of
from tests.made_up import agreed, finished
from tests.unit.study.test_column_figures import result, study


def shown(report: Report) -> list[list[str]]:
    file = io.StringIO()
    Console(file=file, width=200).print(ColumnsView(report), end="")
    rows = [line.strip("│┃ ") for line in file.getvalue().splitlines() if line[:1] in "│┃"]
    return [[cell.strip() for cell in row.replace("┃", "│").split("│")] for row in rows]


def test_each_released_number_is_shown_and_what_is_hidden_is_said() -> None:
    spec = study()
    heading, *rows = shown(report_of(spec, result(spec)))
    assert heading[-4:] == ["segment 1", "segment 2", "segment 3", "everybody"]
    found = {name: cells for name, *cells in rows}
    assert found["band = a"] == ["75 %", "7.69 %", "61.2 %", "47.6 %"]
    assert found["band = b"][:3] == ["hidden"] * 3
    assert found["band = b or c or other"][:3] == ["25 %", "92.3 %", "38.8 %"]
    assert len(found["income"]) == 4
    assert sum(name.startswith("party = ") for name in found) == len(spec.parties)


def test_noise_stands_beside_what_it_is_in() -> None:
    spec = study(noise=True)
    _, *rows = shown(report_of(spec, result(spec, noise=5.0)))
    assert all(" ± " in cell for _, *cells in rows for cell in cells if cell != "hidden")


def test_nothing_is_shown_where_no_columns_were_agreed() -> None:
    spec = agreed(3, noise=False)
    assert shown(report_of(spec, finished([400, 300, 200]))) == []
