"""The privacy budget on a command line: a number, or the word none."""

from __future__ import annotations

from typing import Literal

from mpcseg.errors import ConfigError
from mpcseg.study.spec import Privacy

DEFAULT_EPSILON = str(Privacy().epsilon)


def parse_epsilon(text: str) -> float | Literal["none"]:
    """Read ``--epsilon``; whether the number makes sense is for the agreement to say.

    Raises:
        ConfigError: neither a number nor ``none``.
    """
    if text == "none":
        return "none"
    try:
        return float(text)
    except ValueError:
        raise ConfigError(
            f"--epsilon {text} is neither a number nor none", "Write it as in: --epsilon 1"
        ) from None
