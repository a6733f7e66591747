"""``mpcseg study``: from cards to an agreement that nodes run, with commands only."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from typer.testing import CliRunner

from mpcseg.cli.study import app
from mpcseg.errors import (
    AgreementError,
    ConfigError,
    ExpiredError,
    MpcsegError,
    PolicyError,
    SignatureError,
)
from mpcseg.study.agreement import load_agreement, load_study, utc_today, write_agreement
from mpcseg.study.card import spoken
from mpcseg.study.closing import (
    ClosingRecord,
    Purged,
    sign_key_destroyed,
    sign_record,
    sign_request,
)
from mpcseg.study.draft import load_draft
from mpcseg.study.identity import Identity
from mpcseg.study.spec import NO_NOISE_SENTENCE, StudySpec
from tests.organisations import identity, save_identity, signed, study_spec

NEW = ["new", "--name", "spring", "--purpose", "A campaign.", "--legal-basis", "Consent."]


def run(*arguments: object, fails: type[MpcsegError] | None = None, width: int = 200) -> str:
    """What a command prints; ``fails`` is the error that it must end with."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": str(width)})
    if fails is None:
        if done.exception:
            raise done.exception
        return done.output
    assert type(done.exception) is fails, (done.exception, done.output)
    return f"{done.output}{done.exception.message}"


def words(*texts: str) -> str:
    """A pattern for words in this order, with table frames or line breaks between them."""
    return r"[\s\S]*".join(re.escape(text) for text in texts)


@pytest.fixture
def two(tmp_path: Path) -> dict[str, Identity]:
    return {name: save_identity(tmp_path / name, name) for name in ("alder", "birch")}


@pytest.fixture
def cards(tmp_path: Path, two: dict[str, Identity]) -> list[str]:
    alder, birch = (tmp_path / name / f"{name}.card" for name in two)
    return ["--compute", str(birch), "--key", str(alder),
            "--party", str(alder), "--party", str(birch)]  # fmt: skip


def test_two_organisations_agree_with_commands_alone(
    tmp_path: Path, two: dict[str, Identity], cards: list[str]
) -> None:
    draft, agreement = tmp_path / "study.toml", tmp_path / "spring.agreement"
    options = ["--feature", "spend:log1p:0:20000", "--feature", "a:b:identity:-1.5:1e3"]
    options += ["--clusters", 3, "--rounds", 6, "--consent", "ok=yes=yes", "--radius", 1.25]
    options += ["--epsilon", 0.5, "--delta", 1e-7, "--smallest-segment", 30, "--digits", 4]
    options += ["--report", "birch", "--no-centroids", "--most-records", "birch=3000"]
    options += ["--retention", 2.5, "--expires", "2099-12-31", "--seed", 7]
    options += ["--parameter-set", "ckks-32768-20"]
    made = run(*NEW, *cards, *options, "--output", draft)
    assert f"draft: {draft}" in made
    for card in (owner.card for owner in two.values()):
        assert f"{card.name}: {card.spoken}" in made
    told = run("sign", draft, "--identity", tmp_path / "alder")
    assert told.endswith(f"signed by: alder\nstill missing: birch\nagreement: {agreement}\n")
    run("verify", agreement, fails=SignatureError)
    told = run("sign", agreement, "--identity", tmp_path / "birch")
    assert "Everybody has signed" in told
    assert run("verify", agreement).count(" ok ") == 7
    spec = load_study(agreement)
    assert [(f.name, f.transform, f.lower, f.upper) for f in spec.features] == [
        ("spend", "log1p", 0, 20000),
        ("a:b", "identity", -1.5, 1000),
    ]
    assert spec.consent is not None
    found: dict[str, Any] = {**spec.privacy.model_dump(), **spec.release.model_dump()}
    assert found == {
        "epsilon": 0.5, "delta": 1e-7, "acknowledgement": "", "smallest_segment": 30,
        "significant_digits": 4, "report": ("birch",), "centroids": (),
    }  # fmt: skip
    assert (spec.n_clusters, spec.n_rounds, spec.seed, spec.radius) == (3, 6, 7, 1.25)
    assert (spec.consent.column, spec.consent.value) == ("ok", "yes=yes")
    assert (spec.most_records, spec.retention_days) == ((None, 3000), 2.5)
    assert (spec.expires, spec.parameter_set) == (datetime.date(2099, 12, 31), "ckks-32768-20")
    assert spec.organisations == (two["birch"].card, two["alder"].card)


def test_what_is_signed_is_shown_to_the_signer(tmp_path: Path, cards: list[str]) -> None:
    draft = tmp_path / "study.toml"
    run(*NEW, *cards, "--output", draft, "--consent", "newsletter=yes", "--epsilon", 0.5)
    told = run("sign", draft, "--identity", tmp_path / "alder")
    spec = load_agreement(tmp_path / "spring.agreement").spec
    for shown in (
        words("birch", "runs the compute node", "brings records"),
        words("alder", "runs the key node", "brings records"),
        words("monetary", "log1p", "20,000"),
        words("purpose", "A campaign."),
        words("legal basis", "Consent."),
        words("only records with 'yes' in the column 'newsletter'"),
        words("epsilon 0.5 and delta 1e-06"),
        words("segments of 20 customers and more, 3 significant digits"),
        words("for 30 days"),
        words(f"{spec.expires} (UTC)"),
        words(spec.digest, f"to read out: {spoken(spec.digest)}"),
        *(words(card.spoken) for card in spec.organisations),
    ):
        assert re.search(shown, told), shown
    assert told.startswith(run("show", draft).split("This is a draft")[0])
    assert run("show", tmp_path / "spring.agreement") in told


def test_the_digest_can_be_copied_from_a_narrow_screen(tmp_path: Path, cards: list[str]) -> None:
    run(*NEW, *cards, "--output", tmp_path / "study.toml")
    shown = run("show", tmp_path / "study.toml", width=40)
    digest = next(line for line in shown.splitlines() if re.fullmatch("[0-9a-f]{64}", line))
    assert f"to read out: {spoken(digest)}\n" in shown


def test_names_are_shown_as_they_are_and_not_as_markup(tmp_path: Path, cards: list[str]) -> None:
    options = ["--feature", "a[red]b[/red]:identity:0:1", "--consent", "ok=[bold]"]
    run(*NEW, *cards, *options, "--output", tmp_path / "study.toml")
    shown = run("show", tmp_path / "study.toml")
    assert "a[red]b[/red]" in shown
    assert "'[bold]'" in shown


def test_a_study_without_noise_must_be_acknowledged(tmp_path: Path, cards: list[str]) -> None:
    options = [*NEW, *cards, "--output", tmp_path / "study.toml", "--epsilon", "none"]
    told = run(*options, fails=ConfigError)
    assert "--epsilon none needs --acknowledgement with this sentence" in told
    assert NO_NOISE_SENTENCE in told
    run(*options, "--acknowledgement", NO_NOISE_SENTENCE)
    assert f"NO NOISE. {NO_NOISE_SENTENCE}" in run("show", tmp_path / "study.toml")


def test_profile_columns_are_drafted_and_shown(tmp_path: Path, cards: list[str]) -> None:
    columns = ["--profile-column", "age=18-29,30 and more", "--profile-column", "visits:log1p:0:9"]
    options = [*NEW, *cards, *columns, "--protected", "age", "--party-shares"]
    run(*options, "--output", tmp_path / "study.toml")
    shown = run("show", tmp_path / "study.toml")
    for said in (
        words("age", "category", "values 18-29, 30 and more"),
        words("PROTECTED: audited for fairness"),
        words("visits", "numeric", "log1p, 0 to 9"),
        words("SIZES BY PARTY are told"),
    ):
        assert re.search(said, shown), said


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        (["--profile-column", "age=18-29,30 and more"], None),
        (["--profile-column", "visits:identity:0:9"], None),
        (["--profile-column", "vip:log1p:0:1"], None),
        (["--profile-column", "vip:identity:0:1"], "vip"),
        (["--profile-column", "age=a,b", "--profile-column", "band=a,b,c"], "age, band"),
        (["--profile-column", "age=a,b", "--party-shares"], "age, party"),
    ],
)
def test_columns_that_may_tell_small_cells_together_are_warned_of(
    tmp_path: Path, cards: list[str], columns: list[str], named: str | None
) -> None:
    options = [*NEW, *cards, *columns, "--output", tmp_path / "study.toml"]
    exact = ["--epsilon", "none", "--acknowledgement", NO_NOISE_SENTENCE]
    said = run(*options, *exact), run("show", tmp_path / "study.toml")
    for text in said:
        if named is None:
            assert "small cells may follow" not in text
        else:
            assert f"small cells may follow from columns together ({named})" in text
    (tmp_path / "study.toml").unlink()
    assert "small cells may follow" not in run(*options)


MISTAKES: dict[str, tuple[list[str], str]] = {
    "feature": (["--feature", "spend:0:1"], "is not NAME:TRANSFORM:LOWER:UPPER"),
    "profile column": (["--profile-column", "age"], "is neither of the two forms"),
    "one value": (["--profile-column", "age=a,a"], "'a' stands twice"),
    "protected numbers": (
        ["--profile-column", "age:log1p:0:9", "--protected", "age"],
        "--protected age is no profile column with agreed values",
    ),
    "bounds": (["--feature", "spend:log1p:low:high"], "is not NAME:TRANSFORM:LOWER:UPPER"),
    "bounds without end": (["--feature", "spend:log1p:0:inf"], "must be a finite number"),
    "transform": (["--feature", "spend:sqrt:0:1"], "--feature 'spend' transform must be"),
    "consent": (["--consent", "newsletter"], "is not COLUMN=VALUE"),
    "epsilon": (["--epsilon", "much"], "neither a number nor none"),
    "no epsilon": (["--epsilon", "nan"], "the command line: --epsilon must be a number"),
    "most records": (["--most-records", "birch=many"], "does not end with a number"),
    "most records without end": (["--most-records", f"birch={'9' * 5000}"], "a number"),
    "records of nobody": (["--most-records", "oak=5"], "'oak' is to bring"),
    "recipient": (["--report", "oak"], "--report: 'oak' is not an organisation of the study"),
    "report and none": (["--report", "birch", "--no-report"], "contradict each other"),
    "nobody": (["--no-report", "--no-centroids"], "nobody is to receive"),
    "purpose": (["--purpose", "a\x1b[2Jb"], "cannot be shown"),
    "radius": (["--radius", "5"], "--radius: no record can be farther out"),
    "clusters": (["--clusters", "1"], "--clusters must be greater than or equal to 2"),
    "rounds": (["--rounds", "0"], "--rounds must be"),
    "delta": (["--delta", "2"], "--delta must be"),
    "retention": (["--retention", "0"], "--retention must be"),
    "digits": (["--digits", "9"], "--digits must be"),
    "smallest segment": (["--smallest-segment", "0"], "--smallest-segment must be"),
    "name": (["--name", "our study"], "--name must be of letters, digits, '.', '_' and '-'"),
    "formula": (["--feature", "=a:log1p:0:9"], "--feature '=a' name must begin with a letter"),
    "acknowledgement": (["--acknowledgement", "Yes."], "--acknowledgement belongs to --epsilon"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_in_an_option_is_named_and_nothing_written(
    tmp_path: Path, cards: list[str], case: str
) -> None:
    options, reason = MISTAKES[case]
    told = run(*NEW, *cards, *options, "--output", tmp_path / "study.toml", fails=ConfigError)
    assert reason in told
    assert not (tmp_path / "study.toml").exists()


def test_a_draft_is_named_after_the_study(
    tmp_path: Path, cards: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "draft: spring.toml" in run(*NEW, *cards)
    told = run("sign", "spring.toml", "--identity", "alder", "--output", "signed.agreement")
    assert told.endswith("agreement: signed.agreement\n")
    assert not (tmp_path / "spring.agreement").exists()


def test_a_draft_that_is_signed_twice_collects_the_signatures(
    tmp_path: Path, cards: list[str]
) -> None:
    draft, agreement = tmp_path / "study.toml", tmp_path / "spring.agreement"
    run(*NEW, *cards, "--output", draft)
    run("sign", draft, "--identity", tmp_path / "alder")
    run("sign", draft, "--identity", tmp_path / "birch")
    assert load_study(agreement)
    draft.write_text(draft.read_text().replace("n_rounds = 8", "n_rounds = 9"))
    before = agreement.read_bytes()
    told = run("sign", draft, "--identity", tmp_path / "birch", fails=ConfigError)
    assert "exists already, and holds another agreement" in told
    assert agreement.read_bytes() == before


def test_who_signs_once_more_is_told_so(tmp_path: Path, cards: list[str]) -> None:
    draft, agreement = tmp_path / "study.toml", tmp_path / "spring.agreement"
    run(*NEW, *cards, "--output", draft)
    assert "already" not in run("sign", draft, "--identity", tmp_path / "alder")
    before = agreement.read_bytes()
    told = run("sign", agreement, "--identity", tmp_path / "alder")
    assert "alder has signed already: nothing is added" in told
    assert agreement.read_bytes() == before


def test_who_may_not_sign_does_not(tmp_path: Path, cards: list[str]) -> None:
    draft, agreement = tmp_path / "study.toml", tmp_path / "spring.agreement"
    run(*NEW, *cards, "--output", draft)
    save_identity(tmp_path / "oak", "oak")
    save_identity(tmp_path / "other", "alder")
    (tmp_path / "policy.toml").write_text("largest_epsilon = 0.5\n")
    sign = ["sign", draft, "--identity"]
    told = run(*sign, tmp_path / "oak", fails=SignatureError)
    assert "'oak' is not an organisation of the study" in told
    told = run(*sign, tmp_path / "other", fails=SignatureError)
    assert "is not that of this identity" in told
    told = run(*sign, tmp_path / "alder", "--policy", tmp_path / "policy.toml", fails=PolicyError)
    assert "largest_epsilon is 0.5, and 1 is agreed" in told
    assert not agreement.exists()
    draft.write_text(re.sub("expires = .*", "expires = 2020-01-01", draft.read_text()))
    assert "expired" in run(*sign, tmp_path / "alder", fails=ExpiredError)
    assert not agreement.exists()


def test_a_certificate_that_ends_before_the_study_is_warned_about(
    tmp_path: Path, cards: list[str]
) -> None:
    run(*NEW, *cards, "--output", tmp_path / "study.toml", "--expires", "2099-12-31")
    shown = run("show", tmp_path / "study.toml")
    assert "warning: the certificate of alder ends on" in shown


@pytest.mark.parametrize("command", ["status", "close", "withdraw"])
@pytest.mark.parametrize("address", ["127.0.0.1", "hub.example.org:0"])
def test_an_address_without_a_port_is_refused_before_anything_is_read(
    tmp_path: Path, command: str, address: str
) -> None:
    options = ("--identity", tmp_path / "absent", "--address", address)
    told = run(command, tmp_path / "absent.agreement", *options, fails=ConfigError)
    assert "the command line: address must be HOST:PORT" in told


def late_spec() -> StudySpec:
    """A study whose last day was yesterday."""
    yesterday = utc_today() - datetime.timedelta(days=1)
    return study_spec(compute="birch", key="alder", expires=yesterday)


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_verify_shows_what_failed_and_why(tmp_path: Path) -> None:
    good = signed(study_spec(compute="birch", key="alder"))
    path = write(tmp_path / "trial.agreement", good.canonical)
    shown = run("verify", path)
    assert re.search(words("signature of alder", "ok", identity("alder").card.spoken), shown)
    assert good.spec.digest in shown
    assert shown.splitlines()[-1] == (
        "All 7 checks passed: signed by all 2 organisations; certificates and last day valid today."
    )
    late = write(path, signed(late_spec()).canonical)
    shown = run("verify", late, fails=ExpiredError)
    assert re.search(words("signature of alder", " ok ", "last day", "failed", "expired"), shown)
    foreign = json.loads(good.canonical)
    foreign["signatures"]["oak"] = foreign["signatures"]["alder"]
    shown = run("verify", write(path, rfc8785.dumps(foreign)), fails=SignatureError)
    assert re.search(words("organisations", "failed", "'oak' has signed"), shown)
    assert "WRONG" in run("show", path)
    assert "changed" in run("verify", write(path, good.canonical + b"\n"), fails=AgreementError)
    run("verify", tmp_path / "absent.agreement", fails=ConfigError)


def test_verify_checks_an_own_policy_and_names_the_rule(tmp_path: Path) -> None:
    path = tmp_path / "trial.agreement"
    write_agreement(signed(study_spec()), path)
    policy = tmp_path / "policy.toml"
    policy.write_text("smallest_segment = 20\n")
    assert re.search(words("own policy", "ok"), run("verify", path, "--policy", policy))
    policy.write_text("smallest_segment = 21\n")
    shown = run("verify", path, "--policy", policy, fails=PolicyError)
    assert re.search(words("own policy", "failed", "smallest_segment is 21"), shown)
    assert "passed" not in shown


def test_verify_checks_a_closing_record_when_the_study_is_long_over(tmp_path: Path) -> None:
    spec, time = late_spec(), "2025-03-31T12:00:00Z"
    path = write(tmp_path / "trial.agreement", signed(spec).canonical)
    alder, birch = identity("alder"), identity("birch")
    record = ClosingRecord(
        reason="closed",
        time=time,
        purged=Purged(12, 34_000_000),
        request=sign_request(alder, spec.digest, "close", time),
        key_destroyed=sign_key_destroyed(alder, spec.digest, 120, time),
    )
    file = write(tmp_path / "closing.json", sign_record(spec, birch, record))
    shown = run("verify", path, "--closing", file)
    evidence = f"closed {time}, 12 blobs deleted, secret key destroyed"
    assert re.search(words("signature of alder", "ok", "closing record", "ok", evidence), shown)
    assert "last day" not in shown
    last = "checks passed: signed by all 2 organisations; closing record in order.\n"
    assert shown.endswith(last)
    write(file, sign_record(spec, alder, record))
    shown = run("verify", path, "--closing", file, fails=SignatureError)
    assert re.search(words("closing record", "failed"), shown)
    run("verify", path, "--closing", tmp_path / "absent.json", fails=ConfigError)


def test_a_follow_up_is_drafted_from_the_former_agreement(
    tmp_path: Path, two: dict[str, Identity], cards: list[str]
) -> None:
    draft, former = tmp_path / "spring.toml", tmp_path / "spring.agreement"
    options = ["--feature", "spend:log1p:0:20000", "--clusters", 3, "--radius", 0.75]
    options += ["--rounds", 6, "--epsilon", 2, "--smallest-segment", 30, "--report", "birch"]
    run(*NEW, *cards, *options, "--output", draft)
    for name in two:
        run("sign", former if former.exists() else draft, "--identity", tmp_path / name)
    asked = ["new", "--name", "summer", "--purpose", "Once more.", "--legal-basis", "Consent."]
    asked += [*cards, "--follow", former, "--output", tmp_path / "summer.toml"]
    run(*asked, "--rounds", 3)
    spec, old = load_draft(tmp_path / "summer.toml"), load_agreement(former).spec
    assert spec.former == old.digest
    assert spec.n_rounds == 3
    same = ("features", "n_clusters", "radius", "privacy", "release")
    assert [getattr(spec, name) for name in same] == [getattr(old, name) for name in same]
    shown = run("show", tmp_path / "summer.toml")
    assert re.search(words("follows", "released centroids", old.digest), shown)

    (tmp_path / "summer.toml").unlink()
    said = run(*asked, "--clusters", 4, fails=ConfigError)
    assert "--clusters is another one than that of the former study 'spring'" in said
    run(*asked, "--clusters", 3)


def test_no_follow_up_is_drafted_that_could_not_start(
    tmp_path: Path, two: dict[str, Identity], cards: list[str]
) -> None:
    """The key node's organisation, alder, was not given the former's centroids."""
    spec = study_spec(
        compute="birch",
        key="alder",
        known=two,
        release={"report": ["alder"], "centroids": ["birch"]},
    )
    former = tmp_path / "former.agreement"
    write_agreement(signed(spec, two), former)
    said = run(*NEW, *cards, "--follow", former, "--output", tmp_path / "next.toml",
               fails=AgreementError)  # fmt: skip
    assert "gave 'alder' no centroids" in said
    assert not (tmp_path / "next.toml").exists()
