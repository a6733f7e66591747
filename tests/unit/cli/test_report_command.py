"""``mpcseg report``: from an agreement and results, sealed or opened, to files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpcseg.cli.app import app
from mpcseg.errors import AgreementError, ConfigError, MpcsegError, OutputError, SealError
from mpcseg.report import formats
from mpcseg.study.results import make_results, seal_results
from tests.made_up import FEATURES, SPENT, finished
from tests.organisations import identity, save_identity, study_spec, write_study

RESULT = finished([1200, 650, 303, 90])


class Study:
    """An agreement with an organisation that has its identity in a folder, and sealed results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        own = save_identity(folder / "alder", "alder")
        known = {"alder": own}
        self.spec = study_spec(
            known=known,
            n_clusters=4,
            features=FEATURES,
            release={"report": ["alder"], "centroids": ["alder", "birch"]},
        )
        self.agreement = write_study(folder / "trial.agreement", self.spec, known)
        sealed = seal_results(self.spec, identity("keeper"), RESULT, SPENT)
        (folder / "alder.sealed").write_bytes(sealed["alder"])
        for name in ("alder", "birch"):
            opened = make_results(self.spec, name, RESULT, SPENT)
            (folder / f"{name}.json").write_text(json.dumps(opened.document, indent=2))

    def run(self, *options: object, fails: type[MpcsegError] | None = None) -> str:
        arguments = ["report", self.agreement, "--output", self.folder / "out", *options]
        done = CliRunner().invoke(app, [str(a) for a in arguments])
        if fails is None:
            if done.exception:
                raise done.exception
            return done.output
        assert type(done.exception) is fails, (done.exception, done.output)
        return f"{done.exception.message} {done.exception.hint}"

    def report(self) -> str:
        return (self.folder / "out" / "report.json").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("report"))


def test_sealed_results_become_a_report_that_says_their_signature_was_checked(
    study: Study,
) -> None:
    own = ("--identity", study.folder / "alder")
    output = study.run("--sealed", study.folder / "alder.sealed", *own, "--format", "json,csv")
    assert (
        output == f"written: {study.folder}/out/tables\nwritten: {study.folder}/out/report.json\n"
    )
    assert "signed by keeper, which runs the key node; checked for this report" in study.report()
    assert study.spec.digest in study.report()
    assert (study.folder / "out" / "tables" / "segments.csv").read_text().startswith("segment,name")


def test_opened_results_need_no_identity_and_the_report_says_that_nothing_was_checked(
    study: Study,
) -> None:
    study.run("--results", study.folder / "alder.json", "--format", "json")
    assert "not checked again" in study.report()
    assert "checked for this report" not in study.report()


def test_changed_sealed_results_make_no_report(study: Study, tmp_path: Path) -> None:
    content = bytearray((study.folder / "alder.sealed").read_bytes())
    content[-1] ^= 1
    (tmp_path / "changed").write_bytes(content)
    own = ("--identity", study.folder / "alder")
    assert "were changed on the way" in study.run(
        "--sealed", tmp_path / "changed", *own, fails=SealError
    )


def test_who_receives_no_report_gets_none(study: Study) -> None:
    message = study.run("--results", study.folder / "birch.json", fails=AgreementError)
    assert "'birch' receives the centroids of 'trial' only" in message


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "no results are named"),
        (("--results", "a", "--address", "127.0.0.1:1"), "named more than once"),
        (("--sealed", "a"), "opened with an identity, and none is given"),
        (("--results", "a", "--format", "html,doc"), "no report as 'doc'"),
        (("--results", "there-is-none.json"), "there-is-none.json"),
    ],
)
def test_what_is_missing_is_named(study: Study, options: tuple[str, ...], says: str) -> None:
    assert says in study.run(*options, fails=ConfigError)


def test_logs_that_are_not_there_are_named(study: Study, tmp_path: Path) -> None:
    options = ("--results", study.folder / "alder.json", "--audit", tmp_path)
    assert "there is no audit log of 'trial'" in study.run(*options, fails=ConfigError)


def test_without_the_extra_it_says_what_to_install(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    message = study.run("--results", study.folder / "alder.json", fails=ConfigError)
    assert "altair, vl-convert-python, typst, xlsxwriter, which are not installed" in message
    assert "pip install 'mpcseg[report]'" in message


def test_a_folder_without_a_parent_is_refused_before_anything_is_made(study: Study) -> None:
    arguments = ["report", str(study.agreement), "--results", "x", "--output", "/no/such/place"]
    done = CliRunner().invoke(app, arguments)
    assert type(done.exception) is OutputError
