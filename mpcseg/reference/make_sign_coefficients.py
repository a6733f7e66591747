"""Write the cache of sign polynomials: ``python -m mpcseg.reference.make_sign_coefficients``.

For developers, after a change of `mpcseg.reference.sign.THRESHOLDS`; the package only reads the
file, and a test recomputes it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mpcseg.reference.sign import COEFFICIENT_FILE, COMMAND, THRESHOLDS, compute_sign


def sign_table() -> dict[str, Any]:
    """Compute every composite of `THRESHOLDS`, in the layout of the cache file."""
    composites = []
    for degrees, threshold in THRESHOLDS.items():
        sign = compute_sign(degrees, threshold)
        composites.append(
            {
                "degrees": list(degrees),
                "threshold": threshold,
                "error": sign.error,
                "stages": [stage.tolist() for stage in sign.stages],
            }
        )
    return {"made_with": COMMAND, "composites": composites}


def main() -> None:
    """Write the cache file next to this module."""
    target = Path(__file__).with_name(COEFFICIENT_FILE)
    target.write_text(json.dumps(sign_table(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
