"""A key node that tells the test what it knows, and is the product's own otherwise.

    python talking_key.py FILE key run …

Every number that it decrypts, every hyperplane that it encrypts and the result are appended to
FILE, one JSON list a line. The test has to know what to look for in other processes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def tell(path: Path, values: object) -> None:
    """Append numbers to the file."""
    line = json.dumps(np.asarray(values, dtype=np.float64).ravel().tolist())
    with path.open("a") as file:
        file.write(line + "\n")


def told(path: Path) -> list[list[float]]:
    """Everything that was told so far."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def main() -> None:
    """Run a command of mpcseg whose secret key talks."""
    from mpcseg.__main__ import main as run  # noqa: PLC0415  as lazy as the command itself
    from mpcseg.ckks.secret import SecretKey  # noqa: PLC0415
    from mpcseg.study.schedule import Schedule  # noqa: PLC0415

    path = Path(sys.argv.pop(1))

    def talking(method: Callable[..., Any], values: Callable[..., object]) -> Callable[..., Any]:
        def wrapped(self: Any, *arguments: Any, **options: Any) -> Any:
            outcome = method(self, *arguments, **options)
            tell(path, values(outcome, *arguments))
            return outcome

        return wrapped

    def of_result(result: Any, *_: object) -> object:
        tables = (result.cluster_centers, result.segment_sizes, result.segment_means)
        return np.concatenate([np.ravel(table) for table in tables])

    def of_plane(_: object, plane: object, *__: object) -> object:
        return plane

    def of_sum(value: float, *_: object) -> object:
        return value

    SecretKey.encrypt_hyperplane = talking(SecretKey.encrypt_hyperplane, of_plane)  # type: ignore[method-assign]
    SecretKey.decrypt_slot_sum = talking(SecretKey.decrypt_slot_sum, of_sum)  # type: ignore[method-assign]
    Schedule.result = talking(Schedule.result, of_result)  # type: ignore[method-assign]
    run()


if __name__ == "__main__":
    main()
