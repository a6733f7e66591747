"""Several studies behind one port: each call is answered by its own study, and by no other.

A call says which study it is for by the agreement's digest, and who calls by its certificate. A
study that has that digest and that knows the certificate answers. In every other case one of the
caller's own studies does, which refuses the call as one for another study: whether there is a study
that the caller is not in cannot be told from that. Runs on: compute node, one event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from mpcseg.audit.log import LOG_DIGITS, log_path
from mpcseg.errors import ConfigError, TruncatedStreamError, UnknownCertificateError
from mpcseg.nodes.answering import Context
from mpcseg.nodes.blob_calls import paced
from mpcseg.nodes.blob_store import BlobStore
from mpcseg.nodes.servicer import ComputeServicer
from mpcseg.nodes.transport import AuthContext, Roster, presented
from mpcseg.study.spec import StudySpec
from mpcseg.wire.v1 import blob_pb2
from mpcseg.wire.v1.compute_pb2 import DESCRIPTOR

CALLS = tuple(method.name for method in DESCRIPTOR.services_by_name["ComputeNode"].methods)


def verify_distinct(specs: Sequence[StudySpec]) -> None:
    """Check that studies can be served by one process.

    Raises:
        ConfigError: one stands there twice, or they name different certificates of the compute
            node.
    """
    if len({spec.digest for spec in specs}) < len(specs):
        raise ConfigError("a study is named twice", "Name each agreement once.")
    if len({spec.current_card(spec.compute.name).fingerprint for spec in specs}) > 1:
        raise ConfigError(
            "the studies name the compute node by different certificates",
            "Serve those with another certificate by a process of their own, on another port; a "
            "certificate that is renewed is renewed in all of them.",
        )


class Hosted:
    """The studies of one process, as its server sees them.

    Args:
        studies: each study's roster and what answers for it, by the agreement's digest.
    """

    def __init__(self, studies: Mapping[str, tuple[Roster, ComputeServicer]]) -> None:
        self._studies = dict(studies)

    def organisation(self, auth_context: AuthContext) -> str:
        """Return who calls, by the certificate's fingerprint: names are of a study only.

        Raises:
            UnknownCertificateError: the caller is in none of the studies.
        """
        self._own(auth_context)
        return presented(auth_context)

    def n_nodes(self, fingerprint: str) -> int:
        """Return how many nodes of an organisation may call at once, in all studies together."""
        rosters = (roster for roster, _ in self._studies.values())
        names = ((roster, roster.name_of(fingerprint)) for roster in rosters)
        return sum(roster.n_nodes(name) for roster, name in names if name is not None)

    def servicer(self, study_digest: str, auth_context: AuthContext) -> ComputeServicer:
        """Return what answers a call.

        Raises:
            UnknownCertificateError: the caller is in none of the studies.
        """
        own = self._own(auth_context)
        return own.get(study_digest) or next(iter(own.values()))

    def _own(self, auth_context: AuthContext) -> dict[str, ComputeServicer]:
        """The studies that the caller is in."""
        own = {}
        refusal = UnknownCertificateError("there is no study")
        for digest, (roster, servicer) in self._studies.items():
            try:
                roster.organisation(auth_context)
            except UnknownCertificateError as error:
                refusal = error
            else:
                own[digest] = servicer
        if not own:
            raise refusal
        return own


class Reception:
    """The service that the server knows: passes each call on to its study.

    Strangers do not come so far: `CallLimit` asks `Hosted` who calls.

    Args:
        hosted: the studies.
    """

    def __init__(self, hosted: Hosted) -> None:
        self._hosted = hosted
        for name in CALLS:
            setattr(self, name, self._upload if name == "Upload" else self._passing(name))

    def _passing(self, name: str) -> Callable[[Any, Context], Awaitable[Any]]:
        async def answer(request: Any, context: Context) -> Any:
            servicer = self._hosted.servicer(request.study_digest, context.auth_context())
            return await getattr(servicer, name)(request, context)

        return answer

    async def _upload(
        self, requests: AsyncIterator[blob_pb2.UploadRequest], context: Context
    ) -> Any:
        messages = paced(requests)
        digest, first = "", None
        failed: Exception | None = None
        try:
            first = await anext(messages, None)
        except (TruncatedStreamError, DecodeError) as error:
            failed = error
        if first is not None:
            digest = first.header.study_digest
        servicer = self._hosted.servicer(digest, context.auth_context())
        return await servicer.Upload(_again(first, failed, messages), context)


async def _again(
    first: blob_pb2.UploadRequest | None,
    failed: Exception | None,
    rest: AsyncIterator[blob_pb2.UploadRequest],
) -> AsyncIterator[blob_pb2.UploadRequest]:
    """A stream from its first message on, which was looked at; what was wrong with it is, too."""
    if failed is not None:
        raise failed
    if first is not None:
        yield first
    async for message in rest:
        yield message


def study_folder(storage: Path, spec: StudySpec, *, is_alone: bool) -> Path:
    """Return where a study of a compute node's storage folder stands.

    One study has the folder to itself, several have one each in it. A study stays where it was
    begun, also when the node is started again with more or fewer studies.
    """
    own = storage / spec.digest[:LOG_DIGITS]
    began_alone = log_path(storage, spec, "compute", spec.compute.name).exists()
    # What another study has left there is the other study's: a new one would remove it.
    is_free = is_alone and not BlobStore.is_in_use(storage)
    return storage if not own.exists() and (is_free or began_alone) else own
