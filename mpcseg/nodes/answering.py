"""How the compute node answers a call: with its study's digest, or with an error in words."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError

from mpcseg.errors import MpcsegError, ProtocolError
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.rounds import unexpected
from mpcseg.nodes.upload_gate import BusyError
from mpcseg.wire.status import to_status

Context = Any  # grpc.aio.ServicerContext is generic in the stubs and not at run time
Request = TypeVar("Request")
Reply = TypeVar("Reply")
_Handler = Callable[[Any, Request, Context], Awaitable[Reply]]


class Answering:
    """What all handlers of a service share.

    Args:
        study_digest: put into every answer.
        progress: the compute node's own.

    Attributes:
        progress: the compute node's own.
        n_refused: calls that ended with an error.
    """

    def __init__(self, study_digest: str, progress: Progress) -> None:
        self.study_digest = study_digest
        self.progress = progress
        self.n_refused = 0

    def unforeseen(self, error: Exception) -> MpcsegError:
        """Return what an error that is no ``MpcsegError`` means."""
        return unexpected(error, self.progress)

    def refuse(self, call: str, error: MpcsegError, context: Context) -> None:  # noqa: ARG002
        """Count a refused call and say why.

        Args:
            call: its name.
            error: why.
            context: of the call.
        """
        self.n_refused += 1
        self.progress.message(f"refused a call: {error.message} ({error.code})")
        self.progress.event("refused", call=call, code=error.code)


def answered(handler: _Handler[Request, Reply]) -> _Handler[Request, Reply]:
    """Put the study's digest into a reply; end a call that raises with the status of its error.

    A stream's messages carry the digest themselves; its handler returns None.
    """

    @functools.wraps(handler)
    async def answering(self: Answering, request: Request, context: Context) -> Reply:
        try:
            reply = await handler(self, request, context)
            if reply is not None:
                reply.study_digest = self.study_digest  # type: ignore[attr-defined]
            return reply
        except MpcsegError as error:
            refusal = error
        except DecodeError:
            # In a stream of messages; a call of a single one gRPC refuses itself.
            refusal = ProtocolError(
                "a stream holds bytes that are not its message",
                "The nodes must run the same version of mpcseg.",
            )
        except BusyError:
            # No error of ours, for the caller is to try again: there will be a turn for it.
            busy = "too many uploads at once"
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, busy)
            raise
        except (grpc.RpcError, grpc.aio.BaseError):
            raise
        except Exception as error:
            # Whatever it is: the client gets an answer, and the operator the place.
            refusal = self.unforeseen(error)
        self.refuse(handler.__name__, refusal, context)
        code, details, trailing = to_status(refusal)
        await context.abort(code, details, trailing)
        raise AssertionError("abort returns never")

    return answering
