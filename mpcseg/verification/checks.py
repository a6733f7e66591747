"""The checks of ``mpcseg audit verify`` on keys, blocks, wires and rounds (docs/verification.md).

Each takes the evidence, returns what it has seen in words, and raises what is wrong. Runs at a
reviewer; nothing here needs a node, a network or a key.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from mpcseg.audit.checkpoint import verify_checkpoint
from mpcseg.audit.log_file import LogFile, verify_head
from mpcseg.audit.records import (
    Began,
    Blob,
    BlocksCommitted,
    CheckpointTaken,
    Decrypted,
    Entry,
    KeysVouched,
    Received,
    Released,
    RoundEvaluated,
    RoundOpened,
    SecretKeyDestroyed,
    Sent,
)
from mpcseg.ckks.parameters import PRIME_BITS
from mpcseg.ckks.serialization import ciphertext_bytes
from mpcseg.ckks.slot_sum import SLOT_SUM_SHAPE
from mpcseg.errors import AuditError, LogError
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.study_rules import BLOCK_KINDS, block_names, manifest_of
from mpcseg.privacy.budget import NoisePlan
from mpcseg.reference.rounds import RoundKind, sums_shape
from mpcseg.study.card import verify_signature
from mpcseg.study.spec import StudySpec
from mpcseg.verification.evidence import Evidence, NotThereError, records_of, runs_of
from mpcseg.wire.events import KEYS_PURPOSE, attested_bytes
from mpcseg.wire.names import BlobKind

# Largest modulus for 128 bits by ring degree: Homomorphic Encryption Standard (2018), table 1,
# ternary secrets, classical attacks. Written down here once more, and not taken from SEAL, so that
# one of the two can catch the other.
_STANDARD_BITS = {4096: 109, 8192: 218, 16384: 438, 32768: 881}

_PUBLIC_KINDS = {kind.value for kind in BlobKind}
_BLOCK_KINDS = {kind.value for kind in BLOCK_KINDS}


def agreement(evidence: Evidence) -> str:
    """Every organisation has signed exactly these terms."""
    for check in evidence.agreement.checks(None):
        if check.error:
            raise check.error
    names = ", ".join(card.name for card in evidence.spec.organisations)
    return f"signed by {names}; digest {evidence.spec.digest[:16]}…"


def whole_logs(evidence: Evidence) -> str:
    """Every log is an unbroken chain of this study, under its organisation's own signature."""
    for error in evidence.broken.values():
        raise error
    unsigned = 0
    for log in evidence.logs.values():
        if not log.heads:
            raise LogError(f"{log} is not signed by its organisation")
        unsigned += len(log.entries) - log.heads[-1].size
    n_entries = sum(len(log.entries) for log in evidence.logs.values())
    said = f"{n_entries:,} entries in {len(evidence.logs)} logs"
    if unsigned:
        said += f"; {unsigned} of them after the last signature (a node was killed)"
    missing = [
        f"{role} node {name}"
        for role, name in [
            ("compute", evidence.spec.compute.name),
            ("key", evidence.spec.key.name),
            *(("party", party.name) for party in evidence.spec.parties),
        ]
        if (role, name) not in evidence.logs
    ]
    if missing:
        raise NotThereError(f"{said}; no log was given of: {', '.join(missing)}")
    return said


def no_log_rewritten(evidence: Evidence) -> str:
    """What others hold under an organisation's signature is the beginning of its log."""
    held: Counter[tuple[str, str]] = Counter()
    n_checkpoints = 0
    for holder in evidence.logs.values():
        for record in records_of(holder.entries, CheckpointTaken):
            taken = record.checkpoint
            verify_checkpoint(evidence.spec, taken)
            issuer = evidence.logs.get((taken.role, taken.organisation))
            if issuer is not None:
                verify_head(issuer, taken)
                key = (taken.role, taken.organisation)
                held[key] = max(held[key], taken.size)
                n_checkpoints += 1
    covered = [
        f"{name} ({role}) {held[role, name]} of {len(log.entries)}"
        for (role, name), log in evidence.logs.items()
        if role != "recipient"
    ]
    if not n_checkpoints:
        raise NotThereError("no log holds a checkpoint of another one that was given")
    return f"{n_checkpoints} signed checkpoints; entries that others vouch for: " + ", ".join(
        covered
    )


def wires_agree(evidence: Evidence) -> str:
    """What one end says it sent is what the other end says it received, digest by digest."""
    compute = evidence.compute
    n_compared = 0
    is_finished = _is_finished(compute)
    for (role, name), client in evidence.logs.items():
        if role == "compute":
            continue
        theirs = _crossings(client.entries, evidence.spec.compute.name, "compute")
        ours = _crossings(compute.entries, name, role)
        _verify_within(ours[Received], theirs[Sent], compute, client)
        _verify_within(theirs[Received], ours[Sent], client, compute)
        if is_finished and role != "recipient":
            last = _crossings(runs_of(client)[-1], evidence.spec.compute.name, "compute")
            _verify_within(last[Sent], ours[Received], client, compute, "sent")
        n_compared += len(theirs[Sent] | theirs[Received])
    return f"{n_compared:,} blobs have one digest at both ends" + _without(evidence)


def one_public_key(evidence: Evidence) -> str:
    """All used the public key that the key node's organisation has signed, of one parameter set."""
    spec, plan = evidence.spec, study_plan(evidence.spec)
    digests: dict[str, set[str]] = {}
    for (role, name), log in evidence.logs.items():
        if role == "recipient":
            continue
        for run in runs_of(log):
            for began in records_of(run, Began):
                if began.parameter_digest != plan.digest:
                    raise AuditError(
                        f"{log} begins with other parameters than the agreement gives",
                        "Verify with the version that the nodes ran: its log says which.",
                    )
            for vouched in records_of(run, KeysVouched):
                digest = bytes.fromhex(vouched.public_key)
                signed = attested_bytes(spec.digest, plan.digest, digest)
                verify_signature(spec.key, KEYS_PURPOSE, signed, vouched.signature)
        last = records_of(runs_of(log)[-1], KeysVouched)
        if last:
            digests.setdefault(last[-1].public_key, set()).add(f"{role} node {name}")
        _verify_key_is_vouched(log)
    if len(digests) > 1:
        raise AuditError(
            "nodes used different public keys: " + " / ".join(map(str, digests.values())),
            "Somebody encrypted under a key of another run.",
        )
    if not digests:
        raise NotThereError("no log speaks of a public key")
    return f"public key {next(iter(digests))[:16]}…, signed by {spec.key.name}"


def parameters_are_secure(evidence: Evidence) -> str:
    """The ring has 128 bits of security by the Homomorphic Encryption Standard."""
    chosen = study_plan(evidence.spec).circuit.parameters
    bits = sum(math.log2(prime) for prime in chosen.primes)
    allowed = _STANDARD_BITS.get(chosen.poly_modulus_degree, 0)
    if bits > allowed or any(prime.bit_length() > PRIME_BITS for prime in chosen.primes):
        raise AuditError(f"{chosen.name} has a modulus of {bits:.0f} bits; {allowed} are secure")
    return f"{chosen.name}: N = {chosen.poly_modulus_degree}, {bits:.0f} of {allowed} bits"


def blocks_are_the_parties(evidence: Evidence) -> str:
    """Each party's blocks at the compute node are those that it committed, once and completely.

    And its own: an encryption is fresh, so that one digest in two places is a copy.
    """
    compute, spec = evidence.compute, evidence.spec
    run = runs_of(compute)[-1]
    _verify_nothing_copied(records_of(compute.entries, Received))
    said = []
    for party in spec.parties:
        committed = [c for c in records_of(run, BlocksCommitted) if c.party == party.name]
        if len(committed) != 1:
            raise AuditError(
                f"the compute node has {len(committed)} sets of blocks of {party.name}, not one"
            )
        own = evidence.parties.get(party.name)
        if own and committed[0] not in records_of(own.entries, BlocksCommitted):
            raise AuditError(f"{party.name} has not committed the blocks that were computed with")
        came = {
            record.blob: record.sha256
            for record in records_of(run, Received)
            if (record.peer, record.peer_role) == (party.name, "party")
        }
        names = [str(n) for n in block_names(committed[0].n_blocks, spec.n_features)]
        digests = [bytes.fromhex(came.get(name, "")) for name in names]
        if manifest_of(digests).hex() != committed[0].manifest:
            raise AuditError(f"the blocks of {party.name} that arrived are not those it committed")
        said.append(f"{party.name} {committed[0].n_blocks}")
    return "blocks: " + ", ".join(said) + _without(evidence)


def rounds_are_agreed(evidence: Evidence) -> str:
    """Rounds are of the agreed kinds, in the agreed order, no more than agreed, at both nodes."""
    asked = [records_of(run, RoundOpened) for run in runs_of(evidence.compute)]
    plan = study_plan(evidence.spec)
    for rounds in asked:
        _verify_order(rounds, evidence.spec, (plan.circuit.blunt, plan.circuit.sharp))
    done = [r for rounds in asked for r in rounds]
    if ("key", evidence.spec.key.name) in evidence.logs:
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
            of_round = [r for r in released if r.round == evaluated.round]
            _verify_releases(of_round, _n_sums(spec, round_.kind), evaluated.round, length)
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
            _verify_releases(of_round, _n_sums(spec, opened[index].kind), index, length)
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
    return f"{total:,} numbers, each a release of a round that was asked for"


def committed_before_decryption(evidence: Evidence) -> str:
    """Before each round's decryption the key node held the compute node's word for that round."""
    compute, key = evidence.compute, evidence.key
    at = {
        record.content: entry.number
        for entry in compute.entries
        if isinstance(record := entry.record, Released)
    }
    held, n_rounds, seen = 0, 0, set[tuple[int, int]]()
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


def _is_finished(compute: LogFile) -> bool:
    """Whether the last run of the compute node went through its last round."""
    run = runs_of(compute)[-1]
    opened = records_of(run, RoundOpened)
    done = {evaluated.round for evaluated in records_of(run, RoundEvaluated)}
    return any(r.kind == "profile" and r.round in done for r in opened)


_Crossings = dict[type[Blob], set[tuple[str, str, int, int | None]]]


def _crossings(entries: Sequence[Entry], peer: str, role: str) -> _Crossings:
    found: _Crossings = {Sent: set(), Received: set()}
    for entry in entries:
        record = entry.record
        if isinstance(record, Sent | Received) and (record.peer, record.peer_role) == (peer, role):
            if record.kind not in _PUBLIC_KINDS:
                raise AuditError(f"a blob of the unknown kind {record.kind} crossed a wire")
            content = (record.blob, record.sha256, record.n_bytes, record.level)
            found[type(record)].add(content)
    return found


def _verify_within(
    part: set[tuple[str, str, int, int | None]],
    whole: set[tuple[str, str, int, int | None]],
    says: LogFile,
    other: LogFile,
    did: str = "received",
) -> None:
    strange = sorted(part - whole, key=str)
    if strange:
        raise AuditError(
            f"{says} says that it {did} {strange[0][0]}; {other} knows of none such",
            f"{len(strange)} blobs in all. One of the two nodes did not write down the truth.",
        )


def _verify_key_is_vouched(log: LogFile) -> None:
    """The public key that crossed a wire is the one that was vouched for, in the same run."""
    for run in runs_of(log):
        vouched = {record.public_key for record in records_of(run, KeysVouched)}
        for record in [*records_of(run, Sent), *records_of(run, Received)]:
            is_key = record.kind == BlobKind.PUBLIC_KEY.value
            if is_key and vouched and record.sha256 not in vouched:
                raise AuditError(f"{log}: a public key crossed a wire that nobody vouched for")


def _verify_order(
    rounds: Sequence[RoundOpened], spec: StudySpec, signs: tuple[tuple[int, ...], ...]
) -> None:
    order = ["admission", "moments", "lloyd", "profile"]
    places = [order.index(round_.kind) for round_ in rounds]
    counts = Counter(round_.kind for round_ in rounds)
    is_in_order = places == sorted(places) and [r.round for r in rounds] == [*range(len(rounds))]
    if not is_in_order or (places and places[:2] != [0, 1][: len(places)]):
        raise AuditError("rounds were not run in the agreed order")
    if counts["lloyd"] > spec.n_rounds or any(
        counts[kind] > 1 for kind in counts if kind != "lloyd"
    ):
        raise AuditError(f"{counts['lloyd']} lloyd rounds were run; {spec.n_rounds} are agreed")
    for round_ in rounds:
        if round_.sign not in (signs if round_.kind in ("lloyd", "profile") else ((),)):
            raise AuditError(f"round {round_.round} used a sign polynomial that was not planned")


def _verify_releases(found: Sequence[Blob], n_sums: int, index: int, length: int) -> None:
    names = {f"release-{index:04d}-{item:05d}" for item in range(n_sums)}
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


def _verify_nothing_copied(received: Sequence[Received]) -> None:
    """No two places hold the same encryption, of one party or of two."""
    seen: dict[str, tuple[str, str]] = {}
    for one in received:
        if one.kind not in _BLOCK_KINDS:
            continue
        # A blob that came twice at once, from a sender that tried again, is the same place.
        party, blob = seen.setdefault(one.sha256, (one.peer, one.blob))
        if (party, blob) != (one.peer, one.blob):
            raise AuditError(
                f"{one.blob} of {one.peer} is {blob} of {party}, byte for byte",
                "Every encryption is fresh: one of the two is a copy, so that records count twice.",
            )


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


def _has_own_noise(noise: NoisePlan, round_: RoundOpened) -> bool:
    return bool(noise.own_draw and noise.stds(round_.kind, round_.sign).any())


def _n_sums(spec: StudySpec, kind: RoundKind) -> int:
    return math.prod(sums_shape(kind, spec.n_clusters, spec.n_features, len(spec.parties)))


def _without(evidence: Evidence) -> str:
    missing = evidence.missing_parties()
    if missing:
        raise NotThereError(f"no log was given of the party nodes {', '.join(missing)}")
    return ""
