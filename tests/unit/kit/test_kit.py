"""Start-up kits: what is in them, that it is always the same, and that nothing private is."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import stat
import zipfile
from pathlib import Path

import pytest
import tomlkit
import yaml
from cryptography.hazmat.primitives import serialization

from mpcseg.cli.config import ComputeConfig, KeyConfig, PartyConfig, load_config
from mpcseg.errors import ConfigError, OutputError
from mpcseg.kit.configuration import TEMPLATES, configuration
from mpcseg.kit.holders import (
    Address,
    Holder,
    certified_address,
    holders,
    parse_address,
)
from mpcseg.kit.kit import SUMS_FILE, kit
from mpcseg.kit.writing import write_archive, write_kit
from mpcseg.study.identity import Identity, new_identity
from mpcseg.study.spec import StudySpec
from tests.organisations import features, identity, signed, study_spec
from tests.unit.verification.documents import PARSER, shown, tables

ROOT = Path(__file__).resolve().parents[3]
HUB = Address("hub.example.org", 7443)
MODELS = {"compute": ComputeConfig, "key": KeyConfig, "party": PartyConfig}


def kits(spec: StudySpec) -> dict[str, dict[str, bytes]]:
    agreement = signed(spec)
    return {holder.name: dict(kit(agreement, holder, HUB)) for holder in holders(spec)}


def holder_of(spec: StudySpec, name: str) -> Holder:
    return {holder.name: holder for holder in holders(spec)}[name]


def test_every_organisation_gets_one_kit_with_the_files_of_its_roles_alone() -> None:
    made = kits(study_spec(compute="hub", key="alder", parties=("alder", "birch")))
    roles = {"hub": {"compute"}, "alder": {"key", "party"}, "birch": {"party"}}
    assert made.keys() == roles.keys()
    for name, files in made.items():
        assert {path[:-5] for path in files if path.endswith(".toml")} == roles[name]
        services = yaml.safe_load(files["compose.yaml"])["services"]
        assert services.keys() == roles[name]
        units = {path for path in files if path.startswith("systemd/")}
        assert units == {f"systemd/mpcseg-{role}@.service" for role in roles[name]}


def test_the_same_agreement_gives_the_same_bytes() -> None:
    spec = study_spec()
    assert kits(spec) == kits(StudySpec.model_validate(spec.model_dump()))


@pytest.mark.parametrize("role", ["compute", "key", "party"])
def test_a_configuration_is_the_template_with_its_comments_and_fits_the_node(
    tmp_path: Path, role: str
) -> None:
    spec = study_spec()
    text = configuration(role, spec, HUB)
    template = (ROOT / "parties" / role / f"{role}.toml").read_text()
    comments = [
        line.replace('"../spring', '"trial').replace('"../', '"')  # all in one folder
        for line in template.splitlines()
        if line.startswith("#")
    ]
    assert comments
    assert not re.search(r"spring|\bhub (?!node)|notary|\.\./", text), "named after another study"
    assert [line for line in text.splitlines() if line.startswith("#")] == comments
    assert tomlkit.parse(text).keys() == tomlkit.parse(template).keys()
    (tmp_path / f"{role}.toml").write_text(text)
    settings = load_config(MODELS[role], tmp_path / f"{role}.toml", {})
    agreement = tmp_path / "trial.agreement"
    assert settings.study == ((agreement,) if role == "compute" else agreement)
    assert settings.identity == tmp_path / "identity"
    if isinstance(settings, ComputeConfig):
        assert settings.listen == "0.0.0.0:7443"
    if isinstance(settings, KeyConfig | PartyConfig):
        assert settings.address == "hub.example.org:7443"


def test_the_key_node_of_a_follow_up_is_told_of_the_files_that_it_starts_from(
    tmp_path: Path,
) -> None:
    spec = study_spec(former="ab" * 32)
    (tmp_path / "key.toml").write_text(configuration("key", spec, HUB))
    config = load_config(KeyConfig, tmp_path / "key.toml", {})
    assert config.former_study == tmp_path / "former.agreement"
    assert config.former_sealed == tmp_path / "former.sealed"
    assert "former" not in configuration("party", spec, HUB)


def test_templates_are_those_of_parties_and_deploy() -> None:
    """The same files, so that they cannot drift."""
    for role in MODELS:
        assert (TEMPLATES / f"{role}.toml").read_bytes() == (
            ROOT / "parties" / role / f"{role}.toml"
        ).read_bytes()
        unit = f"mpcseg-{role}@.service"
        assert (TEMPLATES / unit).read_bytes() == (ROOT / "deploy/systemd" / unit).read_bytes()


def test_the_sums_are_of_every_other_file() -> None:
    for files in kits(study_spec()).values():
        lines = files[SUMS_FILE].decode().splitlines()
        sums = dict(reversed(line.split("  ")) for line in lines)
        assert sums == {
            path: hashlib.sha256(content).hexdigest()
            for path, content in files.items()
            if path != SUMS_FILE
        }


def test_the_cards_are_those_of_the_agreement_by_their_fingerprints() -> None:
    spec = study_spec()
    files = kits(spec)["alder"]
    for card in spec.organisations:
        content = files[f"cards/{card.name}.json"]
        assert hashlib.sha256(content).hexdigest() == card.card_fingerprint
        assert files[f"cards/{card.name}.pem"] == card.certificate_pem


def private_forms(own: Identity) -> dict[str, bytes]:
    """Every private key of an identity, raw and as text."""
    tls = serialization.load_pem_private_key(own.private_key_pem, None)
    scalar = tls.private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]
    return {
        "TLS": scalar,
        "signing": own.private_signing_key,
        "seed": own.private_sealing_key[:64],
        "curve": own.private_sealing_key[64:],
    }


def private_material(content: bytes, identities: list[Identity]) -> list[str]:
    """What is private in a file: by its look, or because it is one of these identities' keys."""
    found = [kind for kind in ("PRIVATE KEY", "scrypt-salt") if kind.encode() in content]
    text = b"".join(content.split())
    for own in identities:
        body = b"".join(own.private_key_pem.splitlines()[1:-1])
        if body in text:
            found.append(f"{own.name} PEM")
        for kind, raw in private_forms(own).items():
            forms = (raw, raw.hex().encode(), raw.hex().upper().encode(), *base64_forms(raw))
            found += [f"{own.name} {kind}" for form in forms if form in text]
    return found


def base64_forms(raw: bytes) -> list[bytes]:
    """How it looks in base64, wherever in a longer text it begins."""
    forms = []
    for shift in range(3):
        encoded = base64.b64encode(bytes(shift) + raw)
        forms.append(encoded[shift and 4 : -4])
    return forms


def test_no_kit_holds_private_key_material(tmp_path: Path) -> None:
    """Also where the identities lie in the folder from which, and into which, kits are made."""
    spec = study_spec(compute="hub", key="alder", parties=("alder", "birch"))
    own = [identity(card.name) for card in spec.organisations]
    for holder in holders(spec):
        content = kit(signed(spec), holder, HUB)
        folder = tmp_path / holder.name
        new_identity(holder.name, folder / "identity")
        write_kit(content, folder)
        write_archive(content, tmp_path / f"{holder.name}.zip")
        for path, bytes_ in content.items():
            assert not private_material(bytes_, own), path
        archived = (tmp_path / f"{holder.name}.zip").read_bytes()
        assert not private_material(archived, own)
        names = zipfile.ZipFile(io.BytesIO(archived)).namelist()
        assert names == [f"{holder.name}/{path}" for path in sorted(content)]


def test_the_search_for_private_keys_finds_them(tmp_path: Path) -> None:
    own = identity("alder")
    new_identity("birch", tmp_path)
    assert private_material((tmp_path / "private_keys.pem").read_bytes(), [])
    assert private_material(own.private_key_pem.replace(b"PRIVATE KEY", b"x"), [own])
    for raw in private_forms(own).values():
        assert private_material(b"key = " + raw.hex().encode(), [own])
        assert private_material(base64.b64encode(b"=" + raw + b"=="), [own])


def test_containers_are_confined_and_see_the_files_of_their_role_alone() -> None:
    files = kits(study_spec(compute="hub", key="alder", parties=("alder", "birch")))["alder"]
    document = yaml.safe_load(files["compose.yaml"])
    mounted = {}
    for role, service in document["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "${MPCSEG_USER:-65532:65532}"
        assert "ports" not in service
        assert {secret["source"] for secret in service["secrets"]} <= document["secrets"].keys()
        mounted[role] = dict(volume.split(":", 1) for volume in service["volumes"])
        writable = {path for path, how in mounted[role].items() if not how.endswith(":ro")}
        assert writable == {"key": {"./key-results"}, "party": {"./audit", "./results"}}[role]
    assert "./customers.csv" not in mounted["key"]
    assert "./customers.csv" in mounted["party"]


def test_the_compute_nodes_container_alone_has_a_port() -> None:
    made = kits(study_spec())
    assert yaml.safe_load(made["hub"]["compose.yaml"])["services"]["compute"]["ports"] == [
        "7443:7443"
    ]
    assert "ports" not in made["keeper"]["compose.yaml"].decode()


def test_the_page_says_what_was_agreed_and_what_to_compare() -> None:
    spec = study_spec(compute="hub", key="alder", parties={"alder": 400, "birch": None})
    for name, files in kits(spec).items():
        page = files["README.md"].decode()
        assert spec.digest in page
        assert spec.digest[:8] in page
        rows = tables(page)[-1]
        assert [row[0] for row in rows][1:] == [card.name for card in spec.organisations]
        assert [row[2] for row in rows][1:] == [card.spoken for card in spec.organisations]
        assert ("customers.csv" in page) == (name != "hub")
        assert ("study close" in page) == (name in ("hub", "alder"))
    alder = kits(spec)["alder"]["README.md"].decode()
    assert "400 at most" in alder


def test_words_of_others_stay_words_on_the_page() -> None:
    spec = study_spec(
        purpose="<script>alert(1)</script> `rm -rf` [x](http://example.com) | y",
        features=features("a|b", "c`d`"),
    )
    page = kits(spec)["alder"]["README.md"].decode()
    text = "\n".join(shown(token) for token in PARSER.parse(page) if token.type == "inline")
    assert "<script>alert(1)</script> `rm -rf` [x](http://example.com) | y" in text
    assert all(name in text for name in ("a|b: a number", "c`d`: a number"))


def test_names_and_values_of_columns_can_be_copied_from_the_page_as_it_stands() -> None:
    names = ("recency_days", "a*b|c", "c`d``")
    spec = study_spec(
        features=features(*names),
        profile_columns=[
            {"name": "visits_n", "kind": "numeric", "transform": "log1p", "lower": 0, "upper": 500},
            {"name": "age_band", "kind": "category", "values": ["18_29", "30_49"], "other": ""},
            {"name": "is_new", "kind": "category", "values": ["y_1", "n_0"], "unknown": "none"},
        ],
        consent={"column": "may_use", "value": "yes_*"},
    )
    made = kits(spec)
    page = made["alder"]["README.md"].decode()
    copied = {
        child.content
        for token in PARSER.parse(page)
        for child in token.children or ()
        if child.type == "code_inline"
    }
    assert copied >= {
        *names, "visits_n", "age_band", "18_29", "30_49", "is_new", "other", "none", "may_use",
        "yes_*",
    }  # fmt: skip
    assert "`visits_n`: a number, agreed from 0 to 500 (what lies outside is clipped" in page
    assert "Any other value refuses the table, an empty cell refuses the table." in page
    assert "Any other value counts as `other`, an empty cell counts as `none`." in page
    assert "recency" not in made["hub"]["README.md"].decode()


def test_the_page_says_that_the_folder_is_secret_once_it_is_filled() -> None:
    for name, files in kits(study_spec()).items():
        page = " ".join(files["README.md"].decode().split())
        put = (
            "`identity/` and `customers.csv` are"
            if name in ("alder", "birch")
            else "`identity/` is"
        )
        assert f"From the moment on that {put} put into it, the folder is secret**" in page


def test_nobody_is_told_to_close_before_the_work_was_replayed() -> None:
    spec = study_spec(compute="hub", key="alder", parties=("alder", "birch"))
    for name, files in kits(spec).items():
        page = files["README.md"].decode()
        steps, _, trouble = page.partition("## If something goes wrong")
        assert ("study close" in trouble) == (name in ("hub", "alder"))
        if name == "hub":
            replay = "mpcseg audit replay trial.agreement --evidence storage"
            assert 0 < steps.index(replay) < steps.index("mpcseg study close")
        else:
            assert "audit replay" not in page
            assert "study close" not in steps
            assert "nobody closes before hub has told the others how the replay ended" in steps


@pytest.mark.parametrize(
    ("receives", "command"),
    [
        ("birch", "--address hub.example.org:7443 --audit audit --output results/report"),
        ("hub", "--address hub.example.org:7443 --audit records --output records/report"),
        (
            "keeper",
            "--sealed key-results/sealed/keeper.sealed --audit key-results "
            "--output key-results/report",
        ),
    ],
)
def test_who_receives_the_report_is_told_how_to_make_it(receives: str, command: str) -> None:
    spec = study_spec(release={"report": [receives], "centroids": ["alder"]})
    for name, files in kits(spec).items():
        page = files["README.md"].decode()
        made = f"mpcseg report trial.agreement --identity identity {command}\n"
        assert (made in page) == (name == receives)
        assert ("mpcseg report" in page) == (name == receives)


@pytest.mark.parametrize("receives", [[], ["hub"], ["keeper"], ["birch"]])
def test_every_page_has_commands_after_watching_whoever_receives(receives: list[str]) -> None:
    spec = study_spec(release={"report": receives, "centroids": [] if receives else ["birch"]})
    for name, files in kits(spec).items():
        page = files["README.md"].decode()
        blocks = re.findall(r"```sh\n(.*?)\n```", page.split("### 4. Results")[1], re.DOTALL)
        assert blocks
        fetches = any("party results" in block for block in blocks)
        assert fetches == (name in spec.recipients and name != "keeper")


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("hub.example.org:7443", "hub.example.org", 7443), ("[2001:db8::7]:80", "2001:db8::7", 80)],
)
def test_addresses_are_read_as_people_write_them(text: str, host: str, port: int) -> None:
    assert parse_address(text) == Address(host, port)
    assert str(parse_address(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "hub",
        "hub:",
        ":7443",
        "hub:0",
        "hub:65536",
        "hub:1:2",
        "$(id):7443",
        "a`b`:1",
        "'x':7443",
        "[x]:1",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_address(text)


def test_without_an_address_the_compute_nodes_certificate_says_it(tmp_path: Path) -> None:
    cases = {
        ("hub.example.org", "192.0.2.7"): "hub.example.org:7443",
        ("localhost", "192.0.2.7"): "192.0.2.7:7443",
        ("127.0.0.1", "localhost"): "localhost:7443",
        ("2001:db8::7",): "[2001:db8::7]:7443",
    }
    for number, (hosts, address) in enumerate(cases.items()):
        own = new_identity("hub", tmp_path / str(number), hosts)
        assert str(certified_address(study_spec(known={"hub": own}))) == address
    own = new_identity("hub", tmp_path / "none")
    with pytest.raises(ConfigError, match="names no host") as caught:
        certified_address(study_spec(known={"hub": own}))
    assert "--address" in caught.value.hint


CONTENT = {"README.md": b"read me\n", "cards/alder.pem": b"public\n"}


def test_a_kit_may_be_written_twice_and_leaves_other_files_alone(tmp_path: Path) -> None:
    write_kit(CONTENT, tmp_path / "kit")
    (tmp_path / "kit" / "customers.csv").write_text("customer_id\n")
    write_kit(CONTENT, tmp_path / "kit")
    assert (tmp_path / "kit" / "customers.csv").read_text() == "customer_id\n"
    assert stat.S_IMODE((tmp_path / "kit" / "README.md").stat().st_mode) == 0o644


def test_what_holds_something_else_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("my own\n")
    with pytest.raises(OutputError, match=r"README\.md exists already") as caught:
        write_kit(CONTENT, tmp_path)
    assert "--force" in caught.value.hint
    assert not (tmp_path / "cards").exists(), "something was written all the same"
    write_kit(CONTENT, tmp_path, force=True)
    assert (tmp_path / "README.md").read_bytes() == CONTENT["README.md"]


def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "README.md").symlink_to(elsewhere)
    with pytest.raises(OutputError):
        write_kit(CONTENT, tmp_path / "kit")
    write_kit(CONTENT, tmp_path / "kit", force=True)
    assert elsewhere.read_text() == "precious"


def test_archives_are_the_same_each_time_and_not_overwritten(tmp_path: Path) -> None:
    write_archive(CONTENT, tmp_path / "alder.zip")
    first = (tmp_path / "alder.zip").read_bytes()
    write_archive(dict(reversed(CONTENT.items())), tmp_path / "alder.zip")
    assert (tmp_path / "alder.zip").read_bytes() == first
    with zipfile.ZipFile(tmp_path / "alder.zip") as archive:
        assert archive.namelist() == ["alder/README.md", "alder/cards/alder.pem"]
        assert archive.read("alder/README.md") == CONTENT["README.md"]
    with pytest.raises(OutputError):
        write_archive({"README.md": b"other"}, tmp_path / "alder.zip")


def test_a_folder_that_cannot_be_written_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_kit(CONTENT, tmp_path / "file" / "kit")
