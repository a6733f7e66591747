"""A key node that ends itself with SIGKILL at a given step of its study."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import (
    Decrypted,
    KeysVouched,
    RoundOpened,
    RoundSpent,
    SecretKeyDestroyed,
    Sent,
)
from mpcseg.ckks.secret import SecretKey
from mpcseg.nodes import key, recovery
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.key import run_key
from mpcseg.nodes.recovery import Recovery
from mpcseg.privacy.ledger import Ledger
from mpcseg.wire.names import BlobKind, BlobName


@dataclass(frozen=True)
class Step:
    """One step of the key node.

    Attributes:
        owner: a class or module.
        name: its function.
        which: of its calls, by their arguments.
    """

    owner: Any
    name: str
    which: Callable[..., bool] = lambda *_, **__: True


def written(kind: type[Any], /, **fields: object) -> Step:
    """An entry of the log."""

    def which(_: AuditLog, *records: Any) -> bool:
        return any(
            isinstance(record, kind)
            and all(getattr(record, name) == value for name, value in fields.items())
            for record in records
        )

    return Step(AuditLog, "append", which)


def sent(kind: BlobKind, part: int = 0) -> Step:
    """An upload."""

    def which(_: ComputeClient, name: BlobName, __: bytes) -> bool:
        return name.kind is kind and name.part == part

    return Step(ComputeClient, "upload", which)


def of_round(owner: Any, name: str, index: int) -> Step:
    """A call with the number of a round as its first argument."""
    return Step(owner, name, lambda _, number, *__: number == index)


def asked_for(index: int) -> Step:
    """A round that the compute node has opened."""
    return Step(ComputeClient, "open_round", lambda _, __, number, *___: number == index)


STEPS: dict[str, Step] = {
    "keys kept": Step(Recovery, "keep_key"),
    "public key sent": sent(BlobKind.PUBLIC_KEY),
    "relinearisation keys sent": sent(BlobKind.RELINEARISATION_KEYS),
    "keys vouched for": written(KeysVouched),
    "keys published": Step(ComputeClient, "publish_keys"),
    "admission written": written(RoundOpened, round=0),
    "admission asked for": asked_for(0),
    "admission in the ledger": Step(Ledger, "save"),
    "admission paid for": written(RoundSpent, round=0),
    "moments intended": of_round(Recovery, "keep_intent", 1),
    "moments about to be decrypted": written(Decrypted, round=1),
    "a sum of the moments decrypted": Step(SecretKey, "decrypt_slot_sum"),
    "moments decrypted": of_round(Recovery, "keep_sums", 1),
    "first round asked for": asked_for(2),
    "hyperplane on its way": written(Sent, kind=BlobKind.HYPERPLANE.value),
    "half a hyperplane sent": sent(BlobKind.HYPERPLANE, part=1),
    "first round paid for": written(RoundSpent, round=2),
    "first round decrypted": of_round(Recovery, "keep_sums", 2),
    "profile intended": of_round(Recovery, "keep_intent", 3),
    "profile about to be decrypted": written(Decrypted, round=3),
    "results sealed": Step(key, "keep_sealed"),
    "results noted": Step(Recovery, "keep_results"),
    "secret key overwritten": Step(recovery, "_overwrite"),
    "recovery destroyed": Step(Recovery, "destroy_key"),
    "secret key said to be destroyed": written(SecretKeyDestroyed),
    "a result sent": sent(BlobKind.RESULT),
    "finished": Step(ComputeClient, "finish"),
    "last checkpoints exchanged": Step(ComputeClient, "exchange_last_checkpoints"),
}
"""In the order in which they come; a process that goes on does not repeat those before."""


def dying_key(step: str, *arguments: Any, **options: Any) -> None:
    """Run the key node until just after a step; it has no chance to say or to tidy anything."""
    at = STEPS[step]
    original = getattr(at.owner, at.name)

    def deadly(*given: Any, **named: Any) -> Any:
        due = at.which(*given, **named)
        result = original(*given, **named)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    with patch.object(at.owner, at.name, deadly):
        run_key(*arguments, **options)
