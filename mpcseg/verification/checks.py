"""The checks of ``mpcseg audit verify`` on logs, wires, keys and blocks (docs/verification.md).

Each takes the evidence, returns what it has seen in words, and raises what is wrong. Runs at a
reviewer; nothing here needs a node, a network or a key.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mpcseg.audit.checkpoint import verify_checkpoint
from mpcseg.audit.log_file import LogFile, verify_head
from mpcseg.audit.records import (
    Began,
    Blob,
    BlocksCommitted,
    CheckpointTaken,
    Entry,
    KeysVouched,
    NodeRole,
    Received,
    Sent,
)
from mpcseg.ckks.parameters import PRIME_BITS
from mpcseg.errors import AuditError
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.study_rules import BLOCK_KINDS, block_names, manifest_of
from mpcseg.study.card import verify_signature
from mpcseg.verification.evidence import (
    Evidence,
    NotThereError,
    is_finished,
    records_of,
    root_of,
    runs_of,
)
from mpcseg.wire.events import KEYS_PURPOSE, attested_bytes
from mpcseg.wire.names import BlobKind

# Largest modulus for 128 bits by ring degree: Homomorphic Encryption Standard (2018), table 1,
# ternary secrets, classical attacks. Written down here once more, and not taken from SEAL, so that
# one of the two can catch the other.
_STANDARD_BITS = {4096: 109, 8192: 218, 16384: 438, 32768: 881}

PUBLIC_KINDS = {kind.value for kind in BlobKind}
"""Kinds of blob that cross a wire: none of them is a secret key."""

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
    unsigned = sum(evidence.unsigned.values())
    n_entries = sum(len(log.entries) for log in evidence.logs.values())
    said = f"{n_entries:,} entries in {len(evidence.logs)} logs"
    if unsigned:
        said += f"; {unsigned} more that nobody has signed are left out"
    return said + _without(evidence)


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
        f"{name} ({role}) {held[role, name]} of {len(log.entries)}, root {root_of(log)}"
        for (role, name), log in evidence.logs.items()
        if role != "recipient"
    ]
    said = f"{n_checkpoints} signed checkpoints; entries that others vouch for: "
    said += ", ".join(covered)
    alone = [
        str(log)
        for (role, name), log in evidence.logs.items()
        if role != "recipient" and not held[role, name]
    ]
    if alone:
        raise NotThereError(f"{said}; nobody whose log was given vouches for {alone[0]}")
    return said + _without(evidence)


def wires_agree(evidence: Evidence) -> str:
    """What one end says it sent is what the other end says it received, digest by digest."""
    compute = evidence.compute
    n_compared = 0
    finished = _was_finished(compute)
    for (role, name), client in evidence.logs.items():
        if role == "compute":
            continue
        theirs = _crossings(client.entries, evidence.spec.compute.name, "compute")
        ours = _crossings(compute.entries, name, role)
        _verify_within(ours[Received], theirs[Sent], compute, client)
        _verify_within(theirs[Received], ours[Sent], client, compute)
        if finished and role != "recipient":
            last = _crossings(_newest(runs_of(client)[-1]), evidence.spec.compute.name, "compute")
            _verify_within(last[Sent], ours[Received], client, compute, "sent")
        if finished and role == "key":
            # The other way round for what is decrypted: a key node keeps none of it to itself.
            _verify_within(_releases(ours[Sent]), theirs[Received], compute, client, "sent")
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
    said = f"public key {min(digests, default='none')[:16]}…, signed by {spec.key.name}"
    if not digests:
        raise NotThereError("no log speaks of a public key")
    return said + _without(evidence)


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
        if committed[0].n_blocks > len(came):  # before so many names are made
            raise AuditError(f"{party.name} committed more blocks than it sent ciphertexts")
        n_blocks = committed[0].n_blocks
        names = [str(n) for n in block_names(n_blocks, spec.n_features, spec.column_layout)]
        digests = [bytes.fromhex(came.get(name, "")) for name in names]
        if manifest_of(digests).hex() != committed[0].manifest:
            raise AuditError(f"the blocks of {party.name} that arrived are not those it committed")
        said.append(f"{party.name} {committed[0].n_blocks}")
    return "blocks: " + ", ".join(said) + _without(evidence, "party")


def _was_finished(compute: LogFile) -> bool:
    """Whether a run of the compute node went through its last round."""
    return any(is_finished(run) for run in runs_of(compute))


def _releases(crossed: set[tuple[str, str, int, int | None]]) -> set[Any]:
    return {content for content in crossed if content[0].startswith(f"{BlobKind.RELEASE.value}-")}


def _newest(run: Sequence[Entry]) -> list[Entry]:
    """A run without blobs that were sent again: what a process sent last may never have arrived."""
    newest = {e.record.blob: e.number for e in run if isinstance(e.record, Sent)}
    return [e for e in run if not isinstance(e.record, Sent) or newest[e.record.blob] == e.number]


_Crossings = dict[type[Blob], set[tuple[str, str, int, int | None]]]


def _crossings(entries: Sequence[Entry], peer: str, role: str) -> _Crossings:
    found: _Crossings = {Sent: set(), Received: set()}
    for entry in entries:
        record = entry.record
        if isinstance(record, Sent | Received) and (record.peer, record.peer_role) == (peer, role):
            if record.kind not in PUBLIC_KINDS:
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
            if is_key and record.sha256 not in vouched:
                raise AuditError(f"{log}: a public key crossed a wire that nobody vouched for")


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


def _without(evidence: Evidence, *roles: NodeRole) -> str:
    """Nothing; or that some nodes' logs were not given, for which a check is not made."""
    missing = evidence.missing(*roles)
    if missing:
        raise NotThereError(f"no log was given of the {', '.join(missing)}")
    return ""
