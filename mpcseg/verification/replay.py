"""Does the compute node's work follow from what was uploaded? Its evidence, computed once more.

A reviewer runs this on a copy of the compute node's storage folder and what its log committed to,
on any machine; no secret key has a part in it. Steps:

1. every key, block, hyperplane and release has the size and digest that the log has;
2. each round's seed opens its commitment;
3. each round's manifest has the committed digest, and each partial sum that of its manifest;
4. the partial sums of every unit, or of a random sample of units, come out bit for bit when they
   are computed again from keys, blocks and hyperplanes;
5. every release of every round comes out of the partial sums with the re-randomisation and mask
   that follow from the seed, and differs in its constant coefficient alone, by the noise;
6. the noise is exactly 0 where none is agreed, and otherwise fits its agreed distribution: in each
   round, in all together, and in each cluster, column and party over all rounds.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpcseg.ckks.slot_sum import SEED_BYTES
from mpcseg.engine import Engine, RoundSecrets, RoundWork
from mpcseg.errors import ConfigError, MalformedBlobError, ReplayError
from mpcseg.memory import peak_rss_mb
from mpcseg.nodes.blob_store import StudyFiles
from mpcseg.nodes.planning import StudyPlan, study_plan
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.round_work import round_work, study_uploads
from mpcseg.nodes.transport import Roster
from mpcseg.reference.rounds import RoundKind
from mpcseg.study.column_figures import category_names
from mpcseg.study.spec import StudySpec
from mpcseg.verification.computed import ComputedRound, ComputedStudy
from mpcseg.verification.replay_evidence import StorageEvidence, units_of
from mpcseg.verification.replay_noise import (
    Draw,
    NoiseFit,
    RoundDraws,
    StudyNoiseFit,
    column_groups,
    verify_draws,
    verify_rounds,
)
from mpcseg.verification.replay_releases import verify_release
from mpcseg.verification.replay_sample import draw_sample, miss_table, sample_size


@dataclass(frozen=True)
class RoundReplay:
    """What a replay found of one round; all of it is as agreed.

    Attributes:
        index: of the round.
        kind: of the round.
        n_units: units of the round.
        n_replayed: units that were computed again.
        n_releases: releases, each of which was compared.
        noise: how the round's noise fits; None where none is agreed.
    """

    index: int
    kind: str
    n_units: int
    n_replayed: int
    n_releases: int
    noise: NoiseFit | None


@dataclass(frozen=True)
class Replay:
    """What a replay found; all of it is as agreed.

    Attributes:
        rounds: that were replayed.
        noise: how the noise of all of them together fits.
        misses: numbers of cheated units, and the probability that this sample has none of them.
        seconds: that it took.
        peak_rss_mb: sum of all processes' largest resident memory.
    """

    rounds: tuple[RoundReplay, ...]
    noise: StudyNoiseFit | None
    misses: tuple[tuple[int, float], ...]
    seconds: float
    peak_rss_mb: float

    @property
    def n_units(self) -> int:
        """Of all replayed rounds."""
        return sum(one.n_units for one in self.rounds)

    @property
    def n_replayed(self) -> int:
        """Units that were computed again."""
        return sum(one.n_replayed for one in self.rounds)


def verify_replay(
    spec: StudySpec,
    study: ComputedStudy,
    storage: Path,
    progress: Progress,
    *,
    workers: int = 1,
    sample: str | None = None,
    rounds: Collection[int] | None = None,
) -> Replay:
    """Check the compute node's work; returns what was checked. Any machine.

    Args:
        spec: the agreement.
        study: what the compute node's log commits to.
        storage: a copy of the compute node's storage folder.
        progress: told what is done; free of values.
        workers: worker processes.
        sample: units to compute again, as a number or a part ("10%"); None for all.
        rounds: to replay, by index; None for all.

    Raises:
        ConfigError: a round that the log does not have, or a sample that is none.
        EvidenceError: the evidence is not what the log commits to (steps 1 to 3).
        ReplayError: what was computed is not what was agreed (steps 4 to 6).
        WorkerError: a worker process kept dying.
    """
    plan = study_plan(spec)
    chosen = _chosen_rounds(study, rounds)
    with tempfile.TemporaryDirectory(prefix="mpcseg-replay-") as scratch:
        engine = Engine(plan.circuit.parameters, Path(scratch) / "engine", workers)
        replayer = _Replayer(spec, plan, study, StudyFiles(storage), engine, progress)
        return asyncio.run(replayer.run(chosen, sample))


def _chosen_rounds(
    study: ComputedStudy, indices: Collection[int] | None
) -> Sequence[ComputedRound]:
    if indices is None:
        return study.rounds
    unknown = set(indices) - {done.order.index for done in study.rounds}
    if unknown:
        raise ConfigError(
            f"the log has no round {min(unknown)}",
            f"It has rounds 0 to {len(study.rounds) - 1}.",
        )
    return [done for done in study.rounds if done.order.index in indices]


@dataclass(frozen=True)
class _Round:
    """A round whose evidence is what the log says."""

    done: ComputedRound
    work: RoundWork
    digests: dict[str, str]
    files_of_unit: dict[str, tuple[str, ...]]
    chosen: set[str] = field(default_factory=set)


class _Replayer:
    """One replay under way."""

    def __init__(
        self,
        spec: StudySpec,
        plan: StudyPlan,
        study: ComputedStudy,
        files: StudyFiles,
        engine: Engine,
        progress: Progress,
    ) -> None:
        self._spec = spec
        self._plan = plan
        self._study = study
        self._files = files
        self._engine = engine
        self._progress = progress
        self._evidence = StorageEvidence(spec, plan, study, files)

    async def run(self, rounds: Sequence[ComputedRound], sample: str | None) -> Replay:
        """Go through all steps."""
        began = time.monotonic()
        verified = await asyncio.to_thread(self._verified_rounds, rounds)
        units = [(one, unit) for one in verified for unit in one.files_of_unit]
        size = len(units) if sample is None else sample_size(sample, len(units))
        for one, unit in draw_sample(units, size):
            one.chosen.add(unit)
        key = Roster(self._spec).key
        public_key = self._files.path(key, self._study.public_key.name)
        relinearisation = self._files.path(key, self._study.relinearisation_keys.name)
        try:
            await self._engine.start(public_key, relinearisation)
            draws = [await self._replay(one) for one in verified]
        finally:
            await asyncio.to_thread(self._engine.close)
        # 6. of each round, and of all together
        fits = [
            verify_draws(some, f"round {one.work.index}")
            for one, some in zip(verified, draws, strict=True)
        ]
        whole = verify_rounds(
            [
                RoundDraws(one.work.kind, self._stds(one).shape, some, self._groups(one.work.kind))
                for one, some in zip(verified, draws, strict=True)
            ]
        )
        return Replay(
            rounds=tuple(
                RoundReplay(
                    index=one.work.index,
                    kind=one.work.kind,
                    n_units=len(one.files_of_unit),
                    n_replayed=len(one.chosen),
                    n_releases=len(one.done.releases),
                    noise=fit,
                )
                for one, fit in zip(verified, fits, strict=True)
            ),
            noise=whole,
            misses=tuple(miss_table(len(units), size)) if size < len(units) else (),
            seconds=time.monotonic() - began,
            peak_rss_mb=peak_rss_mb() + self._engine.peak_rss_mb,
        )

    def _verified_rounds(self, rounds: Sequence[ComputedRound]) -> list[_Round]:
        """Steps 1 to 3 for all rounds; SEAL has not seen a byte when this is done."""
        roster, spec = Roster(self._spec), self._spec
        places = dict(zip(roster.parties, self._plan.circuit.slot_ranges, strict=True))
        counts = self._evidence.n_blocks()
        uploads = study_uploads(self._files, places, counts, spec.n_features, spec.column_layout)
        task = "evidence"
        self._progress.start(task, 1 + len(rounds), "steps")
        self._evidence.verify_uploads()  # 1.
        self._progress.advance(task)
        verified = []
        for done in rounds:
            # Releases are replayed without their noise, which is what they differ by then.
            secrets = RoundSecrets(bytes(SEED_BYTES), ())
            radius = self._plan.noise.radius
            k = done.order.n_clusters or spec.most_clusters
            work = round_work(done.order, k, uploads, radius, secrets)
            self._evidence.verify_round(done, work)  # 1.
            work = replace(work, seed=self._evidence.verified_seed(done))  # 2.
            digests = self._evidence.verified_partials(done, work)  # 3.
            units = {unit.name: unit.files for unit in units_of(work)}
            verified.append(_Round(done, work, digests, units))
            self._progress.advance(task)
        self._progress.finish(task)
        return verified

    async def _replay(self, one: _Round) -> list[Draw]:
        """Steps 4 and 5 for a round; returns the noise of its releases."""
        index = one.work.index
        if one.chosen:
            found = await self._engine.recompute_units(
                self._with_hyperplanes(one), one.chosen, self._shown(f"round {index}: units")
            )
            for unit in sorted(one.chosen):  # 4.
                for name in one.files_of_unit[unit]:
                    if found[name] != one.digests[name]:
                        raise ReplayError(
                            f"round {index}, unit {unit}: the partial sum {name} is not what "
                            "the agreed circuit gives",
                            "The compute node did other work than was agreed on these uploads.",
                        )
        try:
            replayed = await self._engine.recompute_releases(
                one.work,
                self._files.evidence_folder(index),
                self._shown(f"round {index}: releases"),
            )
        except MalformedBlobError as error:
            raise ReplayError(
                f"round {index}: its partial sums cannot be added up: {error.message}", error.hint
            ) from None
        return await asyncio.to_thread(self._draws, one, replayed)

    def _draws(self, one: _Round, replayed: list[bytes]) -> list[Draw]:
        stds = self._stds(one).ravel().tolist()
        draws = []
        for header, blob, std in zip(one.done.releases, replayed, stds, strict=True):
            released = self._files.release_path(header.name).read_bytes()
            place = f"round {one.work.index}: {header.name}"
            parameters = self._plan.circuit.parameters
            draws.append(verify_release(parameters, place, released, blob, std))  # 5.
        return draws

    def _stds(self, one: _Round) -> NDArray[np.float64]:
        return self._plan.noise.stds(one.work.kind, one.work.sign, one.done.order.n_clusters)

    def _groups(self, kind: RoundKind) -> dict[str, slice]:
        spec = self._spec
        names = [name for name, _, _ in category_names(spec)]
        return column_groups(kind, spec.n_features, spec.column_layout, names)

    def _with_hyperplanes(self, one: _Round) -> RoundWork:
        key = Roster(self._spec).key
        paths: dict[int, list[Path]] = {}
        for header in one.done.hyperplanes:
            paths.setdefault(header.name.item, []).append(self._files.path(key, header.name))
        return replace(one.work, hyperplanes=[_there(paths[pair]) for pair in sorted(paths)])

    def _shown(self, task: str) -> Callable[[int, int], None]:
        started = False

        def on_progress(done: int, total: int) -> None:
            nonlocal started
            if not started:
                started = True
                self._progress.start(task, total, "tasks")
            self._progress.advance(task)
            if done == total:
                self._progress.finish(task)

        return on_progress


def _there(paths: Sequence[Path]) -> Awaitable[Sequence[Path]]:
    arrived: asyncio.Future[Sequence[Path]] = asyncio.get_running_loop().create_future()
    arrived.set_result(paths)
    return arrived
