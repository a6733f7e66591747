"""What nodes write into their logs: one record for each thing that crosses a wire or is decrypted.

Records name nodes, blobs and digests. None holds a record of a customer, a sum, a centroid, a seed
or a key. Any node writes them; a reviewer reads them as foreign bytes, so that every field has a
form of its own.
"""

from __future__ import annotations

import json
import secrets
from typing import Annotated, Any, Literal

import rfc8785
from pydantic import BaseModel, Field, StringConstraints, ValidationError

from mpcseg.errors import LogError
from mpcseg.reference.rounds import RoundKind
from mpcseg.study.card import FROZEN, Key, NodeName
from mpcseg.study.spec import LARGEST_INTEGER

NodeRole = Literal["compute", "key", "party", "recipient"]
"""In which role a log is kept; a recipient fetches results."""

RecoveryKind = Literal["sealed", "none"]
"""Whether a key node keeps its secret key, sealed to itself, so that it can be killed and go on."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$")]
Time = Annotated[
    str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$", max_length=20)
]
Salt = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Count = Annotated[int, Field(ge=0, le=LARGEST_INTEGER, strict=True)]
Rho = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Signature = Annotated[Key, Field(min_length=64, max_length=64)]

_SALT_BYTES = 16

LONGEST_ENTRY = 4096
"""Bytes of an entry."""


class Began(BaseModel):
    """A process of the node began.

    What follows, until the next of these that does not resume, is one run of the study: a node
    that was stopped or killed and goes on where it was is another process of the same run.

    Attributes:
        resumes: whether it goes on with the run before it.
        recovery: of a key node; None of the others.
        version: of mpcseg.
        tenseal: its version.
        seal: version of SEAL inside it.
        parameter_set: name of the planned one.
        parameter_digest: of parameter set and noise, as compared at Join.
    """

    model_config = FROZEN
    event: Literal["began"] = "began"
    resumes: bool = False
    recovery: RecoveryKind | None = None
    version: Word
    tenseal: Word
    seal: Word
    parameter_set: Word
    parameter_digest: Sha256


class Blob(BaseModel):
    """One blob, as it crossed a wire, was released or was decrypted.

    Attributes:
        blob: its name.
        kind: the kind in its name.
        round: of hyperplanes and releases; 0 otherwise.
        n_bytes: its length.
        sha256: its digest.
        level: of a ciphertext; None for what is none.
        seeded: whether the ciphertext's second polynomial travels as a seed.
    """

    model_config = FROZEN
    blob: Word
    kind: Word
    round: Count = 0
    n_bytes: Count
    sha256: Sha256
    level: Count | None = None
    seeded: bool = False

    @property
    def content(self) -> tuple[str, str]:
        """What must be the same at both ends: name and digest."""
        return self.blob, self.sha256


class Sent(Blob):
    """A blob on its way to another node; written before its first byte leaves."""

    event: Literal["sent"] = "sent"
    peer: NodeName
    peer_role: NodeRole


class Received(Blob):
    """A blob from another node, complete, checked, and of the digest that was announced."""

    event: Literal["received"] = "received"
    peer: NodeName
    peer_role: NodeRole


class Released(Blob):
    """Compute node: a masked slot sum that the key node may fetch; written before it can."""

    event: Literal["released"] = "released"


class Decrypted(Blob):
    """Key node: a released ciphertext is decrypted to one number; written before it is.

    Attributes:
        own_noise: whether the key node adds noise of its own to that number.
    """

    event: Literal["decrypted"] = "decrypted"
    own_noise: bool


class KeysVouched(BaseModel):
    """The key node's word for the public key: given, taken or relied on.

    Attributes:
        public_key: its SHA-256.
        signature: the key node's organisation's.
    """

    model_config = FROZEN
    event: Literal["keys_vouched"] = "keys_vouched"
    public_key: Sha256
    signature: Signature


class BlocksCommitted(BaseModel):
    """A party's blocks are complete.

    Attributes:
        party: whose.
        n_blocks: how many.
        manifest: digest of the digests of all their blobs, in order.
    """

    model_config = FROZEN
    event: Literal["blocks_committed"] = "blocks_committed"
    party: NodeName
    n_blocks: Count
    manifest: Sha256


class StartedFrom(BaseModel):
    """Key node: the study starts from a former one's released centroids; before any of its rounds.

    Attributes:
        former: digest of the former agreement.
        results: SHA-256 of the sealed results that the centroids were taken from, which the former
            study's key node has sent under this digest.
    """

    model_config = FROZEN
    event: Literal["started_from"] = "started_from"
    former: Sha256
    results: Sha256


class RoundOpened(BaseModel):
    """The key node asks for a round, or the compute node is asked.

    Attributes:
        round: its index.
        kind: of the round.
        sign: degrees of its sign polynomial; empty for admission and moments.
        n_clusters: where the agreement leaves it open; else 0.
    """

    model_config = FROZEN
    event: Literal["round_opened"] = "round_opened"
    round: Count
    kind: RoundKind
    sign: tuple[Count, ...] = Field(default=(), max_length=8)
    n_clusters: Count = 0


class RoundSpent(BaseModel):
    """A round is entered into the node's privacy ledger, before any sum of it is known.

    Attributes:
        round: its index.
        rho: what it costs in zCDP; None where there is no noise.
    """

    model_config = FROZEN
    event: Literal["round_spent"] = "round_spent"
    round: Count
    rho: Rho | None


class RoundEvaluated(BaseModel):
    """Compute node: a round is computed; from here on nothing of it can be changed unnoticed.

    Attributes:
        round: its index.
        seed_commitment: hash of the round's secret seed.
        manifest: SHA-256 of the round's manifest, which names every partial sum and release with
            its digest.
        n_units: units that a sampled replay chooses from.
        n_releases: slot sums that are released.
    """

    model_config = FROZEN
    event: Literal["round_evaluated"] = "round_evaluated"
    round: Count
    seed_commitment: Sha256
    manifest: Sha256
    n_units: Count
    n_releases: Count


class Refused(BaseModel):
    """Compute node: a call ended with an error.

    Attributes:
        peer: organisation of the certificate; empty where the study has none such.
        call: name of the call.
        code: of the error.
    """

    model_config = FROZEN
    event: Literal["refused"] = "refused"
    peer: NodeName | Literal[""]
    call: Word
    code: Word


class RefusalsOmitted(BaseModel):
    """So many calls were refused that no more of them are written down in this run."""

    model_config = FROZEN
    event: Literal["refusals_omitted"] = "refusals_omitted"


class SecretKeyDestroyed(BaseModel):
    """The key node's statement that the secret key is no more, given or taken.

    Attributes:
        decrypted_values: numbers that were decrypted with it.
        time: UTC, as signed.
        signature: the key node's organisation's.
    """

    model_config = FROZEN
    event: Literal["secret_key_destroyed"] = "secret_key_destroyed"
    decrypted_values: Count
    time: Time
    signature: Signature


class StartedAnew(BaseModel):
    """Compute node: a node came as another process, from nothing: what it sent counts no more.

    Attributes:
        peer: the node's organisation.
        peer_role: of the node.
    """

    model_config = FROZEN
    event: Literal["started_anew"] = "started_anew"
    peer: NodeName
    peer_role: NodeRole


class RenewalTaken(BaseModel):
    """From here on the node goes by a renewal of certificates, which everybody has signed.

    Attributes:
        version: of the agreement; the first renewal is 2.
        renewal: its digest.
    """

    model_config = FROZEN
    event: Literal["renewal_taken"] = "renewal_taken"
    version: Count
    renewal: Sha256


class CertificateUsed(BaseModel):
    """Compute node: an organisation came with a renewed certificate; older ones count no more.

    Attributes:
        organisation: whose.
        version: that brought the certificate.
    """

    model_config = FROZEN
    event: Literal["certificate_used"] = "certificate_used"
    organisation: NodeName
    version: Count


class EndDecided(BaseModel):
    """Compute node: the study ends; written before anybody is told, so that no restart undoes it.

    Attributes:
        reason: as in the closing record.
        error: code of the error behind an abort; empty otherwise.
        organisation: that asked for it, under its signature; empty where nobody did.
        time: of its request.
        signature: of its request.
    """

    model_config = FROZEN
    event: Literal["end_decided"] = "end_decided"
    reason: Word
    error: Word | Literal[""] = ""
    organisation: NodeName | Literal[""] = ""
    time: Time | None = None
    signature: Signature | None = None


class DeletionBegan(BaseModel):
    """Compute node: the study's files are out of reach, and are removed from here on.

    Attributes:
        n_blobs: how many there are.
        n_bytes: how long they are together.
    """

    model_config = FROZEN
    event: Literal["deletion_began"] = "deletion_began"
    n_blobs: Count
    n_bytes: Count


class StudyEnded(BaseModel):
    """Compute node: everything is deleted.

    Attributes:
        reason: as in the closing record.
        record: SHA-256 of the closing record.
    """

    model_config = FROZEN
    event: Literal["study_ended"] = "study_ended"
    reason: Word
    record: Sha256


class Checkpoint(BaseModel):
    """What an organisation has signed about its log: so many entries, this root.

    Attributes:
        organisation: whose log.
        role: in which it is kept.
        size: entries.
        root: of the Merkle tree over them.
        time: UTC, when it was signed.
        signature: the organisation's.
    """

    model_config = FROZEN
    organisation: NodeName
    role: NodeRole
    size: Count
    root: Sha256
    time: Time
    signature: Signature


class CheckpointTaken(BaseModel):
    """Another node's checkpoint, whose signature and consistency with its last one hold."""

    model_config = FROZEN
    event: Literal["checkpoint_taken"] = "checkpoint_taken"
    checkpoint: Checkpoint


Record = (
    Began
    | Sent
    | Received
    | Released
    | Decrypted
    | KeysVouched
    | BlocksCommitted
    | StartedFrom
    | RoundOpened
    | RoundSpent
    | RoundEvaluated
    | Refused
    | RefusalsOmitted
    | SecretKeyDestroyed
    | StartedAnew
    | RenewalTaken
    | CertificateUsed
    | EndDecided
    | DeletionBegan
    | StudyEnded
    | CheckpointTaken
)


class Entry(BaseModel):
    """A record at its place in a log.

    Attributes:
        number: 0, 1, … without gaps.
        study: digest of the agreement.
        time: UTC, by the node's own clock.
        salt: random, so that nobody who has the hash of an entry can guess the entry.
        record: what happened.
    """

    model_config = FROZEN
    number: Count
    study: Sha256
    time: Time
    salt: Salt = Field(default_factory=lambda: secrets.token_hex(_SALT_BYTES))
    record: Record = Field(discriminator="event")

    def canonical(self) -> bytes:
        """The leaf of the Merkle tree: canonical JSON (RFC 8785)."""
        return rfc8785.dumps(self.model_dump(mode="json"))


def parse_entry(canonical: bytes) -> Entry:
    """Read an entry of a foreign log.

    Raises:
        LogError: it is not the canonical form of a known record.
    """
    try:
        if len(canonical) > LONGEST_ENTRY:
            raise ValueError("too long")
        document: Any = json.loads(canonical)
        entry = Entry.model_validate(document)
        is_canonical = entry.canonical() == canonical
    except (ValueError, ValidationError, RecursionError, rfc8785.CanonicalizationError):
        is_canonical = False
    if not is_canonical:
        raise LogError(
            "an entry of an audit log is not what an entry must be",
            "The file was changed, or written by another version of mpcseg.",
        )
    return entry
