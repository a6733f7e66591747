"""The commands of nodes: what is checked before a record is read, and what results come to."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from mpcseg.audit.log import AuditLog
from mpcseg.audit.records import Began, StudyEnded
from mpcseg.cli.agreed import study_to_run
from mpcseg.cli.app import app
from mpcseg.errors import (
    AgreementError,
    ConfigError,
    ExpiredError,
    MpcsegError,
    PolicyError,
    SealError,
    SignatureError,
    UnreadableTableError,
)
from mpcseg.study.agreement import freeze, write_agreement
from mpcseg.study.identity import Identity
from mpcseg.study.results import seal_results
from mpcseg.study.spec import StudySpec
from tests.made_up import SPENT, agreed, finished
from tests.organisations import identity as quick_identity
from tests.organisations import save_identity, write_study


@pytest.fixture
def known(tmp_path: Path) -> dict[str, Identity]:
    """Identities in folders of their own, as organisations have them."""
    return {
        name: save_identity(tmp_path / name, name) for name in ("hub", "keeper", "alder", "birch")
    }


@pytest.fixture
def spec(known: dict[str, Identity]) -> StudySpec:
    return agreed(3, known=known)


@pytest.fixture
def agreement(tmp_path: Path, spec: StudySpec, known: dict[str, Identity]) -> Path:
    return write_study(tmp_path / "trial.agreement", spec, known)


@pytest.fixture
def contacts() -> Iterator[tuple[str, list[object]]]:
    """An address, and who has knocked there."""
    knocked: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    connection, peer = listener.accept()
                except OSError:
                    return
                knocked.append(peer)
                connection.close()

        threading.Thread(target=listen, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", knocked


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "customers.csv"
    rng = np.random.default_rng(0)
    rows = [f"c{i},{rng.uniform(0, 400):.0f},{rng.uniform(0, 10_000):.2f}" for i in range(40)]
    path.write_text("\n".join(["id,recency,money", *rows]) + "\n")
    return path


def mpcseg(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error(result: Result) -> MpcsegError:
    assert isinstance(result.exception, MpcsegError), result.output
    return result.exception


NODES = ["party", "key", "compute"]
ORGANISATION = {"party": "alder", "key": "keeper", "compute": "hub"}


def start(
    role: str, study: Path, folder: Path, *more: object, address: str = "127.0.0.1:1"
) -> Result:
    """Start a node whose table, identity and folders do not exist: it must not get that far."""
    arguments: dict[str, list[object]] = {
        "party": ["party", "run", "--data", folder / "absent.csv", "--address", address],
        "key": ["key", "run", "--output", folder / "results", "--address", address],
        "compute": ["compute", "serve", "--storage", folder / "store", "--listen", "127.0.0.1:0"],
    }
    identity = ["--identity", folder / "nobody"]
    return mpcseg(*arguments[role], "--study", study, *identity, "--patience", 1, *more)


@pytest.mark.parametrize("role", NODES)
def test_a_node_refuses_by_policy_and_names_the_rule_before_anything_else(
    tmp_path: Path, agreement: Path, role: str, contacts: tuple[str, list[object]]
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("smallest_segment = 50\n")
    refused = error(start(role, agreement, tmp_path, "--policy", policy, address=contacts[0]))
    assert type(refused) is PolicyError
    assert "smallest_segment is 50, and 20 is agreed" in refused.message
    assert contacts[1] == []
    assert not (tmp_path / "store").exists()


def test_a_policy_speaks_of_the_party_s_own_columns_too(
    tmp_path: Path, agreement: Path, table: Path
) -> None:
    policy, config = tmp_path / "policy.toml", tmp_path / "party.toml"
    policy.write_text('forbidden_columns = ["salary"]\n')
    config.write_text(
        f'study = "{agreement}"\nidentity = "nobody"\npolicy = "policy.toml"\n'
        f'address = "127.0.0.1:1"\ndata = "{table}"\n[columns]\nmoney = "salary"\n'
    )
    assert type(error(mpcseg("party", "run", "--config", config))) is PolicyError


@pytest.mark.parametrize("role", NODES)
def test_a_node_runs_no_agreement_that_is_not_in_order(
    tmp_path: Path, agreement: Path, spec: StudySpec, known: dict[str, Identity], role: str
) -> None:
    def refusal(path: Path) -> type[MpcsegError]:
        return type(error(start(role, path, tmp_path)))

    unsigned = tmp_path / "unsigned.agreement"
    write_agreement(freeze(spec).signed_by(known["alder"]), unsigned)
    assert refusal(unsigned) is SignatureError
    changed = tmp_path / "changed.agreement"
    changed.write_bytes(agreement.read_bytes().replace(b'"n_rounds":2', b'"n_rounds":3'))
    assert refusal(changed) is SignatureError
    spaced = tmp_path / "spaced.agreement"
    spaced.write_bytes(agreement.read_bytes() + b"\n")
    assert refusal(spaced) is AgreementError
    over = write_study(
        tmp_path / "over.agreement", agreed(3, known=known, expires="2020-01-01"), known
    )
    assert refusal(over) is ExpiredError


@pytest.mark.parametrize("role", NODES)
def test_a_node_with_a_study_under_way_goes_on_after_the_last_day(
    tmp_path: Path, known: dict[str, Identity], role: str
) -> None:
    spec = agreed(3, known=known, expires="2020-01-01")
    over = write_study(tmp_path / "over.agreement", spec, known)
    began = Began(version="1", tenseal="1", seal="4", parameter_set="p", parameter_digest="0" * 64)
    with AuditLog(tmp_path, spec, known[ORGANISATION[role]], role) as log:
        log.append(began)
    assert study_to_run(over, None, folder=tmp_path, role=role) == spec
    for other in set(NODES) - {role}:
        with pytest.raises(ExpiredError):
            study_to_run(over, None, folder=tmp_path, role=other)
    if role == "compute":
        with AuditLog(tmp_path, spec, known[ORGANISATION[role]], role) as log:
            log.append(StudyEnded(reason="closed", record="0" * 64))
        with pytest.raises(ExpiredError):
            study_to_run(over, None, folder=tmp_path, role=role)


def test_a_dry_run_shows_the_cohort_and_sends_nothing(
    tmp_path: Path, agreement: Path, table: Path, contacts: tuple[str, list[object]]
) -> None:
    shown = mpcseg(
        "party", "run", "--dry-run", "--study", agreement, "--identity", tmp_path / "alder",
        "--data", table, "--id-column", "id", "--address", contacts[0],
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    assert "recency" in shown.output
    assert "40" in shown.output
    assert contacts[1] == []


def test_a_dry_run_is_for_parties_of_the_study(
    tmp_path: Path, agreement: Path, table: Path
) -> None:
    done = mpcseg(
        "party", "run", "--dry-run", "--study", agreement, "--identity", tmp_path / "keeper",
        "--data", table, "--id-column", "id", "--address", "127.0.0.1:1",
    )  # fmt: skip
    assert type(error(done)) is ConfigError
    assert "is not a party node" in error(done).message


def test_a_table_that_is_not_there_is_not_there(tmp_path: Path, agreement: Path) -> None:
    """So that the refusals above are of the agreement, not of the table."""
    done = mpcseg(
        "party", "run", "--dry-run", "--study", agreement, "--identity", tmp_path / "alder",
        "--data", tmp_path / "absent.csv", "--address", "127.0.0.1:1",
    )  # fmt: skip
    assert type(error(done)) is UnreadableTableError


@pytest.fixture
def sealed(tmp_path: Path, spec: StudySpec, known: dict[str, Identity]) -> Path:
    """The key node's sealed results, a file per recipient; sizes 300, 120 and 45."""
    folder = tmp_path / "sealed"
    folder.mkdir()
    result = finished([300, 120, 45])
    for name, content in seal_results(spec, known["keeper"], result, SPENT).items():
        (folder / f"{name}.sealed").write_bytes(content)
    return folder


def results(tmp_path: Path, agreement: Path, sealed: Path, name: str, *more: object) -> Result:
    own = ["--identity", tmp_path / name, "--sealed", sealed / f"{name}.sealed"]
    return mpcseg("party", "results", "--study", agreement, *own, *more)


def test_results_become_tables_and_labels(
    tmp_path: Path, agreement: Path, sealed: Path, table: Path
) -> None:
    output, labels = tmp_path / "out", tmp_path / "labels.csv"
    before = os.umask(0)
    try:
        done = results(
            tmp_path, agreement, sealed, "alder", "--output", output,
            "--data", table, "--id-column", "id", "--labels", labels,
        )  # fmt: skip
    finally:
        os.umask(before)
    assert done.exit_code == 0, done.output
    assert "Segments of trial" in done.output
    assert {path.name for path in output.iterdir()} == {
        "results.json", "segments.csv", "segments.json",
    }  # fmt: skip
    for path in (*output.iterdir(), labels):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads((output / "results.json").read_text())["recipient"] == "alder"
    rows = list(csv.DictReader(labels.read_text().splitlines()))
    assert len(rows) == 40
    assert {row["segment"] for row in rows} <= {"1", "2", "3"}
    assert f"Labels: {labels} (40 own customers" in done.output.replace("\n", "")


def test_who_receives_the_report_only_gets_the_report(
    tmp_path: Path, agreement: Path, sealed: Path, table: Path
) -> None:
    done = results(tmp_path, agreement, sealed, "birch")
    assert "Segments of trial" in done.output
    labels = tmp_path / "labels.csv"
    refused = results(
        tmp_path, agreement, sealed, "birch",
        "--data", table, "--id-column", "id", "--labels", labels,
    )  # fmt: skip
    assert type(error(refused)) is AgreementError
    assert "gives 'birch' no centroids" in error(refused).message
    assert not labels.exists()


def test_who_receives_centroids_only_is_told_so(
    tmp_path: Path, agreement: Path, sealed: Path
) -> None:
    done = results(tmp_path, agreement, sealed, "hub", "--output", tmp_path / "out")
    assert "centroids of 3 segments" in done.output.replace("\n", " ")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["results.json"]


def test_results_of_somebody_else_stay_closed(
    tmp_path: Path, agreement: Path, sealed: Path
) -> None:
    own = ["--identity", tmp_path / "birch", "--sealed", sealed / "alder.sealed"]
    assert type(error(mpcseg("party", "results", "--study", agreement, *own))) is SealError
    own = ["--identity", tmp_path / "keeper", "--address", "127.0.0.1:1"]
    refused = error(mpcseg("party", "results", "--study", agreement, *own, "--patience", 1))
    assert type(refused) is AgreementError
    assert "receives no results" in refused.message


def test_results_are_opened_after_the_last_day_too(
    tmp_path: Path, known: dict[str, Identity]
) -> None:
    over = agreed(3, known=known, expires="2020-01-01")
    path = write_study(tmp_path / "over.agreement", over, known)
    (tmp_path / "alder.sealed").write_bytes(
        seal_results(over, known["keeper"], finished([300, 120, 45]), SPENT)["alder"]
    )
    done = results(tmp_path, path, tmp_path, "alder")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "no address is given"),
        (["--labels", "labels.csv", "--address", "127.0.0.1:1"], "labels need the customer table"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_fetched(
    tmp_path: Path, agreement: Path, options: list[str], reason: str
) -> None:
    own = ["--study", agreement, "--identity", tmp_path / "alder"]
    refused = error(mpcseg("party", "results", *own, *options))
    assert type(refused) is ConfigError
    assert reason in refused.message


@pytest.mark.parametrize(("command", "name"), [("close", "keeper"), ("withdraw", "alder")])
def test_nobody_acts_on_an_agreement_with_anothers_keys_in_its_name(
    tmp_path: Path, known: dict[str, Identity], command: str, name: str
) -> None:
    oak = quick_identity("oak")
    forged = dataclasses.replace(
        known[name],
        private_signing_key=oak.private_signing_key,
        private_sealing_key=oak.private_sealing_key,
    )
    mixed = {**known, name: forged}
    path = write_study(tmp_path / "mixed.agreement", agreed(3, known=mixed), mixed)
    done = mpcseg(
        "study", command, path, "--identity", tmp_path / name, "--address", "127.0.0.1:1",
        "--patience", 1,
    )  # fmt: skip
    assert type(error(done)) is SignatureError
    assert f"the card of '{name}'" in error(done).message
