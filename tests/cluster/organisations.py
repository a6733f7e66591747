"""Five organisations with a folder each, made with the commands of the image alone."""

from __future__ import annotations

import hashlib
import os
import secrets
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.engine import CONFINED, IMAGE, PYTHON, docker

HUB, NOTARY = "hub", "notary"
PARTIES = ("party-1", "party-2", "party-3")
NAMES = (HUB, NOTARY, *PARTIES)
ADDRESS = f"{HUB}:7443"
USER = 65532

ROOT = Path(__file__).resolve().parents[2]
CDNOW = Path(os.environ.get("MPCSEG_CDNOW", ROOT.parent / "shared" / "data" / "cdnow_rfm.csv"))

FEATURES = ("recency_days:identity:0:730", "frequency:log1p:0:300", "monetary:log1p:0:20000")
N_CLUSTERS, N_ROUNDS = 3, 2

_CONFIGS = {
    "compute": f'listen = "0.0.0.0:{ADDRESS.partition(":")[2]}"\nstorage = "/state"\n',
    "key": f'address = "{ADDRESS}"\noutput = "/state/results"\n',
    "party": f'address = "{ADDRESS}"\ndata = "customers.csv"\nid_column = "customer_id"\n'
    'audit = "/state/audit"\n',
}
_COMMON = 'study = "study.agreement"\nidentity = "identity"\n'


@dataclass(frozen=True)
class Folders:
    """The folders of all organisations.

    Attributes:
        root: has a folder for each, by its name.
        data: what the customers are, for the table of figures.
        owners: who alone may have the file with this SHA-256.
        passphrases: of each, by its name.
    """

    root: Path
    data: str
    owners: dict[str, str]
    passphrases: dict[str, str]


def make_folders(root: Path) -> Folders:
    """Make identities, tables, the agreement and its signatures, and each node's configuration."""
    for name in NAMES:
        (root / name).mkdir(parents=True)
        _private(root / name / "passphrase", secrets.token_urlsafe(24) + "\n")
    data = _deal_tables(root)
    for name in NAMES:
        hosts = ["--host", HUB] if name == HUB else []
        _mpcseg(root / name, "identity", "new", name, "--folder", "identity", "--protect", *hosts)
    for name in NAMES:
        _pass_on(root, name, f"identity/{name}.card", HUB, f"{name}.card")
    _mpcseg(root / HUB, *_draft())
    _mpcseg(
        root / HUB,
        "study",
        "sign",
        "study.toml",
        "--identity",
        "identity",
        "--output",
        "study.agreement",
    )
    signed_by = HUB
    for name in NAMES[1:]:
        _pass_on(root, signed_by, "study.agreement", name, "study.agreement")
        _mpcseg(root / name, "study", "sign", "study.agreement", "--identity", "identity")
        signed_by = name
    for name in NAMES:
        if name != signed_by:
            _pass_on(root, signed_by, "study.agreement", name, "study.agreement")
        role = {HUB: "compute", NOTARY: "key"}.get(name, "party")
        (root / name / f"{role}.toml").write_text(_COMMON + _CONFIGS[role])
        _mpcseg(root / name, "study", "verify", "study.agreement")
    owners = {
        hashlib.sha256(path.read_bytes()).hexdigest(): name
        for name in NAMES
        for path in _secrets_of(root / name)
    }
    passphrases = {name: (root / name / "passphrase").read_text().strip() for name in NAMES}
    give_to(root, USER)
    return Folders(root, data, owners, passphrases)


def _secrets_of(own: Path) -> list[Path]:
    found = [own / "passphrase", own / "identity" / "private_keys.pem", own / "customers.csv"]
    return [path for path in found if path.exists()]


def give_to(root: Path, user: int) -> None:
    """Give the folders to the user of the image, or back to this one; needs no root here."""
    program = (
        "import os; [os.lchown(os.path.join(at, name), USER, USER) for at, folders, files in "
        "os.walk('/study') for name in ['.', *folders, *files]]"
    ).replace("USER", str(user))
    docker(
        "run", "--rm", "--user", "0", "-v", f"{root}:/study", "--entrypoint", PYTHON, IMAGE,
        "-c", program,
    )  # fmt: skip


def _deal_tables(root: Path) -> str:
    """Deal CDNOW's customers to the parties, or generated ones where the data set is not there."""
    tables = root / "tables"
    real = [
        "--data", CDNOW, "--id-column", "customer_id",
        "--features", ",".join(feature.partition(":")[0] for feature in FEATURES),
        "--log1p", "frequency,monetary", "--parties", len(PARTIES),
    ]  # fmt: skip
    options = map(str, real if CDNOW.exists() else [])
    subprocess.run(
        [sys.executable, "-m", "mpcseg", "demo", "--tables", tables, *options],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    for party, table in zip(PARTIES, sorted(tables.iterdir()), strict=True):
        table.rename(root / party / "customers.csv")
    tables.rmdir()
    n_customers = sum(
        len((root / party / "customers.csv").read_text().splitlines()) - 1 for party in PARTIES
    )
    name = "CDNOW" if CDNOW.exists() else f"generated ({CDNOW} is not there)"
    return f"{name}, {n_customers:,} customers"


def _draft() -> list[str]:
    options = [
        "study", "new", "--name", "cluster", "--output", "study.toml",
        "--purpose", "Show a study in containers.", "--legal-basis", "A test on public data.",
        "--compute", f"{HUB}.card", "--key", f"{NOTARY}.card",
        "--clusters", str(N_CLUSTERS), "--rounds", str(N_ROUNDS), "--epsilon", "2",
    ]  # fmt: skip
    for feature in FEATURES:
        options += ["--feature", feature]
    for party in PARTIES:
        options += ["--party", f"{party}.card", "--most-records", f"{party}=8192"]
    return options


def _mpcseg(folder: Path, *arguments: str) -> None:
    """A command of one organisation, in a container that sees its folder alone."""
    docker(
        "run", "--rm", *CONFINED, "--user", f"{os.getuid()}:{os.getgid()}",
        "-e", "MPCSEG_PASSPHRASE_FILE=/study/passphrase", "-v", f"{folder}:/study",
        IMAGE, *arguments,
    )  # fmt: skip


def _pass_on(root: Path, sender: str, what: str, receiver: str, name: str) -> None:
    """Send a public file to another organisation."""
    (root / receiver / name).write_bytes((root / sender / what).read_bytes())
    (root / receiver / name).chmod(0o644)


def _private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
