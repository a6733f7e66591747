"""What came of fuzzing one target, and the inputs of what was found."""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Outcome:
    """What came of one target.

    Attributes:
        coverage: branches of mpcseg that inputs reached, as libFuzzer counts them.
        findings: how often, by what was raised and where.
        died: times that the fuzzing process itself ended: of a crash, a hang or its memory.
    """

    target: str
    seconds: float = 0.0
    inputs: int = 0
    accepted: int = 0
    coverage: int = 0
    findings: dict[str, int] = field(default_factory=dict)
    died: int = 0

    def add(self, part: Outcome) -> None:
        """Add what another process did with the same target."""
        self.seconds += part.seconds
        self.inputs += part.inputs
        self.accepted += part.accepted
        for what, count in part.findings.items():
            self.findings[what] = self.findings.get(what, 0) + count


class Watch:
    """Counts inputs, and keeps the first of each kind of finding; saves the tally as it goes.

    Args:
        target: its name.
        output: the run's folder.
    """

    def __init__(self, target: str, output: Path) -> None:
        self.outcome = Outcome(target)
        self.folder = output / "crashes" / target
        self.folder.mkdir(parents=True, exist_ok=True)
        self._tally = tally(output, target)
        self._began = self._saved = time.monotonic()

    def count(self, accepted: bool) -> None:
        """Count an input."""
        self.outcome.inputs += 1
        self.outcome.accepted += accepted
        if time.monotonic() - self._saved > 1.0:
            self.save()

    def keep(self, what: str, data: bytes) -> None:
        """Note a finding, and keep its input if it is the first of this kind."""
        findings = self.outcome.findings
        if what not in findings:
            name = hashlib.sha256(what.encode()).hexdigest()[:12]
            (self.folder / name).write_bytes(data)
            (self.folder / f"{name}.txt").write_text(f"{what}\n\n{traceback.format_exc()}")
        findings[what] = findings.get(what, 0) + 1
        self.save()

    def save(self) -> None:
        """Write the tally, which outlives this process."""
        self._saved = time.monotonic()
        self.outcome.seconds = self._saved - self._began
        self._tally.write_text(json.dumps(asdict(self.outcome)))


def tally(output: Path, target: str) -> Path:
    """Where a target's tally is kept."""
    return output / f"{target}.json"


def place_of(error: Exception) -> str:
    """What was raised, and where in mpcseg."""
    frames = traceback.extract_tb(error.__traceback__)
    last = ([frame for frame in frames if "/mpcseg/" in frame.filename] or list(frames))[-1]
    return f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}"
