"""Role configurations: files, options over them, and the templates to start from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mpcseg.cli.config import ComputeConfig, KeyConfig, NodeConfig, PartyConfig, load_config
from mpcseg.customers.source import TableSource
from mpcseg.errors import ConfigError
from mpcseg.nodes.roles import MAX_BLOCKS

TEMPLATES = Path(__file__).parents[3] / "parties"

PARTY = """
study = "../study.toml"
identity = "identity"
address = "hub.example.org:7443"
data = "/srv/customers.csv"
id_column = "customer_id"
[columns]
money = "spend"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "alder" / "party.toml"
    path.parent.mkdir()
    path.write_text(PARTY)
    return path


def test_paths_of_a_file_count_from_its_folder(file: Path) -> None:
    config = load_config(PartyConfig, file, {})
    assert config.study == file.parent / "../study.toml"
    assert config.data == Path("/srv/customers.csv")
    assert config.columns == {"money": "spend"}
    assert config.patience > 0


def test_options_override_the_file_and_count_from_the_working_directory(file: Path) -> None:
    config = load_config(
        PartyConfig, file, {"data": Path("other.csv"), "address": None, "patience": 5.0}
    )
    assert config.data == Path("other.csv")
    assert config.address == "hub.example.org:7443"
    assert config.patience == 5.0


def test_the_images_word_on_metrics_counts_less_than_a_file_and_an_option(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_config(PartyConfig, file, {}).metrics is None
    monkeypatch.setenv("MPCSEG_IMAGE_METRICS", "127.0.0.1:9464")
    assert load_config(PartyConfig, file, {}).metrics == "127.0.0.1:9464"
    file.write_text('metrics = "10.0.0.1:9000"\n' + PARTY)
    assert load_config(PartyConfig, file, {}).metrics == "10.0.0.1:9000"
    options = {"metrics": "10.0.0.1:9001"}  # which MPCSEG_METRICS is one of
    assert load_config(PartyConfig, file, options).metrics == "10.0.0.1:9001"
    image = (TEMPLATES.parent / "docker" / "Dockerfile").read_text(encoding="utf-8")
    assert "ENV MPCSEG_IMAGE_METRICS=127.0.0.1:9464" in image
    assert " MPCSEG_METRICS" not in image


def test_options_alone_are_enough(tmp_path: Path) -> None:
    config = load_config(
        ComputeConfig, None,
        {"study": tmp_path, "identity": tmp_path, "listen": "[::1]:0", "storage": tmp_path},
    )  # fmt: skip
    assert (config.workers, config.max_blocks) == (os.cpu_count(), MAX_BLOCKS)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("identity", "idendity", "idendity is unknown"),
        ('data = "/srv/customers.csv"', "", "field data is missing"),
        ('"hub.example.org:7443"', '"hub.example.org"', "address"),
        ('"hub.example.org:7443"', '"https://hub.example.org:7443"', "address must be HOST:PORT, "),
        ('"hub.example.org:7443"', '"hub.example.org:0"', "a port from 1 to 65535"),
        ('"hub.example.org:7443"', '"hub.example.org:65536"', "a port from 1 to 65535"),
        ('id_column = "customer_id"', "id_column = 7", "id_column"),
        ('id_column = "customer_id"', "patience = 0", "patience"),
        ('id_column = "customer_id"', 'key_fingerprint = "abc"', "must be 64 hexadecimal digits"),
        ('id_column = "customer_id"', "id_column = ", "not valid TOML"),
        ('data = "/srv/customers.csv"', "data = 7", "data must be a file or the URL of a database"),
    ],
)
def test_a_wrong_field_is_named_with_its_file(
    file: Path, old: str, new: str, expected: str
) -> None:
    file.write_text(PARTY.replace(old, new, 1))
    with pytest.raises(ConfigError, match=expected) as caught:
        load_config(PartyConfig, file, {})
    assert "party.toml" in caught.value.message
    assert caught.value.hint


def test_what_is_missing_without_a_file_is_named_too() -> None:
    with pytest.raises(ConfigError, match=r"the command line: .*field study is missing"):
        load_config(KeyConfig, None, {})


@pytest.mark.parametrize(
    ("role", "model"), [("party", PartyConfig), ("compute", ComputeConfig), ("key", KeyConfig)]
)
def test_the_templates_are_complete_configurations(role: str, model: type[NodeConfig]) -> None:
    path = TEMPLATES / role / f"{role}.toml"
    load_config(model, path, {})
    text = path.read_text()
    for field in model.model_fields:
        assert f"{field} = " in text or f"[{field}]" in text, f"{field} is not explained"


def test_a_database_is_data_too_and_stays_a_url(file: Path) -> None:
    url = "postgresql+psycopg://anna:hush@db.example.org/shop"
    file.write_text(PARTY.replace("/srv/customers.csv", url))
    config = load_config(PartyConfig, file, {"table": "crm.customers"})
    assert config.data == url
    assert config.source == TableSource(url, "customer_id", "crm.customers")
    assert "hush" not in repr(config)
    assert load_config(PartyConfig, file, {"data": "env", "table": "t"}).source.is_database
    with pytest.raises(ConfigError, match="no table is named"):
        _ = load_config(PartyConfig, file, {}).source


def test_a_folder_may_be_named_as_the_word_for_the_environment(file: Path) -> None:
    file.write_text(PARTY.replace('"identity"', '"env"'))
    assert load_config(PartyConfig, file, {}).identity == file.parent / "env"


def test_optional_files_count_from_the_folder_too(file: Path) -> None:
    file.write_text('policy = "policy.toml"\nopt_out = "opt_out.csv"\n' + PARTY)
    config = load_config(PartyConfig, file, {})
    assert config.policy == file.parent / "policy.toml"
    assert config.opt_out == file.parent / "opt_out.csv"
    assert load_config(PartyConfig, file, {"opt_out": Path("mine.csv")}).opt_out == Path("mine.csv")
    file.write_text(PARTY)
    config = load_config(PartyConfig, file, {})
    assert (config.policy, config.opt_out, config.table) == (None, None, None)
    assert config.source == TableSource(Path("/srv/customers.csv"), "customer_id")
