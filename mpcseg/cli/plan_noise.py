"""What a study's noise will do to its segments, as ``mpcseg plan`` shows it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

from mpcseg.privacy.budget import NoisePlan, no_noise_plan, noise_plan
from mpcseg.privacy.forecast import TYPICAL_DEVIATION, Forecast, records_needed
from mpcseg.report.table import plain
from mpcseg.study.spec import Privacy, StudySpec

if TYPE_CHECKING:
    from mpcseg.ckks.planner import Plan

_VERDICTS = {
    "sharp": "sharp: noise costs less than 1 % of the fit",
    "blurred": "blurred: groups are right, borders and small differences are not",
    "drowned": "drowned: what comes out is mostly noise",
}
# Nobody has said which it will be where there is no agreement yet.
_WHO = ("a third one", "as where two organisations do everything between them")
_LIMITS: tuple[Literal["sharp"], Literal["blurred"]] = ("sharp", "blurred")


def _noise(made: Plan, budget: Privacy, spec: StudySpec | None, *, own_draw: bool) -> NoisePlan:
    shape: dict[str, Any] = {
        "n_clusters": made.n_clusters,
        "scouting": made.scouting,
        "n_features": made.n_features,
        "n_rounds": made.n_rounds,
        "n_parties": made.n_parties,
    }
    radius = math.sqrt(made.n_features)
    if spec and spec.n_features == made.n_features:
        radius = spec.l2_radius
    signs = (made.blunt, made.sharp)
    if budget.epsilon == "none":
        return no_noise_plan(
            **shape, radius=radius, signs=signs, own_draw=own_draw, columns=made.columns
        )
    return noise_plan(
        **shape,
        epsilon=budget.epsilon,
        delta=budget.delta,
        radius=radius,
        signs=signs,
        own_draw=own_draw,
        columns=made.columns,
    )


def show_noise(
    made: Plan, budget: Privacy, spec: StudySpec | None, n_records: int, console: Console
) -> None:
    """Say what the noise will do to the segments, and warn where it will blur or drown them.

    Args:
        made: the study's circuits.
        budget: agreed, or thought about.
        spec: the agreement, if there is one.
        n_records: expected of all parties together; 0 if nobody has said.
        console: to print on.
    """
    if not budget.is_noised:
        console.print(
            "WARNING: without noise the key node sees exact sums, and can tell single customers "
            "from them (docs/privacy.md).",
            style="bold yellow",
            highlight=False,
        )
        return
    cases = {
        "receives nothing": _noise(made, budget, spec, own_draw=False),
        "receives results": _noise(made, budget, spec, own_draw=True),
    }
    if spec:
        word = "receives results" if spec.compute_receives else "receives nothing"
        cases = {word: cases[word], **cases}
    console.print(_noise_table(cases, budget, n_records))
    if not n_records:
        console.print("--records tells what this means for so many records.", highlight=False)
        return
    if spec:
        _show_case(next(iter(cases.values())), n_records, console)
        return
    for (case, noise), who in zip(cases.items(), _WHO, strict=True):
        console.print(f"If the compute node's organisation {case} ({who}):", highlight=False)
        _show_case(noise, n_records, console)


def _show_case(noise: NoisePlan, n_records: int, console: Console) -> None:
    forecast = Forecast(noise, n_records)
    size = n_records // noise.n_clusters
    console.print(
        f"Of {n_records:,} records, a segment of average size ({size:,}) gets a share that is off "
        f"by {plain(100 * forecast.share_std)} percentage points, and a centre that is off by "
        f"{plain(forecast.coordinate_std)} standard deviations in each feature (one standard "
        f"deviation of the noise; a feature's own taken as {TYPICAL_DEVIATION:g} of half its "
        "bounds).",
        highlight=False,
    )
    _judge(forecast, console)


def _judge(forecast: Forecast, console: Console) -> None:
    verdict = forecast.verdict
    if verdict == "sharp":
        console.print(f"The segments will be {_VERDICTS[verdict]}.", highlight=False)
        return
    needed = _round_up(records_needed(forecast.plan, "sharp"))
    remedies = "Fewer segments or rounds, more records or a larger epsilon help"
    if forecast.plan.own_draw:
        remedies += "; so does a compute node whose organisation receives nothing"
    console.print(
        f"WARNING: the segments will be {_VERDICTS[verdict]}. They are sharp from about "
        f"{needed:,} records on. {remedies}.",
        style="bold yellow" if verdict == "blurred" else "bold red",
        highlight=False,
    )


def _noise_table(cases: dict[str, NoisePlan], budget: Privacy, n_records: int) -> Table:
    table = Table(
        title=f"Noise for epsilon {budget.epsilon:g}, delta {budget.delta:g}, of the whole study"
    )
    table.add_column("the compute node's organisation")
    headings = ["noise of a sum", "sharp from", "drowned under"]
    for heading in headings + (["here"] if n_records else []):
        table.add_column(heading, justify="right")
    for case, noise in cases.items():
        std = float(noise.effective_stds("lloyd", noise.signs[1])[0, 0])
        row = [f"± {plain(std)}"]
        row += [f"{_round_up(records_needed(noise, word)):,} records" for word in _LIMITS]
        if n_records:
            row.append(Forecast(noise, n_records).verdict)
        table.add_row(case, *row)
    return table


def _round_up(number: int) -> int:
    """Two digits are more than a forecast deserves."""
    unit = int(10 ** max(0, len(str(number)) - 2))
    return math.ceil(number / unit) * unit
