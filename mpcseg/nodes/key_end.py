"""How a study ends at the key node, when its sums are decrypted. Runs on: key node."""

from __future__ import annotations

from collections.abc import Mapping

from mpcseg.audit.records import SecretKeyDestroyed
from mpcseg.errors import MpcsegError
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.key_history import KeyRun, Start, blobs_there
from mpcseg.study.closing import KeyDestroyed, now, sign_key_destroyed
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from mpcseg.wire.names import BlobKind, BlobName


def statement(
    spec: StudySpec, identity: Identity, client: ComputeClient, run: KeyRun, n_values: int
) -> KeyDestroyed:
    """Put under this organisation's signature, and into its log, that the key is destroyed.

    Once in a run: a process that goes on repeats what the one before it has said.
    """
    if run.destroyed is None:
        said = sign_key_destroyed(identity, spec.digest, n_values, now())
        run.destroyed = SecretKeyDestroyed(**vars(said))
        client.log.append(run.destroyed)
    return KeyDestroyed(**run.destroyed.model_dump(exclude={"event"}))


def deliver(
    spec: StudySpec,
    client: ComputeClient,
    start: Start,
    sealed: Mapping[str, bytes],
    said: KeyDestroyed,
) -> None:
    """Hand every recipient's sealed results to the compute node, and finish the study.

    Each step may be repeated by another process, until the last one.

    Args:
        spec: the study.
        client: the compute node, which cannot read the results.
        start: of this process; what is kept for the next one is gone when this returns.
        sealed: by recipient.
        said: that the secret key is destroyed.
    """
    try:
        there = blobs_there(client, start)
        for item, recipient in enumerate(spec.recipients):
            name = BlobName(BlobKind.RESULT, item=item)
            if str(name) not in there:
                client.upload(name, sealed[recipient])
    except MpcsegError as error:
        if error.ends_study:
            client.report_destroyed(said)
        raise
    client.finish(said)
    client.exchange_last_checkpoints()
    start.recovery.clear()
