"""How an agreed (epsilon, delta) is split over the rounds of a study: the noise plan.

docs/privacy.md says where the shares come from. Every node makes the same plan from the agreement;
the compute node draws noise by it, the key node reckons with it, and both refuse what it does not
cover.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpcseg.errors import BudgetError
from mpcseg.privacy import sensitivity
from mpcseg.privacy.accounting import gaussian_rho, gaussian_std, rho_for
from mpcseg.reference.admission import (
    AMPLIFICATION,
    HONEST_POWER,
    LARGEST_FACTOR,
    MAGNITUDE_WEIGHT,
    PRESENCE_WEIGHT,
    error_stds,
)
from mpcseg.reference.columns import NO_COLUMNS, ColumnLayout
from mpcseg.reference.rounds import SCOUT_KINDS, SQUARE_KINDS, RoundKind, ScoutTerms

Array = NDArray[np.float64]

# Shares of the whole budget; what is left is for the lloyd rounds, in equal parts.
MOMENTS_SHARE = 0.10
PROFILE_SHARE = 0.12
# Of the whole, where the number of clusters is chosen: of all scout and appraisal rounds together.
# The lloyd rounds then start from centroids that were found with it.
SCOUT_SHARE = 0.30
# An appraisal round costs as much as so many scout rounds.
APPRAISAL_WEIGHT = 2
# Of the sums of profile columns, however many they are; nothing where there are none.
COLUMNS_SHARE = 0.10
# Shares of a round's budget for the parts of its sums.
MOMENTS_PARTS = {"count": 0.05, "sums": 0.25, "squares": 0.40, "products": 0.30}
LLOYD_PARTS = {"counts": 0.20, "sums": 0.80}
PROFILE_PARTS = {"counts": 0.20, "sums": 0.20, "squares": 0.60}
APPRAISAL_PARTS = {"counts": 0.15, "sums": 0.50, "squares": 0.35}

# The admission round answers only whether data is in its domain. It costs this share of the budget,
# or more where so much noise would hide a violation, but never more than the larger share.
ADMISSION_SHARE = 1e-3
LARGEST_ADMISSION_SHARE = 1e-2
# Admission rounds that the budget pays for: a run that stops there, because a party's data is not
# in the domain or a node fails, can be made again under the same agreement.
ADMISSION_ROUNDS = 3
# A presence of 1.02 or -0.02 adds 80 to a sum, a coordinate of 1.02 adds 43, one of 1.025 adds 535.
LARGEST_ADMISSION_STD = 32.0
# Without noise elsewhere the admission sums still get some: they are of one party alone.
ADMISSION_STD_WITHOUT_NOISE = 1.0
# One honest value is over its limit with a probability below 1e-11 (two-sided Gaussian tail).
ADMISSION_DEVIATIONS = 7.0


@dataclass(frozen=True)
class NoisePlan:
    """Standard deviations and costs of every round. Any node; every node makes the same one.

    Make it by `noise_plan` or `no_noise_plan`.

    Attributes:
        epsilon: agreed; infinite without noise.
        delta: agreed.
        total_rho: what the whole study may spend; infinite without noise.
        n_clusters: k; where it is chosen in the study, the largest it can be.
        n_features: d.
        n_rounds: lloyd rounds at most.
        n_parties: parties, each of which has admission sums of its own.
        radius: agreed L2 radius of a record.
        signs: degrees of the blunt and of the sharp sign.
        own_draw: whether the key node adds a draw of its own to every sum, because the
            organisation that runs the compute node is to receive results.
        scouting: how the number of clusters is chosen; None where it is agreed.
        columns: of the study.
    """

    epsilon: float
    delta: float
    total_rho: float
    n_clusters: int
    n_features: int
    n_rounds: int
    n_parties: int
    radius: float
    signs: tuple[tuple[int, ...], tuple[int, ...]]
    own_draw: bool
    scouting: ScoutTerms | None = None
    columns: ColumnLayout = NO_COLUMNS

    @property
    def candidates(self) -> tuple[int, ...]:
        """Numbers of clusters that a round can have."""
        return self.scouting.candidates if self.scouting else (self.n_clusters,)

    @property
    def is_noised(self) -> bool:
        """Whether anything but the admission round has noise."""
        return not math.isinf(self.total_rho)

    @property
    def study_rho(self) -> float:
        """Cost of one whole run: what there is, but for the admission rounds of broken ones."""
        lloyd = max(self.rho("lloyd", sign) for sign in self.signs)
        return (
            self.rho("admission")
            + self.rho("moments")
            + self._scouting_rho
            + self.n_rounds * lloyd
            + self.rho("profile", self.signs[1])
        )

    @property
    def _scouting_rho(self) -> float:
        """Cost of choosing the number of clusters."""
        if self.scouting is None:
            return 0.0
        return math.fsum(
            self.rho(kind, self.scout_sign(kind)) for kind, _ in self.scouting.sequence
        )

    def scout_sign(self, kind: RoundKind) -> tuple[int, ...]:
        """Degrees of the sign of such a round: blunt to find segments, sharp to appraise them."""
        return self.signs[kind == "appraisal"]

    def rho(self, kind: RoundKind, sign: tuple[int, ...] = ()) -> float:
        """Cost of one round; infinite without noise, but for the admission round.

        Args:
            kind: of the round.
            sign: degrees of its composite sign; empty for admission and moments.
        """
        if kind == "admission":
            parts = sensitivity.admission_sensitivities(self.n_features, self.columns)
            # A record is in the sums of one party only.
            return math.fsum(map(gaussian_rho, parts, self._admission_stds.tolist()))
        self._verify_sign(kind, sign)
        return self._planned_rho(kind)

    def stds(self, kind: RoundKind, sign: tuple[int, ...] = (), n_clusters: int = 0) -> Array:
        """Standard deviation of the compute node's draw for every sum of a round.

        Args:
            kind: of the round.
            sign: degrees of its composite sign; empty for admission and moments.
            n_clusters: of the round; 0 for the plan's own, the largest.

        Returns:
            In the unit of the sums, in the shape of `sums_shape` ((n_parties, 3) for admission).
            The key node's own draw has the same ones.

        Raises:
            BudgetError: for a sign or a number of clusters that is not in the plan.
        """
        d, k = self.n_features, n_clusters or self.n_clusters
        if kind == "admission":
            return np.tile(self._admission_stds, (self.n_parties, 1))
        self._verify_sign(kind, sign)
        if k not in self.candidates:
            raise BudgetError(f"the noise plan has no round of {k} clusters")
        part = self._part_stds(kind, sign, k)
        if kind == "moments":
            upper = np.triu_indices(d)
            second = np.where(upper[0] == upper[1], part["squares"], part["products"])
            return np.concatenate([[part["count"]], np.full(d, part["sums"]), second])
        row = np.concatenate([np.full(d, part["sums"]), [part["counts"]]])
        if "squares" in part:
            row = np.concatenate([row, np.full(d, part["squares"])])
            if kind == "profile" and self.columns.n_sums:
                row = np.concatenate([row, np.full(self.columns.n_sums, part["columns"])])
        return np.tile(row, (k, 1))

    def effective_stds(
        self, kind: RoundKind, sign: tuple[int, ...] = (), n_clusters: int = 0
    ) -> Array:
        """Standard deviations of the noise in what the key node goes by: both draws together."""
        factor = math.sqrt(2) if self.own_draw else 1.0
        return np.asarray(factor * self.stds(kind, sign, n_clusters), dtype=np.float64)

    def admission_limits(self, n_blocks: int, slots: int) -> Array:
        """Absolute values above which a party's admission sums say that it broke the rules.

        Args:
            n_blocks: of this party.
            slots: of one block.

        Returns:
            Shape (3,): bounds, presence, padding.
        """
        d, n = self.n_features, n_blocks * slots
        noise = self.effective_stds("admission")[0]
        errors = error_stds(n_blocks, slots, d, self.columns)
        n_coordinates, n_turns = d + self.columns.n_numeric, 1 + len(self.columns.groups)
        # Random factors: what single slots add is added up as variances, over slots and features.
        honest = LARGEST_FACTOR * np.array(
            [
                math.hypot(
                    HONEST_POWER * math.sqrt(n_coordinates + 1),
                    MAGNITUDE_WEIGHT * math.sqrt(n_coordinates),
                ),
                PRESENCE_WEIGHT * AMPLIFICATION * math.sqrt(n_turns),
                0.0,
            ]
        )
        variances = noise**2 + errors**2 + n * honest**2
        return np.asarray(ADMISSION_DEVIATIONS * np.sqrt(variances), dtype=np.float64)

    @property
    def _admission_stds(self) -> Array:
        """Of a party's three sums."""
        if not self.is_noised:
            return np.full(3, ADMISSION_STD_WITHOUT_NOISE)
        bounds = sensitivity.admission_sensitivities(self.n_features, self.columns)
        wanted, least = (
            np.array([gaussian_std(bound, share * self.total_rho / 3) for bound in bounds])
            for share in (ADMISSION_SHARE, LARGEST_ADMISSION_SHARE)
        )
        capped = np.minimum(wanted, LARGEST_ADMISSION_STD)
        stds = np.maximum(np.maximum(capped, least), ADMISSION_STD_WITHOUT_NOISE)
        return np.asarray(stds, dtype=np.float64)

    def _planned_rho(self, kind: RoundKind) -> float:
        if not self.is_noised:
            return math.inf
        available = self.total_rho - ADMISSION_ROUNDS * self.rho("admission")
        if kind == "moments":
            return MOMENTS_SHARE * available
        if kind == "profile":
            return (PROFILE_SHARE + self._columns_share) * available
        if self.scouting and kind in SCOUT_KINDS:
            weights = {"scout": 1, "appraisal": APPRAISAL_WEIGHT}
            in_all = sum(weights[of] for of, _ in self.scouting.sequence)
            return SCOUT_SHARE * weights[kind] / in_all * available
        scouting = SCOUT_SHARE if self.scouting else 0.0
        left = 1 - MOMENTS_SHARE - PROFILE_SHARE - self._columns_share - scouting
        return left * available / self.n_rounds

    @property
    def _columns_share(self) -> float:
        return COLUMNS_SHARE if self.columns.n_sums else 0.0

    def _part_stds(self, kind: RoundKind, sign: tuple[int, ...], k: int) -> dict[str, float]:
        d, radius = self.n_features, self.radius
        record = sensitivity.record_bound(d, radius)
        squares = sensitivity.squares_bound(d, radius)
        if kind == "moments":
            bounds = {
                "count": (1.0, 1),
                "sums": (record, d),
                "squares": (squares, d),
                "products": (sensitivity.products_bound(d, radius), d * (d - 1) // 2),
            }
            shares = MOMENTS_PARTS
        else:
            weight = sensitivity.weight_bound(sign, k)
            bounds = {"counts": (weight, k), "sums": (weight * record, k * d)}
            shares = LLOYD_PARTS
            if kind in SQUARE_KINDS:
                bounds["squares"] = (weight * squares, k * d)
                shares = APPRAISAL_PARTS
            if kind == "profile":
                shares = self._profile_parts()
                n_sums = k * self.columns.n_sums
                bounds["columns"] = (weight * sensitivity.columns_bound(self.columns), n_sums)
        rho = self._planned_rho(kind)
        return {
            part: gaussian_std(sensitivity.with_margin(*bounds[part]), share * rho)
            for part, share in shares.items()
        }

    def _profile_parts(self) -> dict[str, float]:
        """Shares of the profile round; without columns those of `PROFILE_PARTS`."""
        share = self._columns_share
        if not share:
            return PROFILE_PARTS
        total = PROFILE_SHARE + share
        parts = {part: of * PROFILE_SHARE / total for part, of in PROFILE_PARTS.items()}
        return {**parts, "columns": share / total}

    def _verify_sign(self, kind: RoundKind, sign: tuple[int, ...]) -> None:
        known: tuple[tuple[int, ...], ...] = ((),) if kind == "moments" else self.signs
        if kind in SCOUT_KINDS:
            known = (self.scout_sign(kind),) if self.scouting else ()
        if tuple(sign) not in known:
            raise BudgetError(f"the noise plan has no {kind} round with the sign {tuple(sign)}")


def noise_plan(  # noqa: PLR0913  the terms of an agreement
    *,
    epsilon: float,
    delta: float,
    n_clusters: int,
    n_features: int,
    n_rounds: int,
    n_parties: int,
    radius: float,
    signs: tuple[tuple[int, ...], tuple[int, ...]],
    own_draw: bool,
    scouting: ScoutTerms | None = None,
    columns: ColumnLayout = NO_COLUMNS,
) -> NoisePlan:
    """Split a privacy budget over a study. Any node, from the agreement alone.

    Args:
        epsilon: of the whole study, against neighbours that differ in one record.
        delta: likewise.
        n_clusters: k.
        n_features: d.
        n_rounds: lloyd rounds at most.
        n_parties: number of parties.
        radius: agreed L2 radius of a record in scaled space.
        signs: degrees of the blunt and of the sharp sign.
        own_draw: see `NoisePlan`.
        scouting: see `NoisePlan`.
        columns: profile columns.
    """
    return NoisePlan(
        epsilon, delta, rho_for(epsilon, delta), n_clusters, n_features, n_rounds, n_parties,
        radius, signs, own_draw, scouting, columns,
    )  # fmt: skip


def no_noise_plan(  # noqa: PLR0913  the terms of an agreement
    *,
    n_clusters: int,
    n_features: int,
    n_rounds: int,
    n_parties: int,
    radius: float,
    signs: tuple[tuple[int, ...], tuple[int, ...]],
    own_draw: bool = False,
    delta: float = 1e-6,
    scouting: ScoutTerms | None = None,
    columns: ColumnLayout = NO_COLUMNS,
) -> NoisePlan:
    """Plan for an agreement that does without noise: only the admission sums have any."""
    return NoisePlan(
        math.inf, delta, math.inf, n_clusters, n_features, n_rounds, n_parties,
        radius, signs, own_draw, scouting, columns,
    )  # fmt: skip
