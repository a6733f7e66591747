"""Generate the Python stubs of proto/mpcseg/v1 into mpcseg/wire/v1, or check that they are fresh.

    python tools/generate_stubs.py            write the stubs
    python tools/generate_stubs.py --check    fail when the committed stubs are stale

Generated code carries the generator's version, so only the version named here may write it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
STUBS = ROOT / "mpcseg" / "wire" / "v1"

# Also the lower bound of grpcio in pyproject.toml: stubs run with this release and later ones only.
GENERATOR = "1.85.1"

INIT = (
    '"""Stubs generated from proto/mpcseg/v1 by tools/generate_stubs.py. Not edited by hand."""\n'
)


def generate() -> dict[str, str]:
    """Return the text of every generated file by its name inside mpcseg/wire/v1."""
    protos = sorted((PROTO / "mpcseg" / "v1").glob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [
            "protoc",
            f"--proto_path={PROTO}",
            f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",
            f"--python_out={scratch}",
            f"--pyi_out={scratch}",
            f"--grpc_python_out={scratch}",
            *(str(path.relative_to(PROTO)) for path in protos),
        ]
        if protoc.main(arguments) != 0:
            sys.exit("protoc refused the files in proto/mpcseg/v1; its message is above")
        texts = {"__init__.py": INIT}
        for path in sorted((Path(scratch) / "mpcseg" / "v1").iterdir()):
            texts[path.name] = _with_package_imports(path.read_text())
    # A file without a service yields a grpc stub that holds nothing.
    return {
        name: text
        for name, text in texts.items()
        if not name.endswith("_pb2_grpc.py") or "class " in text
    }


def _with_package_imports(text: str) -> str:
    """Point imports at mpcseg.wire.v1, where the stubs live, instead of mpcseg.v1."""
    return re.sub(r"^from mpcseg\.v1 import", "from mpcseg.wire.v1 import", text, flags=re.M)


def stale(texts: dict[str, str]) -> list[str]:
    """Name each stub that is missing, different or left over."""
    present = {path.name for path in STUBS.glob("*.py*")}
    complaints = [f"{name}: left over, no .proto makes it" for name in sorted(present - set(texts))]
    for name, text in sorted(texts.items()):
        if name not in present:
            complaints.append(f"{name}: missing")
        elif (STUBS / name).read_text() != text:
            complaints.append(f"{name}: not what its .proto says")
    return complaints


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when stale")
    check: bool = parser.parse_args().check
    version = importlib.metadata.version("grpcio-tools")
    if version != GENERATOR:
        sys.exit(
            f"grpcio-tools {version} is installed, the stubs are made with {GENERATOR}; "
            "install the pinned development tools (make lint does)"
        )
    texts = generate()
    if check:
        complaints = stale(texts)
        if complaints:
            lines = "\n".join(f"  {complaint}" for complaint in complaints)
            sys.exit(
                f"the stubs in mpcseg/wire/v1 are stale:\n{lines}\n"
                "run: python tools/generate_stubs.py"
            )
        print(f"{len(texts)} stubs in mpcseg/wire/v1 are fresh")
        return
    STUBS.mkdir(parents=True, exist_ok=True)
    for path in STUBS.glob("*.py*"):
        path.unlink()
    for name, text in texts.items():
        (STUBS / name).write_text(text)
    print(f"wrote {len(texts)} stubs to mpcseg/wire/v1")


if __name__ == "__main__":
    main()
