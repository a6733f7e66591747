"""What a round keeps to itself: the seed of its masks, and its noise. Compute node.

Both are drawn once, when the round is opened, and stand in its folder of evidence before anything
is computed. Whatever dies afterwards, a worker or the node, what is computed again comes out
byte for byte the same: two releases of one sum with two draws would show more than one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpcseg.ckks.parameters import ParameterSet
from mpcseg.ckks.slot_sum import SEED_BYTES, new_seed, units_per_sum
from mpcseg.durable import on_disk, write_private
from mpcseg.errors import StorageError
from mpcseg.privacy.noise import draw

SEED_FILE = "seed"
NOISE_FILE = "noise.json"

_LONGEST_NOISE_FILE = 64 << 20
_LARGEST_NOISE = 2**63


@dataclass(frozen=True)
class RoundSecrets:
    """The randomness of one round.

    Attributes:
        seed: of masks, re-randomisation and random functionals.
        noise: for each sum, in the order of the round's sums, the integer that is added to the
            constant coefficient.
    """

    seed: bytes = field(repr=False)
    noise: tuple[int, ...] = field(repr=False)


def draw_noise(
    parameters: ParameterSet, stds: Sequence[float], scales: Sequence[float]
) -> tuple[int, ...]:
    """Draw the noise of a round's sums.

    Args:
        parameters: of the study.
        stds: standard deviation of each sum's noise, in units of the sum; 0 for none.
        scales: at which each sum is released.
    """
    return tuple(
        draw(std * units_per_sum(parameters, scale))
        for std, scale in zip(stds, scales, strict=True)
    )


def secrets_of_round(folder: Path, fresh: Callable[[], tuple[int, ...]]) -> RoundSecrets:
    """The seed and the noise of a round: those that were drawn before, or new ones.

    Args:
        folder: of the round's evidence; made if absent.
        fresh: draws the noise of all sums.

    Raises:
        StorageError: they cannot be written or read, or what is there is not what was written.
    """
    with on_disk(folder):
        folder.parent.mkdir(exist_ok=True, mode=0o700)
        folder.mkdir(exist_ok=True, mode=0o700)
        if not (folder / SEED_FILE).exists():
            write_private(folder / SEED_FILE, new_seed())
        if not (folder / NOISE_FILE).exists():
            write_private(folder / NOISE_FILE, json.dumps(fresh()).encode())
        return RoundSecrets(read_seed(folder), read_noise(folder))


def read_seed(folder: Path) -> bytes:
    """The seed in a round's folder; raises as `read_noise`."""
    seed = (folder / SEED_FILE).read_bytes()
    if len(seed) != SEED_BYTES:
        raise _damaged(folder / SEED_FILE)
    return seed


def read_noise(folder: Path) -> tuple[int, ...]:
    """The noise in a round's folder.

    Raises:
        StorageError: the file is not what was written.
        OSError: there is none, or it cannot be read.
    """
    path = folder / NOISE_FILE
    if path.stat().st_size > _LONGEST_NOISE_FILE:
        raise _damaged(path)
    try:
        noise = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        raise _damaged(path) from None
    if not isinstance(noise, list) or not all(map(_is_noise, noise)):
        raise _damaged(path)
    return tuple(noise)


def _is_noise(number: object) -> bool:
    return type(number) is int and -_LARGEST_NOISE <= number < _LARGEST_NOISE


def _damaged(path: Path) -> StorageError:
    return StorageError(
        f"{path} is damaged: it is not what this node has written",
        "Restore the storage folder from a copy. The round must not be drawn anew.",
    )
