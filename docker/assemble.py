"""Pick the files of the image: the interpreter, the environment, and the libraries that they need.

Runs in the build stage of the Dockerfile, with the base's own Python and nothing else. What is not
picked is not in the image: no shell, no package manager, no other program.

    python3.11 assemble.py /opt/mpcseg /image

Leaves the image's root in /image, what its user owns in /owned, and the Debian packages that files
were taken from in /work/packages.json, for sbom.py.
"""

from __future__ import annotations

import compileall
import json
import os
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

USER = 65532
"""Of the image; the number that images without a shell use by custom."""

OWNED = Path("/owned")
PACKAGES = Path("/work/packages.json")

# Parts of the standard library that no node uses.
_NOT_OF_STDLIB = {
    "__pycache__",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "test",
    "tkinter",
    "turtledemo",
}
# Tests, headers and sources of packages, and what Arrow has for clouds and clusters.
_NOT_OF_PACKAGES = (
    "**/tests",
    "numpy/*/include",
    "pandas/_libs/include",
    "pyarrow/_flight.*",
    "pyarrow/_s3fs.*",
    "pyarrow/include",
    "pyarrow/includes",
    "pyarrow/libarrow*_flight*",
    "pyarrow/libarrow_s3*",
    "pyarrow/src",
    "pyarrow/**/*.pxd",
    "pyarrow/**/*.pyx",
    "altair/datasets/_metadata",
    "sklearn/datasets/data",
    "sklearn/datasets/images",
    "zstandard/**/*.c",
)
# Loaded by name while a program runs, so that no file says that it needs it.
_LOADED_LATER = ("libgcc_s.so.1",)
# A good part of these is a table that only a debugger reads. Others have none, or were patched when
# their wheel was made, which does not survive being stripped.
_SYMBOLS = ("opendp/lib/*.so", "sqlalchemy/**/*.so", "zstandard/*.so")
_DATA = ("/etc/ssl/certs/ca-certificates.crt", "/usr/share/zoneinfo", "/usr/lib/os-release")
_ELF = b"\x7fELF"


def main(environment: Path, image: Path) -> None:
    """Fill the image's root."""
    _prune(environment)
    interpreter = Path(sys.executable).resolve()
    stdlib = Path(sysconfig.get_path("stdlib"))

    _usr_merged(image)
    taken = [interpreter, *_stdlib_files(stdlib)]
    libraries = _needed_by([interpreter, *_elf_files(stdlib), *_elf_files(environment)])
    taken += [path for path in libraries if not path.is_relative_to(environment)]
    taken += [path for name in _DATA for path in _files(Path(name))]
    for path in taken:
        _copy(path, image)
    shutil.copytree(environment, image / environment.relative_to("/"), symlinks=True)
    _users(image)
    subprocess.run(["ldconfig", "-r", str(image)], check=True)
    _compile(image, [stdlib, environment])

    owners = _debian_packages()
    packages = sorted({owners[name] for path in taken if (name := _canonical(path)) in owners})
    _keep_licences(packages, image)
    facts = {
        "packages": [_facts(package) for package in packages],
        # Where the base's Python is not of a Debian package, nothing else lists it.
        "interpreter": None if _canonical(interpreter) in owners else sys.version.split()[0],
    }
    PACKAGES.write_text(json.dumps(facts, indent=1))
    _one_moment([image, OWNED])
    print(f"image: {len(packages)} Debian packages, {_megabytes(image):.0f} MB")


def _prune(environment: Path) -> None:
    (packages,) = environment.glob("lib/python3*/site-packages")
    for pattern in _NOT_OF_PACKAGES:
        for path in list(packages.glob(pattern)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    for path in [path for pattern in _SYMBOLS for path in packages.glob(pattern)]:
        subprocess.run(["strip", "--strip-unneeded", str(path)], check=True)
    for path in (environment / "bin").iterdir():
        if path.name not in {"mpcseg", "python", "python3", "python3.11"}:
            path.unlink()


def _usr_merged(image: Path) -> None:
    for name in ("bin", "lib", "lib64", "sbin"):
        target = Path("/") / name
        if target.is_symlink():
            (image / "usr" / name).mkdir(parents=True)
            (image / name).symlink_to(f"usr/{name}")
    for name in ("study", "proc", "sys", "dev"):
        (image / name).mkdir(parents=True)
    (image / "tmp").mkdir()
    (image / "tmp").chmod(0o1777)
    state = OWNED / "state"
    state.mkdir(parents=True)
    state.chmod(0o700)


def _stdlib_files(stdlib: Path) -> list[Path]:
    return [
        path
        for path in _files(stdlib)
        if not _NOT_OF_STDLIB & set(path.relative_to(stdlib).parts)
        and not any(part.startswith("config-") for part in path.relative_to(stdlib).parts)
        and path.suffix != ".pyc"
    ]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(found for found in path.rglob("*") if found.is_file() or found.is_symlink())


def _elf_files(folder: Path) -> list[Path]:
    found = []
    for path in _files(folder):
        if path.is_file() and not path.is_symlink():
            with path.open("rb") as file:
                if file.read(4) == _ELF:
                    found.append(path)
    return found


def _needed_by(programs: list[Path]) -> list[Path]:
    """Every shared library that the loader takes for these, links and their targets."""
    found: set[Path] = set()
    # A wheel's own libraries find each other by the search path of the module that loads them.
    bundled = {program.name for program in programs}
    for program in programs:
        said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
        missing = set(re.findall(r"(\S+) => not found", said.stdout)) - bundled
        if missing:
            raise SystemExit(f"error: {program} needs {min(missing)}, which the base has not")
        found |= {Path(name) for name in re.findall(r"(?:=> |^\s*)(/\S+) \(0x", said.stdout, re.M)}
    where = next(path.parent for path in found if path.name.startswith("libc.so"))
    found |= {where / name for name in _LOADED_LATER}
    return sorted({real for path in found for real in (path, _target(path))})


def _target(path: Path) -> Path:
    """What a link leads to, in the folder that the link is in."""
    return path.parent / path.resolve().name


def _copy(path: Path, image: Path) -> None:
    """Copy a file under its canonical folder; links stay links, where what they name is there."""
    if path.is_symlink() and not path.exists():
        return
    place = image / _canonical(path).lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.is_symlink() or place.exists():
        return
    inside = path.is_symlink() and not path.readlink().is_absolute()
    shutil.copy2(path, place, follow_symlinks=not inside)


def _canonical(path: Path) -> str:
    """The path without links in its folders: /lib/x as /usr/lib/x."""
    return str(path.parent.resolve() / path.name)


def _users(image: Path) -> None:
    etc = image / "etc"
    etc.mkdir(exist_ok=True)
    (etc / "passwd").write_text(
        "root:x:0:0:root:/:/none\n" + f"mpcseg:x:{USER}:{USER}:mpcseg:/tmp:/none\n"
    )
    (etc / "group").write_text(f"root:x:0:\nmpcseg:x:{USER}:\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    (etc / "os-release").symlink_to("../usr/lib/os-release")


def _compile(image: Path, folders: list[Path]) -> None:
    """Byte code beside the sources: the root file system is read-only when the image runs."""
    for folder in folders:
        done = compileall.compile_dir(
            str(image / folder.relative_to("/")),
            quiet=1,
            stripdir=str(image),
            prependdir="/",
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            workers=os.cpu_count() or 1,
        )
        if not done:
            raise SystemExit(f"error: {folder} cannot be compiled")


def _debian_packages() -> dict[str, str]:
    """Which package each file of the base is of, by its canonical path."""
    owners = {}
    for listing in Path("/var/lib/dpkg/info").glob("*.list"):
        for line in listing.read_text().splitlines():
            owners[_canonical(Path(line))] = listing.name.removesuffix(".list")
    return owners


def _facts(package: str) -> dict[str, str]:
    fields = ("Package", "Version", "Architecture", "source:Package", "source:Version")
    form = "\\n".join(f"${{{field}}}" for field in fields)
    said = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={form}", package],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(
        zip(
            ("name", "version", "architecture", "source", "source_version"),
            said.stdout.split("\n"),
            strict=True,
        )
    )


def _keep_licences(packages: list[str], image: Path) -> None:
    """What Debian's packages are under, and what a scanner knows them by."""
    status = image / "var/lib/dpkg/status.d"
    status.mkdir(parents=True)
    for package in packages:
        name = package.partition(":")[0]
        said = subprocess.run(
            ["dpkg-query", "--status", package], capture_output=True, text=True, check=True
        )
        (status / name).write_text(said.stdout)
        copyright_file = Path("/usr/share/doc") / name / "copyright"
        if copyright_file.exists():
            place = image / f"usr/share/doc/{name}/copyright"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(copyright_file.resolve(), place)


def _one_moment(folders: list[Path]) -> None:
    """Give every file the same time, so that two builds of the same sources are the same."""
    moment = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    for folder in folders:
        for path in [folder, *folder.rglob("*")]:
            os.utime(path, (moment, moment), follow_symlinks=False)


def _megabytes(folder: Path) -> float:
    return sum(path.lstat().st_size for path in folder.rglob("*")) / 1e6


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
