"""How the command line ends: exit status, one plain line, one hint, and never a record."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mpcseg import errors
from mpcseg.cli import commands
from mpcseg.cli.app import app, main
from mpcseg.nodes.lifetime import END_WITH_STDIN
from mpcseg.nodes.summary import ComputeSummary
from mpcseg.study.identity import load_identity
from tests.organisations import features, identity, save_identity, study_spec, write_study


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mpcseg", *arguments],
        capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


def test_an_identity_is_made_and_shown(tmp_path: Path) -> None:
    folder = str(tmp_path / "identity")
    made = run("identity", "new", "hub", "--folder", folder, "--host", "127.0.0.1")
    assert made.returncode == 0
    assert load_identity(tmp_path / "identity").card.spoken in made.stdout
    shown = run("identity", "show", folder)
    assert (shown.returncode, shown.stdout) == (0, made.stdout)


def test_an_error_is_a_line_and_a_hint_with_its_own_exit_status(tmp_path: Path) -> None:
    missing = tmp_path / "absent.toml"
    ended = run("party", "run", "--config", str(missing))
    assert ended.returncode == errors.ConfigError.exit_status
    lines = ended.stderr.splitlines()
    assert lines[0] == f"error: the configuration file {missing} does not exist"
    assert lines[1].startswith("hint: ")
    assert len(lines) == 2
    assert ended.stdout == ""


def test_an_error_cannot_steer_a_terminal_or_fill_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def steering(*_: object, **__: object) -> None:
        raise errors.ConfigError("\x1b[2J\x9b31m\x07bad\nworse" + "x" * 9000, "\x1b]0;hint\x07")

    monkeypatch.setattr("mpcseg.cli.identity.load_card", steering)
    monkeypatch.setattr(sys, "argv", ["mpcseg", "identity", "show", str(tmp_path / "hub.card")])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr().err.split("\n")
    assert shown[0].startswith("error:  [2J 31m bad worsex")
    assert shown[1:] == ["hint:  ]0;hint ", ""]
    assert len(shown[0]) == 2000 + len("error: ")
    assert all(line.isprintable() for line in shown)


def test_a_traceback_is_shown_on_request_only(tmp_path: Path) -> None:
    arguments = ("identity", "show", str(tmp_path))
    assert "Traceback" not in run(*arguments).stderr
    assert "Traceback" in run(*arguments, MPCSEG_DEBUG="1").stderr


def test_an_unexpected_failure_shows_its_place_but_not_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A defect is planted: numpy is asked to convert a text, which it then quotes."""

    def broken(*_: object, **__: object) -> None:
        float("anna@example.org, 734.25")

    monkeypatch.setattr("mpcseg.cli.identity.load_card", broken)
    monkeypatch.setattr(sys, "argv", ["mpcseg", "identity", "show", str(tmp_path / "hub.card")])
    monkeypatch.delenv("MPCSEG_DEBUG", raising=False)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as left:
            main()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert left.value.code == errors.MpcsegError.exit_status
    shown = capsys.readouterr()
    assert re.match(r"error: unexpected ValueError at mpcseg/cli/identity\.py:\d+\n", shown.err)
    assert "MPCSEG_DEBUG=1" in shown.err
    assert "734" not in shown.err + shown.out


SUMMARY = ComputeSummary({}, (), {}, 0.0, {}, 0, 0, "closed")


def test_the_limit_of_blocks_reaches_the_compute_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served: dict[str, object] = {}
    monkeypatch.setattr("mpcseg.cli.compute.compute_studies", lambda _: [study_spec()])
    monkeypatch.setattr("mpcseg.cli.compute.load_own_identity", lambda _: identity("hub"))

    def serve(studies: Any, *_: object, **given: object) -> Any:
        served.update(given)
        return {spec.digest: SUMMARY for spec in studies}

    monkeypatch.setattr("mpcseg.nodes.compute.serve_studies", serve)
    folder = str(tmp_path)
    options = ["--study", folder, "--identity", folder, "--storage", folder]
    options += ["--listen", "127.0.0.1:0", "--max-blocks", "3"]
    shown = CliRunner().invoke(app, ["compute", "serve", *options])
    assert shown.exit_code == 0, shown.output
    assert served["max_blocks"] == 3


def test_several_studies_are_told_apart_by_digest_and_one_name_for_two_is_warned_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    specs = [study_spec(), study_spec(seed=7), study_spec(name="other")]
    monkeypatch.setattr("mpcseg.cli.compute.compute_studies", lambda _: specs)
    monkeypatch.setattr("mpcseg.cli.compute.load_own_identity", lambda _: identity("hub"))

    def serve(studies: Any, *_: object, **__: object) -> Any:
        for told in studies.values():
            told.event("listening", address="127.0.0.1:7")
        return {spec.digest: SUMMARY for spec in studies}

    monkeypatch.setattr("mpcseg.nodes.compute.serve_studies", serve)
    folder = str(tmp_path)
    options = ["--study", folder, "--identity", folder, "--storage", folder]
    options += ["--listen", "127.0.0.1:0"]
    shown = CliRunner().invoke(
        app, ["compute", "serve", *options], env={"COLUMNS": "200"}, catch_exceptions=False
    )
    first, second, other = (f"{spec.name} ({spec.digest[:8]})" for spec in specs)
    for one in (first, second, other):
        assert f"{one}: listening on 127.0.0.1:7" in shown.output
    assert f"2 different agreements are named 'trial', and all are served: {first}, {second}." in (
        shown.stderr
    )
    assert "named 'other'" not in shown.stderr


@pytest.mark.parametrize("option", ["--json", "--segments-csv", "--segments-json"])
def test_a_demo_whose_results_have_no_place_does_not_start(tmp_path: Path, option: str) -> None:
    ended = run("demo", option, str(tmp_path / "absent" / "out"))
    assert ended.returncode == errors.OutputError.exit_status
    assert "there is no folder" in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("option", ["--output", "--summary"])
def test_a_key_node_whose_results_have_no_place_does_not_start(tmp_path: Path, option: str) -> None:
    given = {"--output": str(tmp_path), "--study": "-", "--identity": "-", "--address": "hub:1"}
    given[option] = str(tmp_path / "absent" / "out")
    ended = run("key", "run", *(word for pair in given.items() for word in pair))
    assert ended.returncode == errors.OutputError.exit_status
    assert "there is no folder" in ended.stderr


def test_results_are_not_waited_for_as_long_as_a_node_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpcseg.cli.party_results.DEFAULT_PATIENCE", 0.2)
    own = {name: save_identity(tmp_path / name, name) for name in ("hub", "keeper", "alder")}
    write_study(tmp_path / "a.agreement", study_spec(parties=["alder"], known=own), own)
    (tmp_path / "party.toml").write_text(
        'study = "a.agreement"\nidentity = "alder"\naddress = "127.0.0.1:1"\naudit = "audit"\n'
        "patience = 86400\n"
    )
    began = time.monotonic()
    done = CliRunner().invoke(app, ["party", "results", "--config", str(tmp_path / "party.toml")])
    assert isinstance(done.exception, errors.NodeUnreachableError)
    assert "closed" in done.exception.hint
    assert time.monotonic() - began < 30


def test_a_storage_folder_without_a_log_is_answered_with_what_to_name(tmp_path: Path) -> None:
    study = write_study(tmp_path / "a.agreement")
    done = CliRunner().invoke(app, ["storage", "check", str(study), str(tmp_path)])
    assert isinstance(done.exception, errors.EvidenceError)
    assert "--storage" in done.exception.hint


def test_a_command_line_that_cannot_be_read_is_status_2() -> None:
    for arguments in (["party", "run", "--no-such-option"], ["no-such-command"]):
        assert CliRunner().invoke(app, arguments).exit_code == 2


def test_the_version_is_shown() -> None:
    shown = CliRunner().invoke(app, ["--version"]).output
    assert re.fullmatch(r"mpcseg \d+\.\d+\.\d+\n", shown)


@pytest.mark.parametrize(
    "command",
    [(), ("identity", "new"), ("identity", "show"), ("study", "new"), ("study", "sign"),
     ("study", "show"), ("study", "verify"), ("plan",), ("compute", "serve"), ("party", "run"),
     ("key", "run"), ("demo",)],
    ids=" ".join,
)  # fmt: skip
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    options = re.findall(r"^│[ *]+--[a-z0-9-]+ +(?:-c)? +<[^>]+>(.*)│$", shown.output, re.MULTILINE)
    assert len(options) == len(re.findall(r"^│[ *]+--", shown.output, re.MULTILINE)) > 0
    assert all(len(line.split()) > 1 for line in options)


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A party node that waits, patiently, for a compute node that is not there."""
    known = {"alder": save_identity(tmp_path / "alder", "alder")}
    spec = study_spec(parties=("alder",), known=known, features=features("v"))
    study = write_study(tmp_path / "trial.agreement", spec, known)
    (tmp_path / "customers.csv").write_text("id,v\na,-1\nb,0\nc,1\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "mpcseg", "party", "run", "--study", str(study),
         "--identity", str(tmp_path / "alder"), "--address", "127.0.0.1:9", "--id-column", "id",
         "--data", str(tmp_path / "customers.csv"), "--audit", str(tmp_path / "audit")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True, env={**os.environ, END_WITH_STDIN: "1"},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if "does not answer" in line:
                break
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_suspends_a_node_in_good_order(
    waiting: subprocess.Popen[str], number: signal.Signals, tmp_path: Path
) -> None:
    waiting.send_signal(number)
    assert waiting.wait(timeout=30) == errors.SuspendedError.exit_status
    _, rest = waiting.communicate()
    said = "error: stopped; start it again with the same command and it goes on"
    assert rest.splitlines()[-1] == said
    assert "Traceback" not in rest
    (log,) = (tmp_path / "audit").glob("*.sqlite")
    with contextlib.closing(sqlite3.connect(log)) as database:
        entries = database.execute("SELECT count(*) FROM entries").fetchone()[0]
        signed = database.execute("SELECT max(size) FROM heads").fetchone()[0]
    # It was never let in, and has begun nothing.
    assert (entries, signed) == (0, None)


def test_a_second_signal_ends_a_suspended_node_at_once() -> None:
    """It is a real one, sent to a process whose cleaning up hangs."""
    code = (
        "import os, signal, time\n"
        "from mpcseg.cli.suspension import suspendable\n"
        "with suspendable():\n"
        "    try:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    finally:\n"
        "        print('cleaning up', flush=True)\n"
        "        time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout as shown:
        assert shown.readline() == "cleaning up\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == -signal.SIGINT


def test_a_node_ends_when_the_program_that_started_it_is_gone(
    waiting: subprocess.Popen[str],
) -> None:
    assert waiting.stdin is not None
    waiting.stdin.close()
    began = time.monotonic()
    assert waiting.wait(timeout=30) == errors.SuspendedError.exit_status
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("module", "unused"),
    [
        ("app", {"numpy", "pandas", "tenseal", "grpc"}),
        ("compute", {"pandas", "pyarrow", "scipy.stats", "sklearn", "altair"}),
        ("key", {"pandas", "pyarrow", "scipy.stats", "sklearn", "altair", "tenseal"}),
        ("study", {"pandas", "pyarrow", "scipy.stats", "sklearn", "altair", "tenseal"}),
        ("party", {"scipy.stats", "sklearn", "altair"}),
    ],
)
def test_a_command_imports_no_large_library_that_it_has_no_use_for(
    module: str, unused: set[str]
) -> None:
    """They take seconds, which every start of a node would wait for."""
    code = f"import sys, mpcseg.cli.{module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert f"mpcseg.cli.{module}" in done.stdout.split()
    assert not unused & set(done.stdout.split())


def test_every_command_is_in_the_help_with_what_it_does() -> None:
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    for name in commands.NAMES:
        assert re.search(rf"^\W*{name}\s+\w+ \w+", shown, re.MULTILINE), name


def test_a_mistyped_command_is_told_the_one_that_was_meant() -> None:
    shown = CliRunner().invoke(app, ["studdy"])
    assert shown.exit_code == 2
    assert "Did you mean 'study'?" in shown.output
