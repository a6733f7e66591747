"""Turns and byte quotas for uploads."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from mpcseg.errors import BlobTooLargeError, TruncatedStreamError
from mpcseg.nodes import upload_gate
from mpcseg.nodes.pace import LEAST_MBIT
from mpcseg.nodes.roles import Caller, Role
from mpcseg.nodes.upload_gate import KEY_RECEIVED_AT_ONCE, BusyError, ByteQuota, UploadGate

A, B = Caller("a", Role.PARTY), Caller("b", Role.PARTY)
KEY = Caller("a", Role.KEY)


def test_no_more_uploads_are_received_at_once_than_allowed() -> None:
    async def scenario() -> int:
        gate = UploadGate(received=3, per_caller=20, per_organisation=20)
        now = most = 0

        async def upload() -> None:
            nonlocal now, most
            async with gate.receiving("study", A, 1):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.01)
                now -= 1

        await asyncio.gather(*(upload() for _ in range(12)))
        return most

    assert asyncio.run(scenario()) == 3


def test_an_upload_that_waits_in_vain_is_sent_back_and_leaves_its_place() -> None:
    async def scenario() -> None:
        gate = UploadGate(received=1, wait=0.05)
        async with gate.receiving("study", A, 1):
            with pytest.raises(BusyError):
                async with gate.receiving("study", B, 1):
                    pass
        async with gate.receiving("study", B, 1):
            pass

    asyncio.run(scenario())


def test_a_node_has_its_own_bound_in_each_study_and_gives_turns_back_after_errors() -> None:
    async def scenario() -> None:
        gate = UploadGate(per_caller=1)
        with pytest.raises(ValueError, match="broken"):
            async with gate.receiving("study", A, 1):
                raise ValueError("broken")
        async with gate.receiving("study", A, 1):
            with pytest.raises(BusyError):
                async with gate.receiving("study", A, 1):
                    pass
            async with gate.receiving("study", B, 1), gate.receiving("other", A, 1):
                pass

    asyncio.run(scenario())


def test_bytes_count_whatever_becomes_of_them_and_for_each_party_by_itself() -> None:
    quota = ByteQuota(lambda _: 100)
    quota.take(A, 60)
    quota.take(A, 40)
    with pytest.raises(BlobTooLargeError, match="party node a has sent more than 100 bytes"):
        quota.take(A, 1)
    quota.take(B, 100)


def test_an_organisation_has_a_bound_over_all_its_studies() -> None:
    async def scenario() -> None:
        gate = UploadGate(per_caller=2, per_organisation=3)
        async with gate.receiving("one", A, 1), gate.receiving("two", A, 1):
            async with gate.receiving("three", A, 1):
                with pytest.raises(BusyError):
                    async with gate.receiving("four", A, 1):
                        pass
            async with gate.receiving("four", A, 1):
                pass

    asyncio.run(scenario())


def test_parties_that_hold_every_turn_hold_up_no_key_node() -> None:
    async def scenario() -> None:
        gate = UploadGate(received=1, wait=0.05)
        async with gate.receiving("study", A, 1), gate.receiving("study", KEY, 1):
            with pytest.raises(BusyError):
                async with gate.receiving("study", B, 1):
                    pass

    asyncio.run(scenario())


def test_one_organisations_key_nodes_leave_half_of_their_turns_to_others() -> None:
    other = Caller("b", Role.KEY)

    async def scenario() -> None:
        gate = UploadGate(wait=0.05)
        studies = [f"study {i}" for i in range(KEY_RECEIVED_AT_ONCE)]
        half = KEY_RECEIVED_AT_ONCE // 2
        async with contextlib.AsyncExitStack() as held:
            for study in studies[:half]:
                await held.enter_async_context(gate.receiving(study, KEY, 1))
            for study in studies[half:]:
                with pytest.raises(BusyError):
                    await held.enter_async_context(gate.receiving(study, KEY, 1))
            # Neither its own party nodes nor others' key nodes wait for it.
            await held.enter_async_context(gate.receiving("study", A, 1))
            for study in studies[half:]:
                await held.enter_async_context(gate.receiving(study, other, 1))
        async with gate.receiving("study", KEY, 1):
            pass

    asyncio.run(scenario())


def test_an_upload_that_trickles_gives_its_turn_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_gate, "LEAST_SECONDS", 0.1)

    async def scenario() -> None:
        gate = UploadGate(received=1)

        async def trickle() -> None:
            async with gate.receiving("study", A, 10):
                while True:
                    await asyncio.sleep(0.01)

        with pytest.raises(TruncatedStreamError, match="not complete after"):
            await trickle()
        async with gate.receiving("study", B, 10):
            pass

    asyncio.run(scenario())


def test_the_slowest_agreed_pace_is_fast_enough() -> None:
    length = 1_800_000
    assert upload_gate.longest_seconds(length) > length * 8 / (LEAST_MBIT * 1e6)
