"""Checkpoints of the nodes' logs, as an organisation has them in its own logs of a study."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from mpcseg.audit.checkpoint import verify_checkpoint
from mpcseg.audit.log import LOG_DIGITS, log_name
from mpcseg.audit.log_file import read_log
from mpcseg.audit.records import Checkpoint, CheckpointTaken, NodeRole
from mpcseg.errors import ConfigError
from mpcseg.study.spec import StudySpec


def known_checkpoints(spec: StudySpec, folder: Path) -> tuple[Checkpoint, ...]:
    """The last checkpoint of each node's log, as an organisation's own logs of the study have them.

    Args:
        spec: the study.
        folder: of its audit logs; a key node's is its output folder.

    Raises:
        ConfigError: there is no log of this study in it.
        LogError: a log is damaged or was changed.
        SignatureError: a checkpoint is not signed by its organisation.
    """
    places = (folder, folder / spec.digest[:LOG_DIGITS])
    logs = sorted(
        path
        for place in places
        for role in get_args(NodeRole)
        for path in place.glob(log_name(spec, role, "*"))
    )
    if not logs:
        raise ConfigError(
            f"there is no audit log of '{spec.name}' in {folder}",
            "Name the folder of this organisation's node, or leave --audit out.",
        )
    last: dict[tuple[str, str], Checkpoint] = {}
    for path in logs:
        log = read_log(path, spec)
        taken = [
            entry.record.checkpoint
            for entry in log.entries
            if isinstance(entry.record, CheckpointTaken)
        ]
        for head in (*taken, *log.heads):
            key = (head.organisation, head.role)
            if key not in last or head.size > last[key].size:
                last[key] = head
    for head in last.values():
        verify_checkpoint(spec, head)
    return tuple(last[key] for key in sorted(last))
