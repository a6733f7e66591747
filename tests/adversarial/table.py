"""What the attack tests print; pytest shows it with -s."""

from __future__ import annotations

import sys

_WIDTHS = (50, 16)


def show(attack: str, noise: str, outcome: str) -> None:
    """Print one row: what was tried, against which noise, and how often it succeeded."""
    sys.stdout.write(f"\n  {attack:<{_WIDTHS[0]}} {noise:<{_WIDTHS[1]}} {outcome}")
    sys.stdout.flush()


def percent(share: float) -> str:
    """A share to a tenth of a percent."""
    return f"{100 * share:.1f} %"
