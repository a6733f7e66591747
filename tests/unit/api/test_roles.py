"""Nodes for programs before they meet anybody; whole studies of them are in tests/notebook."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mpcseg.api import ComputeServer, KeyClient, PartyClient
from mpcseg.errors import (
    ConfigError,
    ExpiredError,
    MissingColumnError,
    MissingValueError,
    NodeUnreachableError,
    NotANumberError,
    PassphraseError,
    PolicyError,
    SignatureError,
    StudyAbortedError,
    TooManyRecordsError,
    UnreadableTableError,
)
from mpcseg.nodes.progress import Progress, SilentProgress
from mpcseg.study.agreement import freeze, write_agreement
from mpcseg.study.identity import Identity
from mpcseg.study.spec import StudySpec
from tests.organisations import save_identity, study_spec, write_study

FRAME = pd.DataFrame({"id": ["a", "b", "c"], "x0": [0.5, -0.5, 0.25], "x1": [1, 0, -1]})


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Identity]]:
    folder = tmp_path_factory.mktemp("organisations")
    known = {name: save_identity(folder / name, name) for name in ("hub", "keeper", "alder")}
    spec = study_spec(parties={"alder": 4}, known=known)
    write_study(folder / "trial.agreement", spec, known)
    return folder, known


def party(own: tuple[Path, dict[str, Identity]], data: object, **fields: object) -> PartyClient:
    folder, _ = own
    fields = {
        "study": folder / "trial.agreement", "identity": folder / "alder", "id_column": "id",
        "address": "127.0.0.1:1", "audit": folder / "audit", **fields,
    }  # fmt: skip
    return PartyClient.of(data=data, **fields)


def test_a_table_in_memory_gives_the_same_records_as_the_file(
    own: tuple[Path, dict[str, Identity]], tmp_path: Path
) -> None:
    FRAME.to_csv(tmp_path / "customers.csv", index=False)
    FRAME.to_parquet(tmp_path / "customers.parquet")
    expected = np.array([[0.5, 1], [-0.5, 0], [0.25, -1]])
    for data in (FRAME, tmp_path / "customers.csv", tmp_path / "customers.parquet"):
        cohort = party(own, data).cohort()
        assert cohort.records == pytest.approx(expected)
        assert (cohort.n_read, cohort.n_records) == (3, 3)


@pytest.mark.parametrize(
    ("frame", "error", "words"),
    [
        (FRAME.drop(columns="x1"), MissingColumnError, "table in memory.*'x1'"),
        (FRAME.assign(x0=[0.1, np.nan, 0.2]), MissingValueError, "table in memory"),
        (FRAME.assign(x0=["much", "little", "0"]), NotANumberError, "table in memory"),
        (FRAME.assign(x0=[0.1, "secret-word", None]), UnreadableTableError, "several kinds"),
        (pd.concat([FRAME, FRAME.assign(id=["d", "e", "f"])]), TooManyRecordsError, "4"),
    ],
)
def test_a_table_in_memory_that_cannot_be_used_is_refused_as_a_file_is(
    own: tuple[Path, dict[str, Identity]],
    frame: pd.DataFrame,
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words) as caught:
        party(own, frame).cohort()
    assert "secret-word" not in str(caught.value)


def test_a_node_of_a_program_asks_policy_and_signatures_first(
    own: tuple[Path, dict[str, Identity]], tmp_path: Path
) -> None:
    folder, known = own
    (tmp_path / "policy.toml").write_text("largest_epsilon = 0.5\n")
    unsigned = tmp_path / "unsigned.agreement"
    write_agreement(freeze(study_spec(parties={"alder": 4}, known=known)), unsigned)
    common = {"address": "127.0.0.1:1", "output": tmp_path / "key", "identity": folder / "keeper"}
    serve = {"listen": "127.0.0.1:0", "storage": tmp_path / "hub", "identity": folder / "hub"}
    for fields, error in (
        ({"study": folder / "trial.agreement", "policy": tmp_path / "policy.toml"}, PolicyError),
        ({"study": unsigned}, SignatureError),
    ):
        for client in (
            party(own, FRAME, **fields),
            KeyClient.of(**common, **fields),
            ComputeServer.of(**serve, **fields),
        ):
            with pytest.raises(error):
                client.run()
    assert not (tmp_path / "key").exists()
    assert not (tmp_path / "hub").exists()


def test_fields_count_more_than_the_file_and_unknown_ones_are_refused(
    own: tuple[Path, dict[str, Identity]], tmp_path: Path
) -> None:
    folder, _ = own
    file = tmp_path / "key.toml"
    file.write_text('study = "a.agreement"\naddress = "hub:7443"\noutput = "out"\n')
    client = KeyClient.of(file, identity=folder / "keeper", address="hub:8000")
    assert client.config.address == "hub:8000"
    assert client.config.output == tmp_path / "out"
    assert client.identity.name == "keeper"
    with pytest.raises(ConfigError, match="colour"):
        KeyClient.of(file, identity=folder / "keeper", colour="red")


def test_a_locked_identity_opens_with_its_passphrase(tmp_path: Path) -> None:
    right, wrong = "correct horse", "battery staple"
    save_identity(tmp_path / "keeper", "keeper", passphrase=right)
    fields = {"study": tmp_path, "address": "hub:1", "output": tmp_path}
    client = KeyClient.of(identity=tmp_path / "keeper", passphrase=right, **fields)
    assert client.identity.name == "keeper"
    with pytest.raises(PassphraseError):
        KeyClient.of(identity=tmp_path / "keeper", passphrase=wrong, **fields)


def test_a_study_can_be_ended_after_its_last_day(
    own: tuple[Path, dict[str, Identity]], tmp_path: Path
) -> None:
    folder, known = own
    spec = study_spec(parties={"alder": 4}, known=known, expires="2024-01-31")
    over = write_study(tmp_path / "over.agreement", spec, known)
    alder = party(own, FRAME, study=over)
    keeper = KeyClient.of(
        study=over, identity=folder / "keeper", address="127.0.0.1:1", output=tmp_path / "key"
    )
    with pytest.raises(ExpiredError):
        keeper.run()
    for ask in (alder.status, alder.withdraw, keeper.status, keeper.close):
        # All that keeps them from it is that nobody listens there.
        with pytest.raises(NodeUnreachableError):
            ask(patience=0.1)


def test_the_log_of_a_compute_node_says_that_a_study_failed(
    own: tuple[Path, dict[str, Identity]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = own

    def failing(told: dict[StudySpec, Progress], *_: object, **__: object) -> dict[str, object]:
        return {spec.digest: StudyAbortedError("another node stopped it") for spec in told}

    monkeypatch.setattr("mpcseg.api.roles.serve_studies", failing)
    server = ComputeServer.of(
        study=folder / "trial.agreement", identity=folder / "hub", listen="127.0.0.1:0",
        storage=tmp_path / "hub", log_file=tmp_path / "log.jsonl",
    )  # fmt: skip
    (outcome,) = server.run().values()
    assert isinstance(outcome, StudyAbortedError)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["started", "failed"]


def test_a_program_that_serves_two_studies_of_one_name_can_tell_them_apart(
    own: tuple[Path, dict[str, Identity]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, known = own
    other = study_spec(parties={"alder": 8}, known=known)
    files = (folder / "trial.agreement", write_study(tmp_path / "other.agreement", other, known))

    def speaking(told: dict[StudySpec, Progress], *_: object, **__: object) -> dict[str, object]:
        for one in told.values():
            one.message("hello")
        return {}

    class Heard(SilentProgress):
        def message(self, text: str) -> None:
            heard.append(text)

    heard: list[str] = []
    monkeypatch.setattr("mpcseg.api.roles.serve_studies", speaking)
    ComputeServer.of(
        study=files, identity=folder / "hub", listen="127.0.0.1:0", storage=tmp_path / "hub"
    ).run(Heard())
    first = study_spec(parties={"alder": 4}, known=known)
    assert heard == [f"trial ({spec.digest[:8]}): hello" for spec in (first, other)]
