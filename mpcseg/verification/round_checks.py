"""The checks of ``mpcseg audit verify`` on rounds, releases and decryptions.

Runs at a reviewer; as :mod:`mpcseg.verification.checks`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from mpcseg.audit.records import (
    Blob,
    CheckpointTaken,
    Decrypted,
    Entry,
    Released,
    RoundEvaluated,
    RoundOpened,
    SecretKeyDestroyed,
    Sent,
)
from mpcseg.ckks.serialization import ciphertext_bytes
from mpcseg.ckks.slot_sum import SLOT_SUM_SHAPE
from mpcseg.errors import AuditError
from mpcseg.nodes.planning import study_plan
from mpcseg.privacy.budget import NoisePlan
from mpcseg.reference.rounds import SCOUT_KINDS, sums_shape
from mpcseg.study.spec import StudySpec
from mpcseg.verification.evidence import (
    Evidence,
    NotThereError,
    records_of,
    runs_of,
    verify_decrypted_is_released,
)
from mpcseg.wire.names import BlobKind, BlobName


def rounds_are_agreed(evidence: Evidence) -> str:
    """Rounds are of the agreed kinds, in the agreed order, no more than agreed, at both nodes."""
    asked = [records_of(run, RoundOpened) for run in runs_of(evidence.compute)]
    plan = study_plan(evidence.spec)
    for rounds in asked:
        _verify_order(rounds, evidence.spec, (plan.circuit.blunt, plan.circuit.sharp))
    done = [r for rounds in asked for r in rounds]
    if ("key", evidence.spec.key.name) not in evidence.logs:
        raise NotThereError("no log was given of the key node, which asks for the rounds")
    if done:
        by_key = records_of(evidence.key.entries, RoundOpened)
        if any(round_ not in by_key for round_ in done):
            raise AuditError("the compute node ran a round that the key node did not ask for")
    kinds = Counter(round_.kind for round_ in asked[-1])
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return f"{said or 'none'} (at most {evidence.spec.n_rounds} lloyd)"


def releases_are_the_rounds(evidence: Evidence) -> str:
    """Each round released exactly its slot sums, of the one shape that a slot sum has."""
    spec, n_releases = evidence.spec, 0
    length = ciphertext_bytes(study_plan(spec).circuit.parameters, SLOT_SUM_SHAPE)
    for run in runs_of(evidence.compute):
        opened = {r.round: r for r in records_of(run, RoundOpened)}
        released = records_of(run, Released)
        for evaluated in records_of(run, RoundEvaluated):
            round_ = opened.get(evaluated.round)
            if round_ is None:
                raise AuditError(f"round {evaluated.round} was computed and never asked for")
            _verify_committed_first(run, evaluated.round)
            of_round = [r for r in released if r.round == evaluated.round]
            _verify_releases(of_round, _n_sums(spec, round_), evaluated.round, length)
        evaluated_rounds = {e.round for e in records_of(run, RoundEvaluated)}
        if {r.round for r in released} != evaluated_rounds:
            raise AuditError("the compute node released sums of a round that it did not commit to")
        for sent in records_of(run, Sent):
            if sent.kind == BlobKind.RELEASE.value and sent.content not in {
                r.content for r in released
            }:
                raise AuditError(f"the compute node sent {sent.blob}, which it did not release")
        n_releases += len(released)
    _verify_seeds(records_of(evidence.compute.entries, RoundEvaluated))
    _verify_nothing_released_twice(records_of(evidence.compute.entries, Released))
    return f"{n_releases:,} slot sums of {length:,} bytes at level {SLOT_SUM_SHAPE.level}"


def nothing_else_decrypted(evidence: Evidence) -> str:
    """The key node decrypted each release of each round once, and nothing else."""
    spec, key = evidence.spec, evidence.key
    compute = evidence.logs.get(("compute", spec.compute.name))
    released = {r.content for r in records_of(compute.entries, Released)} if compute else None
    plan, total = study_plan(spec), 0
    length = ciphertext_bytes(plan.circuit.parameters, SLOT_SUM_SHAPE)
    for run in runs_of(key):
        opened = {r.round: r for r in records_of(run, RoundOpened)}
        decrypted = records_of(run, Decrypted)
        for index in sorted({d.round for d in decrypted}):
            if index not in opened:
                raise AuditError(f"a value of round {index} was decrypted; nobody opened it")
            of_round = [d for d in decrypted if d.round == index]
            _verify_releases(of_round, _n_sums(spec, opened[index]), index, length)
            if any(d.own_noise != _has_own_noise(plan.noise, opened[index]) for d in of_round):
                raise AuditError(f"round {index}: the key node's own noise is not as agreed")
        for one in decrypted:
            if released is not None and one.content not in released:
                raise AuditError(f"{one.blob} was decrypted and never released")
        for stated in records_of(run, SecretKeyDestroyed):
            if stated.decrypted_values != len(decrypted):
                raise AuditError(
                    f"{len(decrypted)} decryptions are in the log; "
                    f"{stated.decrypted_values} are stated under signature"
                )
        total += len(decrypted)
    if compute is None:
        raise NotThereError(f"{total:,} decryptions; no log of the compute node to compare with")
    of_last = verify_decrypted_is_released(key, compute)
    return f"{total:,} numbers, {of_last:,} of them in the last run: all that it released"


def committed_before_decryption(evidence: Evidence) -> str:
    """Before each round's decryption the key node held the compute node's word for that round."""
    compute, key = evidence.compute, evidence.key
    at = {
        record.content: entry.number
        for entry in compute.entries
        if isinstance(record := entry.record, Released)
    }
    held, seen = 0, set[tuple[int, int]]()
    for number, run in enumerate(runs_of(key)):
        for entry in run:
            record = entry.record
            if isinstance(record, CheckpointTaken) and record.checkpoint.role == "compute":
                held = record.checkpoint.size
            elif isinstance(record, Decrypted):
                if at.get(record.content, held) >= held:
                    raise AuditError(
                        f"{record.blob} was decrypted before the compute node had committed to it"
                    )
                seen.add((number, record.round))
    n_rounds = len(seen)
    return f"{n_rounds} rounds, each committed to under {evidence.spec.compute.name}'s signature"


def _verify_order(
    rounds: Sequence[RoundOpened], spec: StudySpec, signs: tuple[tuple[int, ...], ...]
) -> None:
    order = ["admission", "moments", "lloyd", "profile"]
    _verify_scouting(rounds[2:], spec, signs)
    n_scouts = len(spec.scouting.sequence) if spec.scouting else 0
    first = rounds[:2]
    main = [*first, *rounds[2 + n_scouts :]]
    places = [order.index(round_.kind) for round_ in main]
    counts = Counter(round_.kind for round_ in main)
    is_in_order = places == sorted(places) and [r.round for r in rounds] == [*range(len(rounds))]
    if not is_in_order or (places and places[:2] != [0, 1][: len(places)]):
        raise AuditError("rounds were not run in the agreed order")
    if counts["lloyd"] > spec.n_rounds or any(
        counts[kind] > 1 for kind in counts if kind != "lloyd"
    ):
        raise AuditError(f"{counts['lloyd']} lloyd rounds were run; {spec.n_rounds} are agreed")
    for round_ in main:
        if round_.sign not in (signs if round_.kind in ("lloyd", "profile") else ((),)):
            raise AuditError(f"round {round_.round} used a sign polynomial that was not planned")


def _verify_scouting(
    rounds: Sequence[RoundOpened], spec: StudySpec, signs: tuple[tuple[int, ...], ...]
) -> None:
    """Numbers of clusters are tried out as agreed, and one of them is used from then on."""
    sequence = spec.scouting.sequence if spec.scouting else ()
    numbers = spec.cluster_numbers if spec.scouting else (0,)
    for round_, (kind, k) in zip(rounds, sequence, strict=False):
        agreed = (kind, k, signs[kind == "appraisal"])
        if (round_.kind, round_.n_clusters, round_.sign) != agreed:
            raise AuditError(f"round {round_.round} does not try out what was agreed")
    rest = rounds[len(sequence) :]
    if any(round_.kind in SCOUT_KINDS for round_ in rest):
        raise AuditError("more numbers of clusters were tried out than agreed")
    if len({round_.n_clusters for round_ in rest}) > 1 or any(
        round_.n_clusters not in numbers for round_ in rest
    ):
        raise AuditError("rounds were run with a number of clusters that was not agreed")


def _verify_releases(found: Sequence[Blob], n_sums: int, index: int, length: int) -> None:
    names = {str(BlobName(BlobKind.RELEASE, index, item)) for item in range(n_sums)}
    if len(found) != n_sums or {one.blob for one in found} != names:
        raise AuditError(f"round {index} has {len(found)} sums; the agreement gives it {n_sums}")
    for one in found:
        if (one.kind, one.level, one.n_bytes, one.seeded) != (
            BlobKind.RELEASE.value,
            SLOT_SUM_SHAPE.level,
            length,
            False,
        ):
            raise AuditError(f"{one.blob} has not the shape of a slot sum")


def _verify_nothing_released_twice(released: Sequence[Released]) -> None:
    seen: dict[str, str] = {}
    for one in released:
        if one.sha256 in seen:
            raise AuditError(
                f"{one.blob} is {seen[one.sha256]} once more, byte for byte",
                "Every release is masked afresh: this one was not computed.",
            )
        seen[one.sha256] = one.blob


def _verify_seeds(evaluated: Sequence[RoundEvaluated]) -> None:
    """Two rounds under one seed have the same masks: their difference would show what they hide."""
    uses = Counter(one.seed_commitment for one in evaluated)
    if any(count > 1 for count in uses.values()):
        raise AuditError("two rounds were masked from the same seed")


def _verify_committed_first(run: Sequence[Entry], index: int) -> None:
    """The commitment to a round's seed and partial sums stands before its releases."""
    kinds = [
        type(entry.record)
        for entry in run
        if isinstance(entry.record, RoundEvaluated | Released) and entry.record.round == index
    ]
    if kinds[0] is not RoundEvaluated:
        raise AuditError(f"sums of round {index} were released before the round was committed to")


def _has_own_noise(noise: NoisePlan, round_: RoundOpened) -> bool:
    stds = noise.stds(round_.kind, round_.sign, round_.n_clusters)
    return bool(noise.own_draw and stds.any())


def _n_sums(spec: StudySpec, round_: RoundOpened) -> int:
    k, n_parties = round_.n_clusters or spec.most_clusters, len(spec.parties)
    return math.prod(sums_shape(round_.kind, k, spec.n_features, n_parties, spec.column_layout))
