"""What watches a node while it runs: the screen, a log for machines, and metrics."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mpcseg import __version__
from mpcseg.cli.config import NodeConfig
from mpcseg.cli.progress import ProgressMode, open_progress
from mpcseg.errors import ConfigError, MpcsegError
from mpcseg.nodes.metrics import MetricsServer, NodeMetrics
from mpcseg.nodes.progress import NamedProgress, Progress, SeveralProgress
from mpcseg.report.structured_log import STANDARD_OUTPUT, LogFile, StructuredLog, ending
from mpcseg.study.spec import StudySpec

_DIGEST_DIGITS = 8


def label(spec: StudySpec) -> str:
    """What a study is called where there are several, which may have the same name."""
    return f"{spec.name} ({spec.digest[:_DIGEST_DIGITS]})"


class Observers:
    """Who is told what a node does, for each study of its process.

    Args:
        node: the organisation.
        role: party, compute or key.
        screen: shows all studies.
        log_file: gets the lines of all of them; None for no log.
        metrics: counts for all of them; None for no metrics.
    """

    def __init__(
        self,
        node: str,
        role: str,
        screen: Progress,
        log_file: LogFile | None,
        metrics: NodeMetrics | None,
    ) -> None:
        self._node, self._role = node, role
        self._screen, self._log_file, self._metrics = screen, log_file, metrics
        self._logs: dict[str, StructuredLog] = {}
        self._began = time.monotonic()

    @contextmanager
    def of(self, spec: StudySpec) -> Iterator[Progress]:
        """Everything that the node of one study reports to; the log says how the block ended."""
        with self.of_several([spec]) as told:
            yield told[spec]
        self.ended([spec], {})

    @contextmanager
    def of_several(self, specs: Sequence[StudySpec]) -> Iterator[dict[StudySpec, Progress]]:
        """Everything that a process of several studies reports to, by study.

        The logs say by which error the block was left; `ended` says how each study ended otherwise.
        """
        told: dict[StudySpec, Progress] = {}
        for spec in specs:
            screen = self._screen
            others = [screen if len(specs) == 1 else NamedProgress(screen, label(spec))]
            if self._metrics is not None:
                others.append(self._metrics.of(spec))
            if self._log_file is not None:
                log = self._log_file.of(spec, self._node, self._role)
                log.event("started", version=__version__, pid=os.getpid())
                self._logs[spec.digest] = log
                others.append(log)
            told[spec] = SeveralProgress(others)
        try:
            yield told
        except BaseException as error:
            for log in self._logs.values():
                kind, facts = ending(error)
                log.event(kind, **facts)
            raise

    def ended(self, specs: Sequence[StudySpec], outcomes: Mapping[str, object]) -> None:
        """Log how each study ended, where it was not by an error of the process."""
        for spec in specs:
            if (log := self._logs.get(spec.digest)) is None:
                continue
            outcome = outcomes.get(spec.digest)
            if isinstance(outcome, MpcsegError):
                kind, facts = ending(outcome)
                log.event(kind, **facts)
            else:
                log.event("ended", seconds=round(time.monotonic() - self._began, 3))


@contextmanager
def observers(
    mode: ProgressMode, settings: NodeConfig, node: str, role: str, folder: Path
) -> Iterator[Observers]:
    """Open what the operator has asked for, for as long as the process runs.

    Args:
        mode: of the screen.
        settings: say whether there is a log, and metrics.
        node: the organisation.
        role: party, compute or key.
        folder: whose disk the metrics watch.

    Raises:
        ConfigError: the log and the JSON reports would share standard output.
        OutputError: the log cannot be written.
        ListenError: metrics cannot be served there.
    """
    with ExitStack() as stack:
        screen = stack.enter_context(open_progress(_screen_mode(mode, settings)))
        log_file = None
        if settings.log_file is not None:
            log_file = stack.enter_context(LogFile(settings.log_file))
        metrics = None
        if settings.metrics is not None:
            metrics = NodeMetrics(node, role, folder)
            server = stack.enter_context(MetricsServer(metrics, settings.metrics))
            screen.event("metrics", address=server.address)
        yield Observers(node, role, screen, log_file, metrics)


def _screen_mode(mode: ProgressMode, settings: NodeConfig) -> ProgressMode:
    if settings.log_file != STANDARD_OUTPUT:
        return mode
    if mode is ProgressMode.JSON:
        raise ConfigError(
            "the log and `--progress json` would both be written to standard output",
            "Name a file for the log: --log-file FILE",
        )
    return ProgressMode.NONE if mode is ProgressMode.AUTO else mode
