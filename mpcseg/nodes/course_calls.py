"""Calls of the compute node by which a study goes on: keys, blocks, rounds, the end of the key."""

from __future__ import annotations

import asyncio
from typing import Any

from mpcseg.audit.records import BlocksCommitted, KeysVouched, RoundOpened, SecretKeyDestroyed
from mpcseg.nodes.answering import Context, answered
from mpcseg.nodes.calls import StudyCalls
from mpcseg.nodes.study_rules import RoundOrder, block_names
from mpcseg.study.card import verify_signature
from mpcseg.study.closing import KeyDestroyed, verify_key_destroyed
from mpcseg.wire import conversions as convert
from mpcseg.wire.events import KEYS_PURPOSE, attested_bytes
from mpcseg.wire.v1 import closing_pb2, round_pb2


class CourseCalls(StudyCalls):
    """What the key node and the parties say about how far they are."""

    @answered
    async def PublishKeys(  # noqa: N802  named by the .proto, as below
        self, request: round_pb2.PublishKeysRequest, context: Context
    ) -> round_pb2.PublishKeysReply:
        """Take the key node's word for its keys."""
        caller = self._verified(request, context)
        attestation = convert.attestation_from_wire(request.attestation)
        rules = self._state.rules
        signed = attested_bytes(
            rules.study_digest, rules.parameter_digest, attestation.public_key_sha256
        )
        verify_signature(self._spec.key, KEYS_PURPOSE, signed, attestation.signature)
        if self._state.publish_keys(caller, attestation):
            vouched = KeysVouched(
                public_key=attestation.public_key_sha256.hex(), signature=attestation.signature
            )
            self._note(vouched)
            self.progress.message("the keys are here; waiting for the parties' blocks")
            self._rounds.start()
            self._changes.happened()
        return round_pb2.PublishKeysReply()

    @answered
    async def Commit(  # noqa: N802
        self, request: round_pb2.CommitRequest, context: Context
    ) -> round_pb2.CommitReply:
        """Take a party's blocks as complete."""
        caller = self._verified(request, context)
        if self._state.commit(caller, request.n_blocks, request.manifest_sha256):
            committed = BlocksCommitted(
                party=caller.name,
                n_blocks=request.n_blocks,
                manifest=request.manifest_sha256.hex(),
            )
            self._note(committed)
            self.progress.event("party_ready", node=caller.name, n_blocks=request.n_blocks)
            self._changes.happened()
            # Not at Join: there a thread might remove what the new process sends meanwhile. From
            # here on nothing of this party is kept any more.
            rules = self._state.rules
            names = block_names(request.n_blocks, rules.n_features, rules.columns)
            await asyncio.to_thread(self._store.keep_only, caller, names)
        return round_pb2.CommitReply()

    @answered
    async def OpenRound(  # noqa: N802
        self, request: round_pb2.OpenRoundRequest, context: Context
    ) -> round_pb2.OpenRoundReply:
        """Begin a round."""
        caller = self._verified(request, context)
        kind = convert.round_kind_from_wire(request.kind)
        order = RoundOrder(kind, request.index, tuple(request.sign_degrees), request.n_clusters)
        if self._state.open_round(caller, order):
            opened = RoundOpened(
                round=order.index, kind=order.kind, sign=order.sign, n_clusters=order.n_clusters
            )
            self._note(opened)
            self._rounds.open(order)
            self._changes.happened()
        return round_pb2.OpenRoundReply()

    @answered
    async def Finish(  # noqa: N802
        self, request: closing_pb2.FinishRequest, context: Context
    ) -> closing_pb2.FinishReply:
        """The study has its results."""
        caller = self._verified(request, context)
        statement = self._statement(request)
        if self._state.finish(caller, statement):
            self._note(SecretKeyDestroyed(**vars(statement)))
            self._changes.happened()
        self.told.add(caller)
        return closing_pb2.FinishReply()

    @answered
    async def ReportDestroyed(  # noqa: N802
        self, request: closing_pb2.ReportDestroyedRequest, context: Context
    ) -> closing_pb2.ReportDestroyedReply:
        """Take the key node's word that its secret key is gone, also when the study is over."""
        organisation = self._organisation(request, context)
        caller = self._state.membership.caller_of(organisation, request.session)
        statement, known = self._statement(request), self._state.key_destroyed
        self._state.report_destroyed(caller, statement)
        if statement != known:
            self._note(SecretKeyDestroyed(**vars(statement)))
        self._changes.happened()
        return closing_pb2.ReportDestroyedReply()

    def _statement(self, request: Any) -> KeyDestroyed:
        """Return the key node's statement in a request, if its signature holds."""
        statement = convert.destroyed_from_wire(request.statement)
        verify_key_destroyed(self._spec, statement)
        return statement
