"""One target under atheris, in a process of its own; `tests.fuzz.long` starts it.

python -m tests.fuzz.guided TARGET SECONDS FOLDER
"""

from __future__ import annotations

import hashlib
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import atheris

# The branches of mpcseg guide the fuzzer; it can see those of modules alone that it loads here.
with atheris.instrument_imports(include=["mpcseg"]):
    from tests.fuzz.outcome import Watch, place_of
    from tests.fuzz.target import Target
    from tests.fuzz.targets import TARGETS

_SLOW_SECONDS = 5.0
_MEMORY_MB = 4096


def fuzz(target: Target, seconds: int, output: Path) -> None:
    """Fuzz one target; does not return."""
    corpus = output / "corpus" / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    for data in (*target.seeds(), *(path.read_bytes() for path in target.corpus())):
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    watch = Watch(target.name, output)

    def one_input(data: bytes) -> None:
        began, accepted = time.monotonic(), False
        try:
            accepted = target.run(data)
        except Exception as error:
            watch.keep(place_of(error), data)
        if time.monotonic() - began > _SLOW_SECONDS:
            watch.keep(f"an input took longer than {_SLOW_SECONDS:g} s", data)
        watch.count(accepted)

    arguments = [
        sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-max_len={target.longest}",
        f"-artifact_prefix={watch.folder}/", f"-rss_limit_mb={_MEMORY_MB}", "-timeout=30",
        "-print_final_stats=1", "-reload=0",
    ]  # fmt: skip
    atheris.Setup(arguments, one_input, custom_mutator=_mutator(target))
    atheris.Fuzz()


def _mutator(target: Target) -> Callable[[bytes, int, int], bytes]:
    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        source = random.Random(seed)
        if source.random() < 0.3:
            return bytes(atheris.Mutate(data, longest))
        return source.choice(target.mutators)(source, data)[:longest]

    return mutate


if __name__ == "__main__":
    fuzz(TARGETS[sys.argv[1]], int(sys.argv[2]), Path(sys.argv[3]))
