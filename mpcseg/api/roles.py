"""Each role's node for a program: what `mpcseg party`, `key` and `compute` do, in Python.

The same configuration, checks, logs and errors as the commands, so that a node behaves alike
whoever started it. A node that was stopped goes on when the same is run again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Generic, Self, TypeVar

from mpcseg.audit.records import NodeRole
from mpcseg.cli.agreed import study_to_end
from mpcseg.cli.closing import DEFAULT_PATIENCE
from mpcseg.cli.config import (
    ComputeConfig,
    KeyConfig,
    NodeConfig,
    PartyConfig,
    load_config,
)
from mpcseg.cli.observed import Observers, label, observers
from mpcseg.cli.passphrase import load_own_identity
from mpcseg.cli.progress import ProgressMode
from mpcseg.cli.starting import (
    cohort_of,
    compute_studies,
    former_of,
    key_study,
    lead,
    party_study,
    take_part,
)
from mpcseg.cli.suspension import suspendable
from mpcseg.customers.cohort import Cohort
from mpcseg.customers.labels import LabelSummary, label_customers
from mpcseg.errors import AgreementError, MpcsegError
from mpcseg.nodes.compute import serve_studies
from mpcseg.nodes.hosting import verify_distinct
from mpcseg.nodes.party import prepare
from mpcseg.nodes.progress import NamedProgress, Progress, SeveralProgress, SilentProgress
from mpcseg.nodes.requests import close_study, fetch_results, study_status, withdraw
from mpcseg.nodes.summary import ComputeSummary, KeySummary, PartySummary
from mpcseg.study.agreement import verify_member
from mpcseg.study.identity import Identity, load_identity
from mpcseg.study.nearest import ReleasedCentroids
from mpcseg.study.results import Results, open_results
from mpcseg.study.spec import StudySpec
from mpcseg.wire.study_status import StudyStatus

Config = TypeVar("Config", bound=NodeConfig)


class _Node(Generic[Config]):
    """What the roles have in common.

    Args:
        config: of the role.
        passphrase: of the identity; where it has one and None is given, it is taken from the
            environment or asked for, as the commands do.

    Raises:
        ConfigError: the identity is absent or not in order.
        PassphraseError: its passphrase is missing or wrong.
    """

    _model: ClassVar[type[NodeConfig]]
    _role: ClassVar[NodeRole]

    def __init__(self, config: Config, *, passphrase: str | None = None) -> None:
        self.config = config
        self.identity = (
            load_own_identity(config.identity)
            if passphrase is None
            else load_identity(config.identity, passphrase)
        )

    @classmethod
    def of(
        cls, file: Path | None = None, *, passphrase: str | None = None, **fields: object
    ) -> Self:
        """Make one of a configuration file, of fields, or of both.

        Args:
            file: a TOML file as in ``parties/``; its relative paths count from its folder.
            passphrase: of the identity.
            fields: of the role's configuration; they count more than the file's.

        Raises:
            ConfigError: a field is missing, unknown or wrong; or as when it is made otherwise.
        """
        config = load_config(cls._model, file, fields)
        return cls(config, passphrase=passphrase)  # type: ignore[arg-type]  # it is of _model

    @contextmanager
    def _watched(
        self, specs: Sequence[StudySpec], folder: Path, progress: Progress | None
    ) -> Iterator[tuple[dict[StudySpec, Progress], Observers]]:
        """Open the log and the metrics that the configuration asks for, and add the caller's.

        The log says which error left the block; how each study ended otherwise, the block tells
        `Observers.ended`.
        """
        own = progress or SilentProgress()
        with (
            observers(
                ProgressMode.NONE, self.config, self.identity.name, self._role, folder
            ) as watching,
            watching.of_several(specs) as told,
        ):
            each: dict[StudySpec, Progress] = {
                spec: SeveralProgress(
                    [told[spec], own if len(specs) == 1 else NamedProgress(own, label(spec))]
                )
                for spec in specs
            }
            yield each, watching

    @contextmanager
    def _watched_alone(
        self, spec: StudySpec, folder: Path, progress: Progress | None
    ) -> Iterator[Progress]:
        """As `_watched` for a node of one study, which ended well if nothing was raised."""
        with self._watched([spec], folder, progress) as (told, watching):
            yield told[spec]
            watching.ended([spec], {})


class PartyClient(_Node[PartyConfig]):
    """A party node: encrypts an organisation's records, and opens what the organisation receives.

    Args:
        config: ``data`` may also be a DataFrame.
        passphrase: as above.
    """

    _model = PartyConfig
    _role = "party"

    def cohort(self) -> Cohort:
        """Read the table, and show who would take part; sends nothing (a dry run).

        Raises:
            MpcsegError: what `run` raises before anything is sent.
        """
        spec = party_study(self.config)
        cohort = cohort_of(self.config, spec, SilentProgress())
        prepare(spec, self.identity, cohort)
        return cohort

    def run(self, progress: Progress | None = None, *, restart: bool = False) -> PartySummary:
        """Check the agreement and the policy, encrypt, send, and wait until there are results.

        Args:
            progress: told what happens; None for nobody.
            restart: send everything again, whatever an earlier process has sent.

        Raises:
            AgreementError: the agreement is not in order, or the policy does not allow it.
            DataError: the table cannot be used.
            NodeError: the study cannot go on; says why.
            SuspendedError: Ctrl-C or SIGTERM; it goes on when this is run again.
        """
        config, spec = self.config, party_study(self.config)
        with self._watched_alone(spec, config.audit, progress) as told, suspendable():
            return take_part(config, spec, self.identity, told, restart=restart)

    def results(self, *, patience: float = DEFAULT_PATIENCE) -> Results:
        """Fetch what is sealed to this organisation, and open it; as often as it likes.

        Args:
            patience: seconds to wait for a compute node that does not answer.

        Raises:
            AgreementError: the agreement gives this organisation nothing.
            ProtocolError: the study is not finished yet.
            SealError: what was fetched is not what the key node sealed.
            NodeError: the compute node does not answer; says why.
        """
        return _fetched(self.config, self.identity, self.config.audit, patience)

    def status(self, *, patience: float = DEFAULT_PATIENCE) -> StudyStatus:
        """Ask the compute node how far the study is; also after the agreement's last day.

        Raises:
            AgreementError: the agreement, or a renewal, is not in order.
            NodeError: the compute node does not answer; says why.
        """
        return _status(self.config, self.identity, patience)

    def withdraw(self, *, patience: float = DEFAULT_PATIENCE) -> bytes:
        """Withdraw from the study before its first round, which ends it for all.

        Returns:
            The signed closing record, checked.

        Raises:
            AgreementError: the agreement, or a renewal, is not in order.
            ProtocolError: the first round was opened already.
            NodeError: as the compute node, or the way to it, says.
        """
        spec = _to_end(self.config, self.identity)
        return withdraw(
            spec, self.identity, self.config.address, SilentProgress(), patience=patience
        )

    def label(self, results: Results, output: Path, *, overwrite: bool = False) -> LabelSummary:
        """Write each own customer's segment to a file, on this machine alone.

        Args:
            results: of `results`.
            output: a ``.csv`` or ``.parquet`` file to be made.
            overwrite: replace the file if there is one.

        Raises:
            AgreementError: the agreement gives this organisation no centroids.
            ConfigError: the table has no column of identifiers.
            OutputError: the file exists, is of another kind or cannot be written.
        """
        config, spec = self.config, study_to_end(self.config.study, self.config.renewals)
        if results.centroids is None:
            raise AgreementError(
                f"the agreement gives '{results.recipient}' no centroids, so that there is nothing "
                "to label by",
                "Who receives what is in the agreement: mpcseg study show FILE",
            )
        return label_customers(
            config.source,
            spec,
            ReleasedCentroids.of_results(spec, results),
            output,
            columns=config.columns,
            opt_out=config.opt_out,
            overwrite=overwrite,
        )


class KeyClient(_Node[KeyConfig]):
    """The key node: makes the keys, leads the rounds, and seals the results.

    Args:
        config: of the key node.
        passphrase: as above.
    """

    _model = KeyConfig
    _role = "key"

    def run(self, progress: Progress | None = None) -> KeySummary:
        """Lead the study from its keys to its sealed results.

        Where its organisation receives results, they are opened into the output folder.

        Args:
            progress: told what happens; None for nobody.

        Returns:
            What it measured. Its ``result`` is everything that the node knows, small segments
            too: for trials on data of one's own, never for others.

        Raises:
            AgreementError: the agreement is not in order, its budget is spent, or the policy does
                not allow it.
            NodeError: the study cannot go on; says why.
            SuspendedError: Ctrl-C or SIGTERM; it goes on when this is run again.
        """
        config = self.config
        spec = key_study(config)
        former = former_of(config, spec, self.identity)
        with self._watched_alone(spec, config.output, progress) as told, suspendable():
            return lead(config, spec, self.identity, former, told)[0]

    def results(self, *, patience: float = DEFAULT_PATIENCE) -> Results:
        """Fetch what is sealed to this organisation, and open it; as of a party."""
        return _fetched(self.config, self.identity, self.config.output, patience)

    def status(self, *, patience: float = DEFAULT_PATIENCE) -> StudyStatus:
        """Ask the compute node how far the study is; as of a party."""
        return _status(self.config, self.identity, patience)

    def close(self, *, patience: float = DEFAULT_PATIENCE) -> bytes:
        """Close the study: the compute node deletes everything, the key node its secret key.

        Returns:
            The signed closing record, checked.

        Raises:
            AgreementError: the agreement, or a renewal, is not in order.
            StudyClosedError: it is closed already.
            NodeError: as the compute node, or the way to it, says.
        """
        spec = _to_end(self.config, self.identity)
        return close_study(
            spec, self.identity, self.config.address, SilentProgress(), patience=patience
        )


class ComputeServer(_Node[ComputeConfig]):
    """The compute node: serves its studies until they are closed.

    Args:
        config: of the compute node; ``study`` is one agreement or several.
        passphrase: as above.
    """

    _model = ComputeConfig
    _role = "compute"

    def run(self, progress: Progress | None = None) -> dict[str, ComputeSummary | MpcsegError]:
        """Serve until all studies are over.

        In a script this must be under ``if __name__ == "__main__":``, since the worker processes
        look at the script too. In the main thread SIGTERM and Ctrl-C stop it in good order.

        Args:
            progress: told what happens; where there are several studies, under their names and the
                first digits of their digests. The event "listening" has the address.

        Returns:
            By the agreement's digest what was measured, or why the study ended early.

        Raises:
            AgreementError: an agreement is not in order, or the policy does not allow it.
            ConfigError: the identity or the address cannot be used.
        """
        config = self.config
        specs = compute_studies(config)
        verify_distinct(specs)
        with self._watched(specs, config.storage, progress) as (told, watching):
            done = serve_studies(
                told,
                self.identity,
                config.listen,
                config.storage,
                config.workers,
                patience=config.patience,
                arrival=config.arrival,
                max_blocks=config.max_blocks,
            )
            watching.ended(specs, done)
        return done


def _to_end(config: PartyConfig | KeyConfig, identity: Identity) -> StudySpec:
    """The study of an organisation that ends it or asks for it, whatever its last day was."""
    spec = study_to_end(config.study, config.renewals)
    verify_member(spec, identity)
    return spec


def _status(config: PartyConfig | KeyConfig, identity: Identity, patience: float) -> StudyStatus:
    spec = _to_end(config, identity)
    return study_status(spec, identity, config.address, SilentProgress(), patience=patience)


def _fetched(
    config: PartyConfig | KeyConfig, identity: Identity, audit: Path, patience: float
) -> Results:
    """What is sealed to an organisation, fetched and opened."""
    spec = _to_end(config, identity)
    sealed = fetch_results(
        spec,
        identity,
        config.address,
        SilentProgress(),
        audit=audit,
        patience=patience,
        proxy=config.proxy,
    )
    return open_results(spec, identity, sealed)
