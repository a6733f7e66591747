"""What is in the image, and what is not, in any of its layers."""

from __future__ import annotations

import io
import json
import re
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from tests.cluster.conftest import Figures
from tests.cluster.engine import IMAGE, docker, in_image, seconds_of

pytestmark = pytest.mark.timeout(300)

# A whole block: programs that read keys hold the words of its first line.
PRIVATE_KEY = re.compile(
    rb"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\\nA-Za-z0-9+/=:,-]{100,}?-----END"
)
FORBIDDEN_SUFFIXES = {".csv", ".parquet", ".seal", ".pem", ".key", ".agreement", ".sqlite"}
PUBLIC_CERTIFICATES = {
    "opt/mpcseg/lib/python3.11/site-packages/grpc/_cython/_credentials/roots.pem"
}
SHELLS_AND_TOOLS = (
    r"(ba|da|a|z|k|c|tc)?sh|busybox|(apt|dpkg)(-\w+)?|perl|pip3?|curl|wget|g?cc|ldd|strip"
)
PROGRAMS = {"usr/bin/python3.11", "opt/mpcseg/bin/mpcseg"}


def layers(saved: Path) -> Iterator[tarfile.TarFile]:
    with tarfile.open(saved) as archive:
        (manifest,) = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        for name in manifest["Layers"]:
            layer = archive.extractfile(name)
            assert layer is not None
            with tarfile.open(fileobj=layer) as content:
                yield content


def files(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for member in archive:
        if member.isfile():
            content = archive.extractfile(member)
            assert content is not None
            yield member, content.read()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("image") / "image.tar"
    docker("save", "-o", path, IMAGE)
    yield path
    path.unlink()


def private_keys(archive: tarfile.TarFile) -> list[str]:
    return [member.name for member, content in files(archive) if PRIVATE_KEY.search(content)]


def test_no_private_key_is_in_any_layer(saved: Path) -> None:
    found = [name for layer in layers(saved) for name in private_keys(layer)]
    assert found == []
    history = docker("history", "--no-trunc", IMAGE) + docker("inspect", IMAGE)
    assert "PRIVATE" not in history
    assert "PASSPHRASE" not in history


def test_the_search_finds_a_private_key_that_is_there(tmp_path: Path) -> None:
    docker("run", "--rm", "--user", "0", "-v", f"{tmp_path}:/study", IMAGE, "identity", "new", "x",
           "--folder", "identity")  # fmt: skip
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(tmp_path / "identity", "opt/left/behind")
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive:
        assert private_keys(archive) == ["opt/left/behind/private_keys.pem"]


def test_no_data_and_no_file_of_a_study_is_in_any_layer(saved: Path) -> None:
    names = [member.name for layer in layers(saved) for member in layer]
    assert len(names) > 3000
    found = {name for name in names if PurePosixPath(name).suffix in FORBIDDEN_SUFFIXES}
    assert found == PUBLIC_CERTIFICATES


def test_the_only_programs_are_python_and_mpcseg(saved: Path) -> None:
    members = [member for layer in layers(saved) for member in layer]
    programs = {
        member.name
        for member in members
        if member.isfile() and {"bin", "sbin"} & {*PurePosixPath(member.name).parts[:-1]}
    }
    assert programs == PROGRAMS
    for member in members:
        assert not member.mode & (stat.S_ISUID | stat.S_ISGID), member.name
        name = PurePosixPath(member.name).name
        assert member.isdir() or not re.fullmatch(SHELLS_AND_TOOLS, name), member.name


def test_a_shell_cannot_be_started() -> None:
    for shell in ("/bin/sh", "/bin/bash", "sh"):
        with pytest.raises(AssertionError, match=r"no such file|not found"):
            docker("run", "--rm", "--entrypoint", shell, IMAGE, "-c", "true")


def test_nothing_of_the_image_belongs_to_its_user_but_the_folder_of_the_state(saved: Path) -> None:
    members = [member for layer in layers(saved) for member in layer]
    owned = {
        (m.name.rstrip("/"), oct(m.mode & 0o7777)) for m in members if m.uid != 0 or m.gid != 0
    }
    assert owned == {("state", "0o700")}
    writable = {m.name for m in members if m.mode & stat.S_IWOTH and not m.issym()}
    assert writable == {"tmp"}


def test_the_image_says_what_it_is_and_how_it_is_run(figures: Figures) -> None:
    (image,) = json.loads(docker("inspect", IMAGE))
    config = image["Config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/opt/mpcseg/bin/mpcseg"]
    assert not config.get("ExposedPorts")
    assert not config.get("Volumes")
    labels = config["Labels"]
    assert labels["org.opencontainers.image.base.digest"].startswith("sha256:")
    assert re.match(r"[0-9a-f]{40}", labels["org.opencontainers.image.revision"])
    figures.note("image", f"{image['Size'] / 1e6:,.0f} MB")


def test_every_module_of_the_nodes_can_be_imported() -> None:
    """Parts of packages that no node needs were left out; none that one needs was."""
    program = """
import importlib, json, pkgutil, mpcseg
failed = []
for module in pkgutil.walk_packages(mpcseg.__path__, "mpcseg."):
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        failed.append([module.name, str(error)])
import pandas.io.parquet, pyarrow.parquet, pyarrow.dataset, sqlalchemy.dialects.sqlite
print(json.dumps(failed))
"""
    assert in_image(program) == []


def test_it_starts_with_nothing_but_what_it_has(figures: Figures) -> None:
    command = ("run", "--rm", "--read-only", "--cap-drop", "ALL", "--network", "none", IMAGE)
    assert docker(*command, "--version").startswith("mpcseg ")
    figures.note("docker run … --version", f"{seconds_of(docker, *command, '--version'):.1f} s")
