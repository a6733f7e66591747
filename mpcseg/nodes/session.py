"""What a party and the key node have in common: join, watch, and tell the others on failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import RecoveryKind
from mpcseg.errors import MpcsegError, StudyAbortedError
from mpcseg.nodes import logbook
from mpcseg.nodes.client import ComputeClient, Joined
from mpcseg.nodes.planning import StudyPlan, study_plan
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import Role
from mpcseg.nodes.transport import verify_identity
from mpcseg.nodes.watcher import StudyWatcher
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec


@dataclass(frozen=True)
class StudySession:
    """A node's place in the study.

    Attributes:
        plan: parameter set, sign polynomials and noise.
        client: the compute node.
        watcher: what it tells.
        joined: what it answered to Join.
    """

    plan: StudyPlan
    client: ComputeClient
    watcher: StudyWatcher
    joined: Joined


@contextmanager
def study_session(
    spec: StudySpec,
    identity: Identity,
    role: Role,
    address: str,
    log: AuditLog,
    progress: Progress,
    *,
    patience: float,
    resumes: bool = False,
    recovery: RecoveryKind | None = None,
) -> Iterator[StudySession]:
    """Enter the study, and leave it at the end of the block.

    Whatever goes wrong inside stops the study for everybody with the reason, so that nobody waits
    for a node that cannot go on.

    Raises:
        ConfigError: the identity is not in the study in this role.
        PlanError: no parameter set can carry the study.
        NodeError: as the compute node, or the way to it, says.
    """
    verify_identity(spec, identity, role)
    plan = study_plan(spec)
    with ComputeClient(
        spec,
        identity,
        role,
        address,
        parameter_digest=plan.digest,
        log=log,
        progress=progress,
        patience=patience,
    ) as client:
        joined = client.join(resumes=resumes)
        # Not before: a process that is not let in has begun nothing.
        log.append(logbook.began(plan, resumes=resumes, recovery=recovery))
        progress.event("joined", node=identity.name, role=role.value, compute=address)
        with StudyWatcher(client, progress) as watcher:
            try:
                yield StudySession(plan, client, watcher, joined)
            except MpcsegError as error:
                if error.ends_study and watcher.error is None:
                    client.abort(error.for_others())
                raise
            except KeyboardInterrupt:
                client.abort(StudyAbortedError("its operator stopped it"))
                raise
            except BaseException as error:
                client.abort(MpcsegError(f"it failed inside ({type(error).__name__})"))
                raise
