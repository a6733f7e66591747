"""Every error mpcseg can show a person, in one tree.

Each class has a stable ``code`` (for logs and the wire), its own ``exit_status`` (for scripts)
and the ``grpc_status`` under which it crosses a wire. The message says what is wrong and names
the file, field or node; the ``hint`` says what to do. Neither may hold a record, a centroid or a
key: messages end up in logs and on other organisations' screens.
"""

from __future__ import annotations

from typing import ClassVar


class MpcsegError(Exception):
    """The root of the tree; an unexpected failure inside mpcseg itself.

    Args:
        message: one plain sentence that names the file, field or node.
        hint: what the reader can do about it; shown on a line of its own.
    """

    code: ClassVar[str] = "internal"
    exit_status: ClassVar[int] = 10
    grpc_status: ClassVar[str] = "INTERNAL"
    ends_study: ClassVar[bool] = True
    """Whether a node that fails with it stops the study for everybody, or may come back."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def for_others(self) -> MpcsegError:
        """What other nodes are told of it; the same, unless the message speaks of data."""
        return self

    def __reduce__(self) -> tuple[type[MpcsegError], tuple[str, str]]:
        """Pickle with the hint: errors cross from worker processes to their node."""
        return type(self), (self.message, self.hint)


# --- configuration -------------------------------------------------------------------------


class ConfigError(MpcsegError):
    """A configuration, draft or card is missing, unreadable or says something impossible."""

    code = "config"
    exit_status = 11
    grpc_status = "INVALID_ARGUMENT"


class PlanError(MpcsegError):
    """No parameter set can carry the study that was asked for."""

    code = "plan"
    exit_status = 12
    grpc_status = "INVALID_ARGUMENT"


class OutputError(ConfigError):
    """A result cannot be written where it was asked for."""

    code = "output"
    exit_status = 13


class ListenError(ConfigError):
    """The compute node cannot listen on the address that it was given."""

    code = "listen"
    exit_status = 14


class PassphraseError(ConfigError):
    """An identity's private keys are locked, and the passphrase is missing or wrong."""

    code = "passphrase"
    exit_status = 15


class StorageError(MpcsegError):
    """This node's own disk is full, read-only or failing: the node stops, and can go on later."""

    code = "storage"
    exit_status = 16
    grpc_status = "UNAVAILABLE"
    ends_study = False


class SuspendedError(MpcsegError):
    """This node's operator stopped it; started again, it goes on where it was."""

    code = "suspended"
    exit_status = 17
    grpc_status = "UNAVAILABLE"
    ends_study = False


class RecoveryError(MpcsegError):
    """The key node's recovery folder is not what its log says it must be; nothing is decrypted."""

    code = "recovery"
    exit_status = 18
    ends_study = False


class UnhealthyError(MpcsegError):
    """A node that was asked whether it runs does not answer."""

    code = "unhealthy"
    exit_status = 19


# --- a party's own table -------------------------------------------------------------------


class DataError(MpcsegError):
    """A customer table cannot be used as it is."""

    code = "data"
    exit_status = 20
    grpc_status = "INVALID_ARGUMENT"

    def for_others(self) -> MpcsegError:
        """The kind of error alone: names of files and numbers of records stay at home."""
        kind = self.code.replace("_", " ")
        return type(self)(f"the data cannot be used ({kind})", "That node's operator knows more.")


class UnreadableTableError(DataError):
    """The file is absent, not a table, or of a kind mpcseg does not read."""

    code = "unreadable_table"
    exit_status = 21


class MissingColumnError(DataError):
    """An agreed column is not in the table."""

    code = "missing_column"
    exit_status = 22


class MissingValueError(DataError):
    """A used column has an empty cell, a NaN or an infinity."""

    code = "missing_value"
    exit_status = 23


class NotANumberError(DataError):
    """A used column holds text where a number must stand."""

    code = "not_a_number"
    exit_status = 24


class ConstantFeatureError(DataError):
    """A feature has the same value everywhere, so that it cannot separate anybody."""

    code = "constant_feature"
    exit_status = 25


class EmptyTableError(DataError):
    """The table has no records."""

    code = "empty_table"
    exit_status = 26


class DuplicateIdError(DataError):
    """Two records carry the same identifier."""

    code = "duplicate_id"
    exit_status = 27


class TooFewRecordsError(DataError):
    """Fewer records than clusters."""

    code = "too_few_records"
    exit_status = 28


class TransformDomainError(DataError):
    """A value lies where the agreed transform is not defined (log1p of -1 or less)."""

    code = "transform_domain"
    exit_status = 29


class TooManyRecordsError(DataError):
    """A party brings more records than the study allows it."""

    code = "too_many_records"
    exit_status = 34


class DatabaseError(DataError):
    """The database that holds the customer table cannot be reached or read."""

    code = "database"
    exit_status = 35


class UnlistedValueError(DataError):
    """A category has a value that was not agreed on, and nothing says what it counts as."""

    code = "unlisted_value"
    exit_status = 36


# --- keys and parameters -------------------------------------------------------------------


class KeyFingerprintError(MpcsegError):
    """The encryption key on offer is not the one that the key node vouches for."""

    code = "key_fingerprint"
    exit_status = 30
    grpc_status = "PERMISSION_DENIED"


class ParameterMismatchError(MpcsegError):
    """Two nodes do not run the same study, parameter set or software version."""

    code = "parameter_mismatch"
    exit_status = 31
    grpc_status = "FAILED_PRECONDITION"


class SecretKeyRefusedError(MpcsegError):
    """Somebody sent secret key material to a node that must never hold any."""

    code = "secret_key_refused"
    exit_status = 32
    grpc_status = "INVALID_ARGUMENT"


class CircuitError(MpcsegError):
    """An operation on ciphertexts whose levels or scales do not fit."""

    code = "circuit"
    exit_status = 33


# --- blobs on the wire ---------------------------------------------------------------------


class BlobError(MpcsegError):
    """A blob that arrived cannot be used; nothing of it was kept."""

    code = "blob"
    exit_status = 40
    grpc_status = "INVALID_ARGUMENT"


class TruncatedStreamError(BlobError):
    """The stream ended before the announced length."""

    code = "truncated_stream"
    exit_status = 41
    grpc_status = "DATA_LOSS"


class ReorderedStreamError(BlobError):
    """A chunk does not start where the one before it ended."""

    code = "reordered_stream"
    exit_status = 42
    grpc_status = "DATA_LOSS"


class BlobTooLargeError(BlobError):
    """A blob is longer than its kind may be."""

    code = "blob_too_large"
    exit_status = 43
    grpc_status = "RESOURCE_EXHAUSTED"


class DigestMismatchError(BlobError):
    """The bytes that arrived are not the bytes that were announced."""

    code = "digest_mismatch"
    exit_status = 44
    grpc_status = "DATA_LOSS"


class MalformedBlobError(BlobError):
    """The bytes are not a ciphertext or key of the agreed shape."""

    code = "malformed_blob"
    exit_status = 45


# --- nodes ---------------------------------------------------------------------------------


class NodeError(MpcsegError):
    """A node is absent, unknown or gone."""

    code = "node"
    exit_status = 50
    grpc_status = "UNAVAILABLE"


class NodeUnreachableError(NodeError):
    """Nothing answers at a node's address, also after retries."""

    code = "node_unreachable"
    exit_status = 51
    ends_study = False


class UnknownCertificateError(NodeError):
    """A certificate is not among those of the study, or was renewed and counts no more."""

    code = "unknown_certificate"
    exit_status = 52
    grpc_status = "UNAUTHENTICATED"
    ends_study = False


class DuplicateNodeError(NodeError):
    """Two nodes claim one name."""

    code = "duplicate_node"
    exit_status = 53
    grpc_status = "ALREADY_EXISTS"
    ends_study = False


class NodeVanishedError(NodeError):
    """A node that the study needs went away and did not come back in time."""

    code = "node_vanished"
    exit_status = 54
    grpc_status = "ABORTED"


class ProtocolError(NodeError):
    """A message that is not allowed at this point of the study, or not from this node."""

    code = "protocol"
    exit_status = 55
    grpc_status = "FAILED_PRECONDITION"


class UnknownSessionError(NodeError):
    """The compute node was started anew since the caller joined; it joins again."""

    code = "unknown_session"
    exit_status = 58
    grpc_status = "FAILED_PRECONDITION"


class ProxyError(NodeError):
    """The HTTP proxy on the way to the compute node does not let this node through."""

    code = "proxy"
    exit_status = 59
    ends_study = False


class StudyAbortedError(NodeError):
    """The study was stopped by another node."""

    code = "study_aborted"
    exit_status = 56
    grpc_status = "ABORTED"


class WorkerError(MpcsegError):
    """A worker process keeps dying on the same piece of work."""

    code = "worker"
    exit_status = 57
    grpc_status = "INTERNAL"


# --- the agreement -------------------------------------------------------------------------


class AgreementError(MpcsegError):
    """The study agreement is not what was signed, or is not in order."""

    code = "agreement"
    exit_status = 60
    grpc_status = "FAILED_PRECONDITION"


class SignatureError(AgreementError):
    """A signature is missing, foreign, or was not made over these bytes by this organisation."""

    code = "signature"
    exit_status = 61
    grpc_status = "PERMISSION_DENIED"


class ExpiredError(AgreementError):
    """The agreement's last day is over."""

    code = "expired"
    exit_status = 62


class PolicyError(AgreementError):
    """The agreement goes under a floor that this organisation has set for itself."""

    code = "policy"
    exit_status = 63


class BudgetError(AgreementError):
    """A round would spend more of the privacy budget than was agreed."""

    code = "budget"
    exit_status = 64
    grpc_status = "RESOURCE_EXHAUSTED"


class AdmissionError(AgreementError):
    """A party's ciphertexts hold records outside the agreed domain."""

    code = "admission"
    exit_status = 65


class SealError(AgreementError):
    """Sealed results cannot be opened: changed, or meant for somebody else."""

    code = "seal"
    exit_status = 66


class WithdrawnError(AgreementError):
    """A party has withdrawn from the study, which ends it for all."""

    code = "withdrawn"
    exit_status = 67
    grpc_status = "ABORTED"


class StudyClosedError(AgreementError):
    """The study is closed: its ciphertexts and results are deleted."""

    code = "study_closed"
    exit_status = 68


class RenewalError(AgreementError):
    """A renewal of certificates is not what was signed, or not the next version of its study."""

    code = "renewal"
    exit_status = 76


class CertificateEndedError(AgreementError):
    """A certificate that counts in the study is not valid today; it can be renewed."""

    code = "certificate_ended"
    exit_status = 69
    ends_study = False


# --- verification --------------------------------------------------------------------------


class AuditError(MpcsegError):
    """A check of an audit failed: what nodes did, or say they did, is not what was agreed."""

    code = "audit"
    exit_status = 70
    grpc_status = "FAILED_PRECONDITION"


class LogError(AuditError):
    """An audit log is damaged, was changed, or contradicts what its owner has signed."""

    code = "audit_log"
    exit_status = 71


class ReplayError(AuditError):
    """What the compute node released is not what the agreed circuit gives."""

    code = "replay"
    exit_status = 72


class ExposureError(AuditError):
    """A value was found where it must not be."""

    code = "exposure"
    exit_status = 73


class EvidenceError(AuditError):
    """What an audit needs is missing or is not what the log says it is."""

    code = "evidence"
    exit_status = 74


# --- monitoring ----------------------------------------------------------------------------


class DriftError(MpcsegError):
    """Segments have changed by more than the limits that were given."""

    code = "drift"
    exit_status = 80


def subclasses() -> dict[str, type[MpcsegError]]:
    """All error classes by code, for turning a code from the wire back into an error."""
    found: dict[str, type[MpcsegError]] = {}
    queue: list[type[MpcsegError]] = [MpcsegError]
    while queue:
        cls = queue.pop()
        # A class without a code of its own is a matter of the module that raises it.
        if "code" in vars(cls):
            found[cls.code] = cls
        queue.extend(cls.__subclasses__())
    return found
