"""The search of `mpcseg audit exposure` finds what is there: in every form, at every place."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame

from mpcseg.ckks.parameters import TARGET_SCALE
from mpcseg.demo.customers import Customers
from mpcseg.errors import ExposureError
from mpcseg.nodes.progress import SilentProgress
from mpcseg.verification.exposure.canaries import exact_centers
from mpcseg.verification.exposure.http2 import reassembled
from mpcseg.verification.exposure.memory import copy_memory, process_tree, stopped
from mpcseg.verification.exposure.patterns import (
    Pattern,
    patterns_of,
    patterns_of_names,
    rounded_patterns_of,
)
from mpcseg.verification.exposure.places import INSIDE, Place, wire
from mpcseg.verification.exposure.report import Report
from mpcseg.verification.exposure.scanner import Scanner
from mpcseg.verification.exposure.search import Controls, Search
from mpcseg.wire.v1 import blob_pb2

RNG = np.random.default_rng(11)
AMOUNTS = RNG.uniform(1, 5000, (20, 2))
SHARES = RNG.uniform(-1, 1, (20, 2))
TINY = np.array([[0.00034567891234, -1.23456789012e-5]])
NAMES = ("alder-6f02c7d1", "alder-19e4aa05")


def all_patterns() -> list[Pattern]:
    return [
        *patterns_of("amount", AMOUNTS),
        *patterns_of("share", SHARES, is_scaled=True),
        *patterns_of("tiny", TINY),
        *patterns_of_names("name", NAMES),
    ]


SCANNER = Scanner(all_patterns())


def scanner() -> Scanner:
    return SCANNER


def varints(*numbers: int) -> bytes:
    """As protobuf writes them; computed apart from what is tested."""
    message = blob_pb2.BlobChunk
    tag_of_offset = b"\x08"
    return b"".join(
        message(offset=n).SerializeToString().removeprefix(tag_of_offset) for n in numbers
    )


def at_scale(row: int) -> list[int]:
    return [round(value * TARGET_SCALE) for value in SHARES[row].tolist()]


def filler(length: int) -> bytes:
    return RNG.bytes(length)


FORMS = {
    "a double": SHARES[3, 1].tobytes(),
    "a double, big-endian": SHARES[3, 1].astype(">f8").tobytes(),
    "a row in single precision": SHARES[3].astype("<f4").tobytes(),
    "a row in single precision, big-endian": SHARES[3].astype(">f4").tobytes(),
    "a column in single precision": SHARES[2:4, 1].astype("<f4").tobytes(),
    "text": repr(float(AMOUNTS[5, 0])).encode(),
    "text of ten digits": f"{AMOUNTS[5, 0]:.10g}".encode(),
    "a share as text": f"{SHARES[1, 0]:.10f}".encode(),
    "text with an exponent": f"{AMOUNTS[5, 0]:.10e}".encode(),
    "a tiny number as text": repr(float(TINY[0, 0])).encode(),
    "a tinier number as text": repr(float(TINY[0, 1])).encode(),
    "a tinier number without exponent": f"{TINY[0, 1]:.16f}".encode(),
    "a row of a CSV file": ",".join(map(repr, AMOUNTS[7].tolist())).encode(),
    "text with decimal comma": f"{AMOUNTS[5, 0]:.8f}".replace(".", ",").encode(),
    "text with thousands separators": f"{AMOUNTS.max():,.8f}".encode(),
    "text, German": f"{AMOUNTS.max():,.8f}".translate(str.maketrans(",.", ".,")).encode(),
    "text, UTF-16": repr(float(AMOUNTS[5, 0])).encode("utf-16-le"),
    "text, UTF-16, big-endian": repr(float(AMOUNTS[5, 0])).encode("utf-16-be"),
    "text in hexadecimal": repr(float(AMOUNTS[5, 0])).encode().hex().encode(),
    "a double in hexadecimal": SHARES[3, 1].tobytes().hex().encode(),
    "a double in capital hexadecimal": SHARES[3, 1].astype(">f8").tobytes().hex().upper().encode(),
    "a double in base64": base64.b64encode(SHARES[3, 1].tobytes()),
    "a double in base64, one byte on": base64.b64encode(b"\x07" + SHARES[3, 1].tobytes()),
    "a double in base64, two bytes on": base64.b64encode(b"\x07\x07" + SHARES[3, 1].tobytes()),
    "doubles in URL-safe base64": base64.urlsafe_b64encode(SHARES.tobytes()),
    "text in base64": base64.b64encode(b"x" + repr(float(AMOUNTS[5, 0])).encode()),
    "doubles in base64, in lines": base64.encodebytes(SHARES.tobytes()),
    "protobuf, packed doubles": blob_pb2.BlobChunk(data=SHARES[3].tobytes()).SerializeToString(),
    "integers at scale": np.array(at_scale(3), "<i8").tobytes(),
    "integers at scale, big-endian": np.array(at_scale(3), ">i8").tobytes(),
    "varints at scale": varints(*(number % 2**64 for number in at_scale(3))),
    "zigzag varints at scale": varints(*(2 * n if n >= 0 else -2 * n - 1 for n in at_scale(3))),
    "a name": NAMES[1].encode(),
    "a name in base64": base64.b64encode(b"id=" + NAMES[1].encode()),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_found_at_every_place(form: str) -> None:
    content, looked_for = FORMS[form], scanner()
    for before in (0, 1, 2, 3, 5, 1000, (1 << 20) - 3):
        assert looked_for.names(filler(before) + content + filler(7)), before
    assert looked_for.names(content), "alone"


def zipped(content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("first", b"of no interest")
        archive.writestr("second", content)
    return file.getvalue()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "zlib, hardly": lambda content: zlib.compress(content, 1),
    "gzip": gzip.compress,
    "zip": zipped,
    "zstd": zstandard.ZstdCompressor().compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "base64": base64.b64encode,
    "base64 in lines": base64.encodebytes,
}
TABLE = "\n".join(map(str, AMOUNTS.tolist())).encode()


@pytest.mark.parametrize("outer", ["", *PACKINGS])
@pytest.mark.parametrize("inner", PACKINGS)
def test_what_is_packed_is_found_nested_twice(inner: str, outer: str) -> None:
    packed = PACKINGS[inner](TABLE)
    if outer:
        packed = PACKINGS[outer](packed)
    found = scanner().names(filler(1001) + b" " + packed + b" " + filler(7))
    assert {name.partition("]")[0] for name in found} >= {"amount[0, 0", "amount[19, 1"}


def test_of_a_broken_stream_the_beginning_is_found() -> None:
    for pack in (zlib.compress, gzip.compress, zstandard.ZstdCompressor().compress):
        names = scanner().names(filler(99) + pack(TABLE * 2000)[:-9])
        assert any(name.startswith("amount[0, 0]") for name in names)


def test_a_bomb_is_unpacked_to_a_limit_only() -> None:
    bomb = zlib.compress(zlib.compress(bytes(1 << 27)))
    assert scanner().names(bomb) == set()


def test_rounded_numbers_are_found_in_logs() -> None:
    logs = Scanner(rounded_patterns_of("amount", AMOUNTS))
    for form in (".6g", ".2f", ".3f", ".4f"):
        assert logs.names(f"customer spent {AMOUNTS.max():{form}} so far".encode()), form


def serialised(*frames: Frame) -> bytes:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    return preface + b"".join(frame.serialize() for frame in frames)


def found_in_stream(stream: bytes) -> set[str]:
    assert not scanner().names(stream), "cut, so that it is not seen in the stream as it is"
    return {name for part in reassembled(memoryview(stream)) for name in scanner().names(part)}


def test_what_a_frames_border_cuts_is_found() -> None:
    text = repr(float(AMOUNTS[5, 0])).encode()
    for cut in range(1, 7):
        between = DataFrame(5, b"of another stream")
        body = serialised(DataFrame(3, b"ab" + text[:cut]), between, DataFrame(3, text[cut:6]))
        assert not found_in_stream(body)
        body += DataFrame(3, text[6:], flags=["PADDED"], pad_length=9).serialize()
        assert "amount[5, 0], text" in found_in_stream(body), cut
    first, last = HeadersFrame(7, text[:6]), ContinuationFrame(7, text[6:], flags=["END_HEADERS"])
    assert "amount[5, 0], text" in found_in_stream(serialised(first, last))


def message(content: bytes) -> bytes:
    return b"\0" + len(content).to_bytes(4, "big") + content


def test_what_the_borders_of_messages_and_chunks_cut_is_found() -> None:
    double = SHARES[3, 1].tobytes()
    parts = [
        message(blob_pb2.UploadRequest(chunk=blob_pb2.BlobChunk(data=data)).SerializeToString())
        for data in (b"so far" + double[:5], double[5:] + b"and on")
    ]
    name = "share[3, 1], double, little-endian"
    assert name in found_in_stream(serialised(DataFrame(1, b"".join(parts))))
    raw = message(double[:3]) + message(double[3:])
    assert name in found_in_stream(serialised(DataFrame(1, raw)))


def test_centroids_are_found_in_a_memory_with_all_their_digits() -> None:
    memory = filler(8000) + SHARES[6].tobytes() + filler(800) + SHARES[6, :1].tobytes()
    known = np.array([[float(f"{value:.5g}") for value in row] for row in SHARES[5:8]])
    assert exact_centers(memoryview(memory), known).tolist() == [SHARES[6].tolist()]
    assert exact_centers(memoryview(filler(8000)), known).shape == (0, 2)


def test_random_bytes_and_other_numbers_are_not_found() -> None:
    looked_for = scanner()
    assert looked_for.names(filler(1 << 22)) == set()
    others = np.random.default_rng(12).uniform(1, 5000, 100_000)
    assert looked_for.names(others.tobytes()) == set()
    assert looked_for.names("\n".join(map(repr, others.tolist())).encode()) == set()


def test_a_number_that_others_look_like_is_no_canary() -> None:
    for value in (0.0, 0.5, 1.0, 1e-9, float(np.float32(0.1))):
        with pytest.raises(ValueError, match="too few bits"):
            patterns_of("round", np.array([[value]]))


def test_files_are_searched_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "deep" / "down").mkdir(parents=True)
    (tmp_path / "deep" / "down" / "log.txt").write_text(f"sum is {AMOUNTS[0, 0]!r}")
    (tmp_path / f"cluster-{AMOUNTS[1, 1]!r}").touch()
    (tmp_path / "harmless").write_bytes(filler(1000))
    found = scanner().in_files(tmp_path)
    assert [e.place.partition("-")[0] for e in found] == ["cluster", "deep/down/log.txt"]


WORKER = """
import sys, numpy
held = numpy.frombuffer(bytes.fromhex(sys.stdin.readline()), float) + 0
print("ready", flush=True)
sys.stdin.readline()
"""


def test_a_canary_in_the_memory_of_a_child_process_is_found(tmp_path: Path) -> None:
    """As a worker of the compute node would hold it: an array of numbers that a pipe brought."""
    process = subprocess.Popen(
        ["sh", "-c", '"$0" -c "$1"; true', sys.executable, WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(SHARES[4].tobytes().hex().encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"ready\n"
        looked_for = scanner()
        shell, worker = process_tree(process.pid)
        copies = tmp_path / "shell", tmp_path / "worker"
        with stopped([shell, worker]):
            for pid, copy in zip((shell, worker), copies, strict=True):
                assert copy_memory(pid, copy) >= copy.stat().st_size > 0
        assert not looked_for.in_file(copies[0])
        names = {pattern.name for pattern in looked_for.in_file(copies[1])}
        assert {"share[4, 0], double, little-endian", "share[4, 1], double, little-endian"} <= names
        assert not [name for name in names if not name.startswith("share[4, ")]
    finally:
        process.communicate(b"\n")


OWN = Customers(NAMES, AMOUNTS[:5])


@pytest.mark.parametrize("is_wire", [True, False])
def test_a_search_that_finds_no_planted_value_fails(tmp_path: Path, is_wire: bool) -> None:
    recorded = tmp_path / "recorded"
    recorded.write_bytes(serialised(DataFrame(3, filler(2000))))
    place = (
        Place(INSIDE, [recorded], tmp_path, read=wire)
        if is_wire
        else Place("disk", [recorded], tmp_path)
    )
    controls = Controls(tmp_path / "controls", "alder", OWN)
    able = Search(patterns_of("alder's record", OWN.values), [])
    blind = Search(patterns_of("alder's record", SHARES[:5]), [])
    for _ in range(5):
        assert controls.verify_place(able, place).startswith("found: ")
        with pytest.raises(ExposureError, match=f"{place.name}: a record that was planted"):
            controls.verify_place(blind, place)
    assert controls.verify_memory(able, place).startswith("found: ")
    with pytest.raises(ExposureError, match="a record that was planted"):
        controls.verify_memory(blind, place)
    with pytest.raises(ExposureError, match="there is nothing to search"):
        controls.verify_place(able, Place("disk", [], tmp_path))


def test_what_belongs_to_a_place_is_told_from_what_does_not(tmp_path: Path) -> None:
    (tmp_path / "memory").write_bytes(AMOUNTS[0].tobytes() + filler(99) + SHARES[0].tobytes())
    place = Place("alder's memory", [tmp_path / "memory"], tmp_path, may_hold=("amount",))
    outcome = Search(all_patterns(), []).place(place, SilentProgress())
    assert {e.pattern.kind + e.pattern.item for e in outcome.found} == {
        "share[0, 0]",
        "share[0, 1]",
    }
    assert {e.place for e in outcome.found} == {"memory"}
    assert outcome.allowed == 2
    report = Report((outcome,), 1, 1, 1.0, 1.0)
    with pytest.raises(ExposureError, match="alder's memory: share stands in memory, as double"):
        report.verify()
