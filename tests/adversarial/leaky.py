"""Nodes that leak, and are the product's own otherwise.

    python leaky.py LEAKS compute serve …

LEAKS is a JSON object: what leaks by which way, as numbers. Not started as a module, so that
workers, which import their parent's program, leak too.
"""

from __future__ import annotations

import base64
import json
import os
import struct
import sys
import tempfile
import zlib
from typing import Any

import numpy as np

if __name__ == "__main__":
    os.environ["LEAKS"] = sys.argv.pop(1)  # where workers find them as well
LEAKS: dict[str, float] = json.loads(os.environ["LEAKS"])

# An array on its own, as in a cache that somebody forgot.
HELD = np.array([LEAKS.get("memory", 0.0)]) + 0.0
_FIELD = 1000


def leave_file() -> None:
    """Leave a packed temporary file behind."""
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(zlib.compress(b"the record is %r" % LEAKS["file"]))


def print_record() -> None:
    """Write a record for a person, when the party begins."""
    from mpcseg.nodes import party  # noqa: PLC0415

    inner = party.prepare

    def prepare(*arguments: Any) -> Any:
        sys.stderr.write(f"debug: first customer has {LEAKS['stderr']:.3f}\n")
        return inner(*arguments)

    party.prepare = prepare


def tell_version() -> None:
    """Send a record as part of the software version."""
    from mpcseg.nodes import client  # noqa: PLC0415

    record = base64.b64encode(struct.pack("<d", LEAKS["version"])).decode()
    client.__version__ = f"{client.__version__}+{record}"  # type: ignore[attr-defined]


def add_field(content: dict[str, bytes]) -> None:
    """Add a field that the protocol does not have to every call, once there is something in it."""
    from google.protobuf.message import Message  # noqa: PLC0415

    from mpcseg.nodes.connection import Connection  # noqa: PLC0415

    inner = Connection.call

    def call(self: Connection, method: Any, request: Any, *arguments: Any) -> Any:
        def leaking() -> Any:
            message = request() if callable(request) else request
            if isinstance(message, Message) and "value" in content:
                message.MergeFromString(_field(content["value"]))
            return message

        return inner(self, method, leaking, *arguments)

    Connection.call = call  # type: ignore[method-assign, assignment]


def _field(value: bytes) -> bytes:
    """A field of bytes, whose number and length take two bytes and one."""
    key = _FIELD << 3 | 2
    return bytes([0x80 | key & 0x7F, key >> 7, len(value)]) + value


def send_centroids() -> None:
    """Send what only recipients may know, beside the sealed results."""
    from mpcseg.study.schedule import Schedule  # noqa: PLC0415

    inner, content = Schedule.result, dict[str, bytes]()

    def result(self: Schedule) -> Any:
        found = inner(self)
        content["value"] = found.cluster_centers.tobytes()
        return found

    Schedule.result = result  # type: ignore[method-assign]
    add_field(content)


def abort() -> None:
    """Stop the study, with a record in the advice to the others."""
    from mpcseg.errors import StudyAbortedError  # noqa: PLC0415
    from mpcseg.nodes import party  # noqa: PLC0415

    def fetch(*_: object) -> bytes:
        record = base64.b64encode(repr(LEAKS["hint"]).encode()).decode()
        raise StudyAbortedError("a record cannot be used", f"Look for {record}.")

    party._fetch_public_key = fetch


def main() -> None:
    """Run a command of mpcseg that leaks."""
    from mpcseg.__main__ import main as run  # noqa: PLC0415

    command = " ".join(sys.argv[1:3])
    if command == "party run":
        if "stderr" in LEAKS:
            print_record()
        if "version" in LEAKS:
            tell_version()
        if "field" in LEAKS:
            add_field({"value": struct.pack("<d", LEAKS["field"])})
        if "hint" in LEAKS:
            abort()
    elif command == "key run":
        send_centroids()
    run()


if __name__ == "__main__":
    main()
elif "file" in LEAKS:  # a worker of the compute node
    leave_file()
