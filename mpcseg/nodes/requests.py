"""What an organisation asks of the compute node without a session: results, and the study's end.

Runs wherever the organisation has its identity and the agreement; its node may be long gone. The
compute node knows the caller by its certificate.
"""

from __future__ import annotations

from pathlib import Path

from mpcseg.audit.log import AuditLog
from mpcseg.errors import AgreementError, ProtocolError
from mpcseg.nodes import logbook
from mpcseg.nodes.connection import Connection
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import Role
from mpcseg.study import closing
from mpcseg.study.identity import Identity
from mpcseg.study.results import sealed_bytes
from mpcseg.study.spec import StudySpec
from mpcseg.wire.blobs import header_of
from mpcseg.wire.names import BlobKind, BlobName
from mpcseg.wire.study_status import StudyStatus, status_from_wire
from mpcseg.wire.v1 import blob_pb2, closing_pb2, status_pb2

# The compute node stops what runs, waits for the key node, and deletes everything.
_ENDING_SECONDS = 120.0


def fetch_results(
    spec: StudySpec,
    identity: Identity,
    address: str,
    progress: Progress,
    *,
    audit: Path,
    patience: float = 60.0,
    proxy: str | None = None,
) -> bytes:
    """Fetch the results that are sealed to this organisation; any recipient, as often as it likes.

    Args:
        spec: the study.
        identity: the organisation's own.
        address: "host:port" of the compute node.
        progress: told about every retry.
        audit: folder of this organisation's audit log of what it fetched; made if absent.
        patience: seconds for which to keep trying when the compute node does not answer.
        proxy: URL of the HTTP proxy on the way, as in `mpcseg.nodes.route.proxy_for`.

    Returns:
        Sealed: `mpcseg.study.results.open_results` opens them.

    Raises:
        AgreementError: the agreement gives this organisation nothing.
        ProtocolError: the study is not finished yet.
        StudyClosedError: it is closed, and its results are deleted.
        NodeError: as the compute node, or the way to it, says.
    """
    if identity.name not in spec.recipients:
        raise AgreementError(
            f"'{identity.name}' receives no results of the study '{spec.name}'",
            "The agreement names who receives what: mpcseg study show FILE",
        )
    name = BlobName(BlobKind.RESULT, item=spec.recipients.index(identity.name))
    request = blob_pb2.FetchResultRequest(study_digest=spec.digest, recipient=identity.name)
    limit = sealed_bytes(spec, identity.name)
    with (
        AuditLog(audit, spec, identity, "recipient") as log,
        Connection(
            spec, identity, address, progress=progress, patience=patience, proxy=proxy
        ) as compute,
    ):
        sealed = compute.fetch(compute.stub.FetchResult, request, name, limit)
        header = header_of(name, sealed)
        log.append(logbook.received(header, sealed, spec.compute.name, "compute"))
    return sealed


def study_status(
    spec: StudySpec, identity: Identity, address: str, progress: Progress, *, patience: float = 60.0
) -> StudyStatus:
    """Ask how far the study is; any organisation of the agreement, also without a running node.

    Raises:
        ProtocolError: the answer speaks of nodes that are not in the study.
        NodeError: as the compute node, or the way to it, says.
    """
    request = status_pb2.GetStatusRequest(study_digest=spec.digest)
    with Connection(spec, identity, address, progress=progress, patience=patience) as compute:
        status = status_from_wire(compute.call(compute.stub.GetStatus, request))
    known = [(spec.key.name, Role.KEY), *((party.name, Role.PARTY) for party in spec.parties)]
    if [(node.node, node.role) for node in status.nodes] != known:
        raise ProtocolError("the compute node speaks of nodes that are not those of the study")
    return status


def close_study(
    spec: StudySpec, identity: Identity, address: str, progress: Progress, *, patience: float = 60.0
) -> bytes:
    """Close the study: the compute node deletes everything. Key or compute node's organisation.

    Returns:
        The closing record, checked against the agreement.

    Raises:
        AgreementError: this organisation may not.
        SignatureError: the record's signatures do not hold.
        StudyClosedError: it is closed already.
        NodeError: as the compute node, or the way to it, says.
    """
    request = closing_pb2.CloseStudyRequest(
        study_digest=spec.digest, signed=_signed(spec, identity, "close")
    )
    with Connection(spec, identity, address, progress=progress, patience=patience) as compute:
        record = bytes(compute.call(compute.stub.CloseStudy, request, _ENDING_SECONDS).record)
    closing.verify_record(spec, record)
    return record


def withdraw(
    spec: StudySpec, identity: Identity, address: str, progress: Progress, *, patience: float = 60.0
) -> bytes:
    """Withdraw from the study before its first round, which ends it for all. A party.

    Returns:
        The closing record, checked against the agreement: by then every ciphertext is deleted.

    Raises:
        AgreementError: this organisation is no party.
        ProtocolError: the first round was opened already.
        SignatureError: the record's signatures do not hold.
        NodeError: as the compute node, or the way to it, says.
    """
    request = closing_pb2.WithdrawRequest(
        study_digest=spec.digest, signed=_signed(spec, identity, "withdraw")
    )
    with Connection(spec, identity, address, progress=progress, patience=patience) as compute:
        record = bytes(compute.call(compute.stub.Withdraw, request, _ENDING_SECONDS).record)
    closing.verify_record(spec, record)
    return record


def _signed(spec: StudySpec, identity: Identity, action: closing.Action) -> closing_pb2.Signed:
    signed = closing.sign_request(identity, spec.digest, action, closing.now())
    closing.verify_request(spec, signed)
    return closing_pb2.Signed(time=signed.time, signature=signed.signature)
