"""What a party and the key node have in common: join, watch, and tell the others on failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import RecoveryKind
from mpcseg.audit.renewals import renewals_to_take
from mpcseg.errors import MpcsegError
from mpcseg.nodes import logbook
from mpcseg.nodes.client import ComputeClient, Joined
from mpcseg.nodes.pins import warn_of_ends
from mpcseg.nodes.planning import StudyPlan, study_plan
from mpcseg.nodes.progress import Progress
from mpcseg.nodes.roles import Role
from mpcseg.nodes.transport import verify_identity
from mpcseg.nodes.watcher import StudyWatcher
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec

# How long the place of a process that died, or was stopped before it listened, may be taken.
_PLACE_SECONDS = 60.0


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
def study_session(  # noqa: PLR0913  a session is made of all of these
    spec: StudySpec,
    identity: Identity,
    role: Role,
    address: str,
    log: AuditLog,
    progress: Progress,
    *,
    patience: float,
    resumes: bool = False,
    proxy: str | None = None,
    max_upload_mbit: float | None = None,
    recovery: RecoveryKind | None = None,
) -> Iterator[StudySession]:
    """Enter the study, and leave it at the end of the block.

    Whatever ends this node's part for good stops the study for everybody with the reason, so that
    nobody waits for a node that cannot go on. A node that was stopped by its operator, or whose
    disk is full, leaves without a word: the others wait for it.

    Args:
        spec: the study.
        identity: this node's own.
        role: in which it takes part.
        address: "host:port" of the compute node.
        log: this node's audit log.
        progress: told about every retry.
        patience: seconds for which to keep trying when the compute node does not answer.
        resumes: this process goes on with the run of the one before it, which was stopped or died.
        proxy: URL of the HTTP proxy on the way, as in `mpcseg.nodes.route.proxy_for`.
        max_upload_mbit: megabits per second that this node sends blobs with; None for no limit.
        recovery: of the key node: whether it keeps what it needs to go on.

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
        proxy=proxy,
        max_upload_mbit=max_upload_mbit,
    ) as client:
        joined = client.join(resumes=resumes, place_seconds=_PLACE_SECONDS)
        # Not before: a process that is not let in has begun nothing.
        began = logbook.began(plan, resumes=resumes, recovery=recovery)
        log.append(began, *renewals_to_take(log.earlier, spec))
        warn_of_ends(spec, progress)
        progress.event("joined", node=identity.name, role=role.value, compute=address)
        with StudyWatcher(client, progress) as watcher:
            try:
                yield StudySession(plan, client, watcher, joined)
            except MpcsegError as error:
                if error.ends_study and watcher.error is None:
                    client.abort(error.for_others())
                raise
            except KeyboardInterrupt:
                # Its operator stopped it, in whatever way; it may come back.
                raise
            except BaseException as error:
                client.abort(MpcsegError(f"it failed inside ({type(error).__name__})"))
                raise
