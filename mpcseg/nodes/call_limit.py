"""How many calls one organisation may have open, so that none can keep the others out.

Compute node, one event loop. gRPC's own limit counts all callers together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import grpc

from mpcseg.errors import StorageError, UnknownCertificateError
from mpcseg.wire.status import to_status

# More calls at once than a node ever makes: one watch and a few transfers.
CALLS_PER_NODE = 16

_Behaviour = Callable[[Any, Any], Awaitable[Any]]

_MAKE = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class CallLimit(grpc.aio.ServerInterceptor):
    """Refuses a call of an organisation that has as many open as its nodes can need.

    Args:
        organisation: says who calls, from a call's authentication context.
        n_nodes: how many nodes of an organisation may call at once.
    """

    def __init__(
        self,
        organisation: Callable[[Mapping[str, Iterable[bytes]]], str],
        n_nodes: Callable[[str], int],
    ) -> None:
        self._organisation = organisation
        self._n_nodes = n_nodes
        self._open: Counter[str] = Counter()

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Put the count around whatever answers the call."""
        handler = await continuation(details)
        if handler is None:
            return None
        kind = (handler.request_streaming, handler.response_streaming)
        behaviour = {
            (False, False): handler.unary_unary,
            (False, True): handler.unary_stream,
            (True, False): handler.stream_unary,
            (True, True): handler.stream_stream,
        }[kind]
        return _MAKE[kind](
            self._counted(behaviour), handler.request_deserializer, handler.response_serializer
        )

    def _counted(self, behaviour: _Behaviour) -> _Behaviour:
        async def counted(request: Any, context: Any) -> Any:
            try:
                caller = self._organisation(context.auth_context())
            except (StorageError, UnknownCertificateError) as error:
                code, message, trailing = to_status(error)
                await context.abort(code, message, trailing)
                raise
            if self._open[caller] >= CALLS_PER_NODE * self._n_nodes(caller):
                # No error of ours, for the caller is to try again: its own calls will have ended.
                await context.abort(
                    grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls of one organisation"
                )
            self._open[caller] += 1
            try:
                return await behaviour(request, context)
            finally:
                self._open[caller] -= 1

        return counted
