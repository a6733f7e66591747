"""Evaluates rounds on ciphertexts in worker processes of the compute node.

A round is cut into tasks on files (:mod:`mpcseg.engine.tasks`), ordered by what they need
(:mod:`mpcseg.engine.graph`) and run by processes that each hold the evaluation keys
(:mod:`mpcseg.engine.pool`). Results pass through files, so a task whose worker dies is simply run
again.
"""

from mpcseg.engine.admission import PartyUploads
from mpcseg.engine.evaluation import Engine
from mpcseg.engine.evidence import RoundEvidence, RoundResult
from mpcseg.engine.release_scales import release_scales
from mpcseg.engine.round_secrets import RoundSecrets, draw_noise, secrets_of_round
from mpcseg.engine.rounds import RoundWork
from mpcseg.engine.tasks import Block, BlockFiles

__all__ = [
    "Block",
    "BlockFiles",
    "Engine",
    "PartyUploads",
    "RoundEvidence",
    "RoundResult",
    "RoundSecrets",
    "RoundWork",
    "draw_noise",
    "release_scales",
    "secrets_of_round",
]
