"""The commands of `mpcseg`, each imported when it is run or its help is shown, and not before.

All of them together import data frames, statistics and plots, which takes seconds; most need little
of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from functools import cache
from importlib import import_module
from typing import Any, Literal, cast

import typer
from typer.core import TyperGroup

NAMES = (
    "demo",
    "report",
    "plan",
    "kit",
    "shapes",
    "drift",
    "identity",
    "study",
    "party",
    "compute",
    "key",
    "storage",
    "audit",
    "health",
)
"""Each is a module of this package that has a group ``app``, or a function of its own name."""

MARKUP: Literal["markdown"] = "markdown"


class _Commands(Mapping[str, Any]):
    """Commands by name, in the order of the help."""

    def __getitem__(self, name: str) -> Any:
        if name not in NAMES:
            raise KeyError(name)
        return _load(name)

    def __contains__(self, name: object) -> bool:
        return name in NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


class Commands(TyperGroup):
    """The root group, whose commands are those of `NAMES`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = cast("MutableMapping[str, Any]", _Commands())


@cache
def _load(name: str) -> Any:
    module = import_module(f"mpcseg.cli.{name}")
    around = typer.Typer(rich_markup_mode=MARKUP, add_completion=False)
    around.callback()(lambda: None)  # so that it is a group, even of one command
    if hasattr(module, "app"):
        around.add_typer(module.app, name=name)
    else:
        around.command(name)(getattr(module, name))
    group: Any = typer.main.get_command(around)
    return group.commands[name]
