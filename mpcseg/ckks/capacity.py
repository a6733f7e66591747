"""What each node of a study needs: memory, disk, bytes that leave it, seconds of a core.

Bytes and seconds come from the plan. Memory is a line above what `mpcseg demo` measured (README,
"Accuracy and cost"): two clusters to eight, both ring degrees, two workers, up to three blocks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mpcseg.ckks.key_material import key_bytes_limit
from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.planner import Plan

# A Python process with its libraries and tables of SEAL; and what comes on top, in units of what it
# works on.
_PROCESS_BYTES = 300e6
_PER_UPLOADED_BYTE = 12
_PER_KEY_BYTE_OF_THE_KEY_NODE = 4.5
_COMPUTE_BYTES = 450e6
_WORKER_BYTES = 500e6
_PER_KEY_BYTE_OF_A_WORKER = 12

# Starting processes, making keys, waiting for each other.
_START_SECONDS = 25.0

# Audit log, ledger, sealed results, closing record, and what SQLite keeps beside its file.
_RECORD_BYTES = 20e6


@dataclass(frozen=True)
class Needs:
    """Of one node, for the whole study.

    Attributes:
        node: party, compute or key.
        memory: bytes at its peak; of the compute node with all its workers.
        disk: bytes at its fullest.
        sent: bytes that leave it.
        seconds: of one core.
    """

    node: str
    memory: float
    disk: float
    sent: float
    seconds: float


def needs(plan: Plan, *, workers: int, norm: bool = False) -> tuple[Needs, ...]:
    """What a party of one block, the compute node and the key node need.

    Args:
        plan: of the study.
        workers: worker processes of the compute node.
        norm: whether admission tests an agreed radius too.
    """
    parameters = plan.parameters
    upload = plan.upload_bytes_per_block
    keys = key_bytes_limit(parameters, relinearisation=True)
    public = key_bytes_limit(parameters, relinearisation=False)
    planes = (plan.n_rounds + 1) * plan.hyperplane_bytes(plan.sharp) + sum(
        scout.hyperplane_bytes(sign) for _, sign, scout in plan.scouts
    )
    stored_key = 8 * parameters.n_key_primes * parameters.poly_modulus_degree
    party = Needs("party", _PROCESS_BYTES + _PER_UPLOADED_BYTE * upload, _RECORD_BYTES, upload, 0.0)
    compute = Needs(
        "compute",
        _COMPUTE_BYTES
        + workers * (_WORKER_BYTES + _PER_KEY_BYTE_OF_A_WORKER * _expanded_key_bytes(parameters)),
        plan.n_uploads * upload + keys + public + plan.kept_bytes(norm=norm) + _RECORD_BYTES,
        plan.release_bytes(plan.decrypted_values) + plan.n_parties * public,
        plan.admission_seconds(norm=norm)
        + plan.scout_seconds()
        + plan.n_rounds * plan.round_seconds(plan.sharp)
        + plan.round_seconds(plan.sharp, profile=True),
    )
    key = Needs(
        "key",
        _PROCESS_BYTES + _PER_KEY_BYTE_OF_THE_KEY_NODE * _expanded_key_bytes(parameters),
        _RECORD_BYTES + stored_key,
        keys + public + planes,
        (plan.n_rounds + 1) * plan.hyperplane_seconds(plan.sharp)
        + sum(scout.hyperplane_seconds(sign) for _, sign, scout in plan.scouts),
    )
    return party, compute, key


def study_seconds(plan: Plan, *, workers: int, megabits: float, norm: bool = False) -> float:
    """From the first upload to the results: nodes and links work one after the other.

    Args:
        plan: of the study.
        workers: worker processes of the compute node, each with a core.
        megabits: per second, of the slowest link.
        norm: whether admission tests an agreed radius too.
    """
    party, compute, key = needs(plan, workers=workers, norm=norm)
    sent = math.ceil(plan.n_uploads / plan.n_parties) * party.sent + compute.sent + key.sent
    work = key.seconds + compute.seconds / workers
    return _START_SECONDS + work + sent * 8 / (megabits * 1e6)


def _expanded_key_bytes(parameters: ParameterSet) -> float:
    """Relinearisation keys as SEAL holds them: two polynomials for each prime but the last."""
    n_primes = parameters.n_key_primes
    return 8.0 * 2 * (n_primes - 1) * n_primes * parameters.poly_modulus_degree
