"""For every test."""

from __future__ import annotations

import os

# Where these are set, pytest works out the whole difference of two values that should be equal:
# of two ciphertexts, for longer than any time limit. The beginning is enough, as everywhere else.
for name in ("CI", "BUILD_NUMBER"):
    os.environ.pop(name, None)
