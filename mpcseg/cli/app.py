"""The command ``mpcseg``: its groups, and how failures look to a person and to a script."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from mpcseg import __version__
from mpcseg.cli.commands import MARKUP, Commands
from mpcseg.errors import MpcsegError
from mpcseg.nodes.lifetime import end_with_parent
from mpcseg.text import one_line

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

app = typer.Typer(
    name="mpcseg",
    cls=Commands,
    help=(
        "Joint customer segmentation in which nobody sees a customer.\n\n"
        "Several organisations find common customer segments without showing their tables to "
        "anyone: records travel and are clustered as ciphertexts only. Start with `mpcseg demo`."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with local variables would show records
    rich_markup_mode=MARKUP,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mpcseg {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show version.")
    ] = False,
) -> None:
    """Hold the options that stand before a command."""


def main() -> NoReturn:
    """Run the command line and leave with the error's exit status.

    0 is success, 2 a command line that cannot be read, 130 and 143 an interruption; the others are
    in `mpcseg.errors`. A failure is one line on standard error and a hint on the next.
    """
    terminated = False

    def on_terminate(_signal: int, _frame: FrameType | None) -> None:
        # From here on the same way as Ctrl-C: everything below cleans up on it already.
        nonlocal terminated
        terminated = True
        signal.raise_signal(signal.SIGINT)

    # gRPC's own log repeats, without context, what the errors below say.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    # A shell starts background jobs with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, on_terminate)
    end_with_parent()
    try:
        app()
        status = 0
    except MpcsegError as error:
        _show(error.message, error.hint)
        _show_traceback()
        status = error.exit_status
    except KeyboardInterrupt:
        status = INTERRUPTED
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except Exception as error:
        _show(
            f"unexpected {type(error).__name__} {_place(error)}",
            "This is a defect of mpcseg. MPCSEG_DEBUG=1 shows where; read it before you pass it "
            "on, for it may quote your data.",
        )
        _show_traceback()
        status = MpcsegError.exit_status
    if status == INTERRUPTED:
        _show("terminated" if terminated else "interrupted", "")
        status = TERMINATED if terminated else INTERRUPTED
    sys.exit(status)


def _show(message: str, hint: str) -> None:
    print(f"error: {one_line(message)}", file=sys.stderr)  # noqa: T201  plain: no wrapping, no colour
    if hint:
        print(f"hint: {one_line(hint)}", file=sys.stderr)  # noqa: T201


def _show_traceback() -> None:
    if os.environ.get("MPCSEG_DEBUG") == "1":
        traceback.print_exc()


def _place(error: Exception) -> str:
    """The innermost line of mpcseg in a traceback."""
    package = Path(__file__).parents[1]
    ours = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(package)
    ]
    if not ours:
        return "outside mpcseg"
    return f"at {Path(ours[-1].filename).relative_to(package.parent)}:{ours[-1].lineno}"
