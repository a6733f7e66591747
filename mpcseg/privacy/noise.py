"""Integer discrete Gaussian noise, drawn by OpenDP from its own cryptographic generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import cast

# Not opendp.prelude: that imports scikit-learn where it is installed, which takes seconds.
from opendp.domains import atom_domain
from opendp.measurements import make_gaussian
from opendp.metrics import absolute_distance
from opendp.mod import enable_features

# A draw beyond ten standard deviations happens once in 10^23: it stays inside 64 bits.
_LARGEST_STD = 2.0**59


def draw(std: float) -> int:
    """Draw one integer from the discrete Gaussian distribution with mean 0.

    Run by the compute node for every released sum, and by the key node where the compute node's
    organisation receives results. The draw is exact (Canonne, Kamath and Steinke, 2020): no
    floating-point number has a part in it but the parameter.

    Args:
        std: the distribution's parameter in integer units. It is the standard deviation to within
            a part in 10^7 from 1 unit on, and noise in this project has thousands of units.

    Returns:
        0 for a std of 0.

    Raises:
        ValueError: for a std that is negative, not finite or larger than 64 bits allow.
    """
    if std == 0:
        return 0
    if not 0 < std <= _LARGEST_STD or math.isnan(std):
        raise ValueError(f"noise of standard deviation {std} cannot be drawn")
    return _sampler(float(std))(0)


@lru_cache(maxsize=256)
def _sampler(std: float) -> Callable[[int], int]:
    enable_features("contrib")
    return cast(
        "Callable[[int], int]",
        make_gaussian(atom_domain(T="i64"), absolute_distance(T=float), scale=std),
    )
