"""What each role is configured with: a TOML file, and options that override it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from mpcseg.audit.records import RecoveryKind
from mpcseg.customers.source import TableSource, is_database
from mpcseg.errors import ConfigError
from mpcseg.nodes.pace import LEAST_MBIT
from mpcseg.nodes.roles import MAX_BLOCKS
from mpcseg.nodes.route import parse_proxy
from mpcseg.study.documents import check, read_toml

if TYPE_CHECKING:
    import pandas as pd

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:/]+):([0-9]{1,5})")
_FINGERPRINT = re.compile(r"[0-9a-fA-F]{64}")
_LARGEST_PORT = 65535


def _listen_address(text: str) -> str:
    parts = _ADDRESS.fullmatch(text)
    if parts is None:
        raise ValueError("must be HOST:PORT, as in hub.example.org:7443")
    if int(parts[2]) > _LARGEST_PORT:
        raise ValueError(f"must be HOST:PORT with a port from 1 to {_LARGEST_PORT}")
    return text


def _address(text: str) -> str:
    if int(_listen_address(text).rpartition(":")[2]) == 0:
        raise ValueError(f"must be HOST:PORT with a port from 1 to {_LARGEST_PORT}")
    return text


def _fingerprint(text: str) -> str:
    if not _FINGERPRINT.fullmatch(text):
        raise ValueError("must be 64 hexadecimal digits")
    return text


def _proxy(text: str) -> str:
    if text:
        try:
            parse_proxy(text, "it")
        except ConfigError:
            raise ValueError("must be http://HOST:PORT, or empty for no proxy") from None
    return text


def _data(value: object) -> Path | str | pd.DataFrame:
    """A file as a path, and a database's URL as it is: a path would lose one of its slashes."""
    if isinstance(value, str | Path):
        return str(value) if is_database(value) else Path(value)
    import pandas as pd  # noqa: PLC0415  half a second, which other nodes have no use for

    if isinstance(value, pd.DataFrame):  # of a program; no file and no option can be one
        return value
    raise ValueError("must be a file or the URL of a database")


def _several(value: object) -> object:
    """One file as a list of one."""
    return (value,) if isinstance(value, str | Path) else value


Address = Annotated[str, AfterValidator(_address)]
# Port 0 takes a free one.
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
Fingerprint = Annotated[str, AfterValidator(_fingerprint)]
ProxyUrl = Annotated[str, AfterValidator(_proxy)]
# Any is a DataFrame.
Data = Annotated[Path | str | Any, BeforeValidator(_data)]

# A line may be down for hours, and whoever mends it sleeps at night; organisations start theirs
# within hours.
DEFAULT_PATIENCE = 86_400.0
DEFAULT_ARRIVAL = 4 * 3600.0


METRICS_OF_IMAGE = "MPCSEG_IMAGE_METRICS"
"""The image's word on metrics, which counts less than a configuration file; MPCSEG_METRICS is the
operator's, and counts more."""

AUDIT_FOLDER = Path("mpcseg-audit")
"""Where an organisation's logs stand if nothing else is said; those of servers stand elsewhere."""


class NodeConfig(BaseModel):
    """What every role has.

    Attributes:
        identity: the folder that ``mpcseg identity new`` made.
        policy: the floors that this organisation has set for itself; None for none.
        renewals: the renewals of certificates that everybody has signed, in order.
        patience: seconds to wait for a node that does not answer before giving up.
        log_file: where the node writes its log, one JSON object per line; ``-`` for standard
            output; None for none.
        metrics: ``host:port`` on which Prometheus may scrape the node; None for none. Where nothing
            is said, what the container image says, if the node runs in one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    identity: Path
    policy: Path | None = None
    renewals: Annotated[tuple[Path, ...], BeforeValidator(_several)] = ()
    patience: float = Field(default=DEFAULT_PATIENCE, gt=0)
    log_file: Path | None = None
    metrics: ListenAddress | None = Field(
        default_factory=lambda: os.environ.get(METRICS_OF_IMAGE) or None, validate_default=True
    )


class OneStudyConfig(NodeConfig):
    """A node of one study.

    Attributes:
        study: the agreement that all nodes share.
    """

    study: Path


class PartyConfig(OneStudyConfig):
    """A party node.

    Attributes:
        address: ``host:port`` of the compute node.
        data: the customer table: a CSV or Parquet file; or a SQLAlchemy URL, whose relative paths
            count from the working directory; or ``env`` for the URL in MPCSEG_DATABASE_URL; or, of
            a program, a DataFrame. Not shown, since a URL may hold a password.
        table: the table or view, where ``data`` is a database.
        id_column: the identifiers, for the check that no customer stands twice.
        opt_out: a list of identifiers of customers to leave out.
        columns: agreed name (a feature's, or the consent column's) to the table's own column name,
            where they differ.
        key_fingerprint: SHA-256 that the public encryption key must have, where it was agreed on
            by telephone; the key node's signature is checked in any case.
        audit: the folder of this organisation's audit logs.
        proxy: the HTTP proxy on the way to the compute node; "" for none, and what the environment
            says (https_proxy and so on) where left out. Not shown: a URL may hold a password.
        max_upload_mbit: megabits per second that this node sends with at most.
    """

    address: Address
    data: Data = Field(repr=False)
    table: str | None = None
    id_column: str | None = None
    opt_out: Path | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    key_fingerprint: Fingerprint | None = None
    audit: Path = AUDIT_FOLDER
    proxy: ProxyUrl | None = Field(default=None, repr=False)
    max_upload_mbit: float | None = Field(default=None, ge=LEAST_MBIT)

    @property
    def source(self) -> TableSource:
        """Where the customer table is.

        Raises:
            ConfigError: a database without a table, or a file with one.
        """
        return TableSource(self.data, self.id_column, self.table)


class KeyConfig(OneStudyConfig):
    """The key node.

    Attributes:
        address: ``host:port`` of the compute node.
        proxy: as of a party.
        output: the folder for the results.
        recovery: "sealed" to keep what the node needs to go on after it was stopped or killed, the
            secret key among it, sealed to its own identity; "none" to keep nothing.
        former_study: the agreement of the study that this one follows; None where it follows none.
        former_sealed: the results of it that were sealed to this organisation, as they came.
    """

    address: Address
    proxy: ProxyUrl | None = Field(default=None, repr=False)
    output: Path
    recovery: RecoveryKind = "sealed"
    former_study: Path | None = None
    former_sealed: Path | None = None


class ComputeConfig(NodeConfig):
    """The compute node.

    Attributes:
        study: the agreements of the studies that it serves, one or several.
        listen: ``host:port`` to listen on.
        storage: the folder for keys and ciphertexts, tens of megabytes per party and more.
        workers: worker processes; one per processor core where left out.
        arrival: seconds, from the first node's coming, to wait for all the others.
        max_blocks: blocks that one party may send, unless its ``most_records`` sets it to one.
    """

    study: Annotated[tuple[Path, ...], BeforeValidator(_several), Field(min_length=1)]
    listen: ListenAddress
    storage: Path
    workers: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1)
    arrival: float = Field(default=DEFAULT_ARRIVAL, gt=0)
    max_blocks: int = Field(default=MAX_BLOCKS, ge=1)


class _Reached(BaseModel):
    address: Address


def verify_address(address: str) -> None:
    """Check the address of a command that has no other settings, in the words of those that have.

    Raises:
        ConfigError: not HOST:PORT. Asking it would fail too, but only after all retries.
    """
    hint = "Write it as in: --address hub.example.org:7443"
    check(_Reached, {"address": address}, "the command line", hint=hint)


Config = TypeVar("Config", bound=NodeConfig)


def load_config(model: type[Config], file: Path | None, options: Mapping[str, object]) -> Config:
    """Read a role's file and lay the command line's options over it.

    Args:
        model: the role's model.
        file: the TOML file; its relative paths count from its own folder. None for options alone.
        options: fields given on the command line, None where not; relative paths count from the
            working directory.

    Raises:
        ConfigError: the file is absent or unreadable, or a field is missing, unknown or wrong.
    """
    data: dict[str, Any] = read_toml(file, "the configuration file") if file else {}
    for name, field in model.model_fields.items():
        value, kinds = data.get(name), {field.annotation, *get_args(field.annotation)}
        is_file = Path in kinds or tuple[Path, ...] in kinds
        if file and is_file and isinstance(value, str) and value != "-":
            is_path = str not in kinds or not is_database(value)
            data[name] = file.parent / value if is_path else value
        if file and name in {"study", "renewals"} and isinstance(value, list):
            data[name] = [file.parent / v if isinstance(v, str) else v for v in value]
    data.update({name: value for name, value in options.items() if value is not None})
    source = f"the configuration file {file}" if file else "the command line"
    hint = "See the template in parties/ and `--help`: each field is in the file or an option."
    return check(model, data, source, hint=hint)
