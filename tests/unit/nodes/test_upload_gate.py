"""Turns and byte quotas for uploads."""

from __future__ import annotations

import asyncio

import pytest

from mpcseg.errors import BlobTooLargeError
from mpcseg.nodes.roles import Caller, Role
from mpcseg.nodes.upload_gate import BusyError, ByteQuota, UploadGate

A, B = Caller("a", Role.PARTY), Caller("b", Role.PARTY)


def test_no_more_uploads_are_received_at_once_than_allowed() -> None:
    async def scenario() -> int:
        gate = UploadGate(received=3, per_caller=20)
        now = most = 0

        async def upload() -> None:
            nonlocal now, most
            async with gate.receiving("study", A):
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
        async with gate.receiving("study", A):
            with pytest.raises(BusyError):
                async with gate.receiving("study", B):
                    pass
        async with gate.receiving("study", B):
            pass

    asyncio.run(scenario())


def test_a_node_has_its_own_bound_in_each_study_and_gives_turns_back_after_errors() -> None:
    async def scenario() -> None:
        gate = UploadGate(per_caller=1)
        with pytest.raises(ValueError, match="broken"):
            async with gate.receiving("study", A):
                raise ValueError("broken")
        async with gate.receiving("study", A):
            with pytest.raises(BusyError):
                async with gate.receiving("study", A):
                    pass
            async with gate.receiving("study", B), gate.receiving("other", A):
                pass

    asyncio.run(scenario())


def test_bytes_count_whatever_becomes_of_them_and_for_each_party_by_itself() -> None:
    quota = ByteQuota(lambda _: 100)
    quota.take(A, 60)
    quota.take(A, 40)
    with pytest.raises(BlobTooLargeError, match="party node a has sent more than 100 bytes"):
        quota.take(A, 1)
    quota.take(B, 100)
