"""Small studies to attack: in the clear, and on real ciphertexts with the real engine.

There are two key nodes. One lets the product's schedule decide. The other is a plain one that goes
on whatever the sums say, where the schedule would end a study that has too few records for its
noise: the attacker gets all rounds from it, always.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpcseg.ckks.planner import BLUNT, SHARP
from mpcseg.privacy.budget import NoisePlan, no_noise_plan, noise_plan
from mpcseg.reference.hyperplanes import hyperplanes
from mpcseg.reference.moments import Moments
from mpcseg.reference.rounds import RoundKind, sums_shape
from mpcseg.study.schedule import Schedule
from mpcseg.study.spec import Privacy
from tests.adversarial.views import SUM_ERROR, Release, View, contributions

Array = NDArray[np.float64]

N_SLOTS = 8192
"""Of a block."""

EPSILON, DELTA = float(Privacy().epsilon), Privacy().delta
"""What an agreement has unless it says otherwise."""


@dataclass(frozen=True)
class Design:
    """A study's shape.

    Attributes:
        n_clusters: k.
        n_features: d.
        n_rounds: lloyd rounds.
    """

    n_clusters: int
    n_features: int
    n_rounds: int

    def noise(self, epsilon: float | None = EPSILON) -> NoisePlan:
        """The noise of an agreement with one party and this epsilon; None for no noise."""
        shape: dict[str, Any] = {
            "n_clusters": self.n_clusters,
            "n_features": self.n_features,
            "n_rounds": self.n_rounds,
            "n_parties": 1,
            "radius": float(np.sqrt(self.n_features)),
            "signs": (BLUNT, SHARP),
            "own_draw": False,
            "delta": DELTA,
        }
        return no_noise_plan(**shape) if epsilon is None else noise_plan(epsilon=epsilon, **shape)


def groups(n: int, n_groups: int, n_features: int, rng: np.random.Generator) -> Array:
    """Records in loose groups, shape (n, d)."""
    centers = rng.uniform(-0.7, 0.7, (n_groups, n_features))
    scattered = centers[rng.integers(n_groups, size=n)] + rng.normal(0, 0.2, (n, n_features))
    return np.clip(scattered, -1, 1)


Answer = Callable[[Release], Awaitable[Array]]
"""Has a round computed: takes a release without sums, and returns the sums."""


async def run_schedule(design: Design, answer: Answer) -> View:
    """Run a study without noise as the product does, and return all that the key node saw."""
    k, d = design.n_clusters, design.n_features
    schedule = Schedule(
        n_clusters=k,
        n_rounds=design.n_rounds,
        feature_names=[f"x{j}" for j in range(d)],
        parties={"party": 1},
        slots=N_SLOTS,
        most_records=N_SLOTS,
        blunt=BLUNT,
        sharp=SHARP,
        seed=0,
        noise=design.noise(None),
    )
    releases = []
    while (request := schedule.request()) is not None:
        shape = sums_shape(request.kind, k, d, 1)
        unanswered = np.zeros(shape)
        asked = Release(
            request.kind, request.sign, request.hyperplanes, unanswered, np.zeros(shape)
        )
        sums = (await answer(asked)).reshape(shape)
        schedule.receive(sums)
        if request.kind != "admission":
            releases.append(replace(asked, sums=sums))
    return View(k, d, tuple(releases))


@dataclass
class KeyNode:
    """Runs the rounds of a study and keeps all it sees. Plain Lloyd steps from a random start.

    Attributes:
        design: of the study.
        plan: of its noise.
        rng: of the start.
        scale: share of the planned noise that is really added.
        releases: all that was seen so far.
    """

    design: Design
    plan: NoisePlan
    rng: np.random.Generator
    scale: float = 1.0
    releases: list[Release] = field(default_factory=list)

    async def run(self, answer: Answer) -> View:
        """Ask for every round, and return all that was seen."""
        k, d = self.design.n_clusters, self.design.n_features
        moments = Moments.from_sums(self._countable(await self._ask(answer, "moments")), d)
        variances = np.maximum(np.diag(moments.covariance), 0.01)
        centers = moments.mean + self.rng.normal(0, 1, (k, d)) * np.sqrt(variances)
        for number in range(self.design.n_rounds):
            # As in the product: noised rounds are sharp ones.
            is_blunt = not self.plan.is_noised and number < 2 * self.design.n_rounds // 5
            sign = BLUNT if is_blunt else SHARP
            planes = self._planes(centers, variances)
            sums = await self._ask(answer, "lloyd", sign, planes)
            filled = sums[:, -1] > 0.5
            centers[filled] = sums[filled, :-1] / sums[filled, -1:]
        await self._ask(answer, "profile", SHARP, self._planes(centers, variances))
        return View(k, d, tuple(self.releases))

    async def _ask(
        self,
        answer: Answer,
        kind: RoundKind,
        sign: tuple[int, ...] = (),
        planes: Array | None = None,
    ) -> Array:
        shape = sums_shape(kind, self.design.n_clusters, self.design.n_features)
        stds = np.zeros(shape)
        if self.plan.is_noised:
            stds = self.scale * self.plan.stds(kind, sign)
        asked = Release(kind, sign, planes, np.zeros(shape), stds)
        sums = (await answer(asked)).reshape(shape)
        self.releases.append(replace(asked, sums=sums))
        return sums

    def _planes(self, centers: Array, variances: Array) -> Array:
        centers[:] = np.clip(centers, -1, 1)
        # Coincident centroids have no hyperplane between them.
        while len(np.unique(centers.round(3), axis=0)) < len(centers):
            centers += self.rng.normal(0, 0.01, centers.shape)
        return hyperplanes(centers, 1 / variances, float(np.sqrt(self.design.n_features)))

    def _countable(self, sums: Array) -> Array:
        """Noise can make the number of records negative; then the key node takes 1."""
        return np.concatenate([[max(float(sums[0]), 1.0)], sums[1:]])


def clear_view(
    records: Array,
    design: Design,
    rng: np.random.Generator,
    *,
    epsilon: float | None,
    scale: float = 1.0,
    sum_error: float = SUM_ERROR,
) -> View:
    """Simulate a study's rounds in the clear.

    Args:
        records: of all parties, shape (n, d).
        design: of the study.
        rng: of the start, the noise and the errors.
        epsilon: of the agreement; None for no noise.
        scale: share of the planned noise that is really added.
        sum_error: deviation of the errors that stand for those of the encrypted evaluation.
    """

    async def answer(asked: Release) -> Array:
        exact = contributions(records, asked, design.n_clusters).sum(axis=0)
        stds = np.hypot(asked.stds.ravel(), sum_error)
        return np.asarray(exact + stds * rng.standard_normal(exact.shape), dtype=np.float64)

    return asyncio.run(KeyNode(design, design.noise(epsilon), rng, scale).run(answer))
