"""Private files: for their owner only, and never somewhere else than it looks."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mpcseg.private import open_private


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "ledger.json"
    path.touch()
    path.chmod(0o666)
    with open_private(path) as file:
        file.write(b"x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"kept")
    link.symlink_to(target)
    with pytest.raises(OSError, match="link"):
        open_private(link)
    assert target.read_bytes() == b"kept"
