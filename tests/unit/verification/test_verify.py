"""Every check of a study's logs passes on a real study, and fails on the lie that it is for."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import tenseal.sealapi as seal
from typer.testing import CliRunner

from mpcseg.audit.log import AuditLog
from mpcseg.audit.log_file import chained
from mpcseg.audit.merkle import leaf_hash
from mpcseg.audit.records import (
    Began,
    BlocksCommitted,
    CheckpointTaken,
    Decrypted,
    Entry,
    KeysVouched,
    NodeRole,
    Received,
    Record,
    Released,
    RoundEvaluated,
    RoundOpened,
    RoundSpent,
    SecretKeyDestroyed,
    Sent,
    StartedFrom,
    StudyEnded,
)
from mpcseg.ckks.serialization import save_to_bytes
from mpcseg.cli.app import app
from mpcseg.errors import AuditError, EvidenceError, MpcsegError
from mpcseg.nodes.planning import study_plan
from mpcseg.nodes.study_rules import block_names, manifest_of
from mpcseg.study.agreement import load_agreement
from mpcseg.verification.evidence import Evidence, collect
from mpcseg.verification.verify import CHECKS, Finding, verify
from tests.finished import FinishedStudy, finished_study
from tests.lies import Change, with_lie

NUMBERS = {what: number for number, (what, _) in enumerate(CHECKS, start=1)}
OTHER = "ab" * 32


@pytest.fixture(scope="module")
def study() -> FinishedStudy:
    return finished_study()


@pytest.fixture(scope="module")
def evidence(study: FinishedStudy) -> Evidence:
    agreement = load_agreement(study.agreement)
    return collect(agreement, [study.left], study.left / "closing.json", study.storage)


def failed(evidence: Evidence) -> dict[str, Finding]:
    return {f.what: f for f in verify(evidence) if f.verdict == "failed"}


def test_an_honest_study_passes_every_check(evidence: Evidence) -> None:
    findings = list(verify(evidence))
    assert [(f.what, f.evidence) for f in findings if f.verdict != "passed"] == []
    seen = {f.what: f.evidence for f in findings}
    assert seen["nothing else decrypted"].startswith("40 numbers")
    assert seen["rounds as agreed"].startswith("1 admission, 1 moments, 1 lloyd, 1 profile")
    assert "ledgers that say the same: 2" in seen["privacy budget kept"]
    assert seen["refused calls"] == "none"
    assert seen["logs whole and signed"].endswith("in 6 logs")


def test_a_study_that_is_still_served_is_found_in_order(
    study: FinishedStudy, tmp_path: Path
) -> None:
    """Its results are fetched, the compute node runs, and reviewers look at what there is."""
    shutil.copytree(study.left / "audit", tmp_path / "audit")
    shutil.copytree(study.left / "key", tmp_path / "key")
    shutil.copytree(study.storage, tmp_path / "storage")  # as it was before the closing
    found = collect(load_agreement(study.agreement), [tmp_path], None, None)
    assert found.unsigned == {}
    assert failed(found) == {}


# --- lies ----------------------------------------------------------------------------------


def first(
    kind: type[Record], where: Callable[[Record], bool] = lambda _: True
) -> Callable[..., int]:
    def find(records: list[Record]) -> int:
        return next(i for i, r in enumerate(records) if isinstance(r, kind) and where(r))

    return find


def changed(find: Callable[..., int], **fields: object) -> Change:
    """The first record of a kind says something else."""

    def change(records: list[Record]) -> Sequence[Record]:
        at = find(records)
        return [*records[:at], records[at].model_copy(update=fields), *records[at + 1 :]]

    return change


def without(find: Callable[..., int]) -> Change:
    def change(records: list[Record]) -> Sequence[Record]:
        at = find(records)
        return [*records[:at], *records[at + 1 :]]

    return change


def without_all(kind: type[Record], where: Callable[..., bool] = lambda _: True) -> Change:
    return lambda records: [r for r in records if not (isinstance(r, kind) and where(r))]


def twice(find: Callable[..., int], **fields: object) -> Change:
    """A record stands there once more, with some fields changed."""

    def change(records: list[Record]) -> Sequence[Record]:
        at = find(records)
        return [*records[: at + 1], records[at].model_copy(update=fields), *records[at + 1 :]]

    return change


def moved_to_the_end(kind: type[Record]) -> Change:
    return lambda records: sorted(records, key=lambda r: isinstance(r, kind))


def of_kind(kind: str) -> Callable[..., bool]:
    return lambda record: record.kind == kind


def about(peer: str) -> Callable[..., bool]:
    return lambda record: (record.peer, record.peer_role) == (peer, "party")


def last_decrypted(records: list[Record]) -> int:
    return max(i for i, record in enumerate(records) if isinstance(record, Decrypted))


def decrypts_after_the_end(records: list[Record]) -> Sequence[Record]:
    at = last_decrypted(records)
    return [*records[:at], *records[at + 1 :], records[at]]


def an_earlier_sum_again(records: list[Record]) -> Sequence[Record]:
    """The lloyd round's first sum is the admission round's, wherever the log speaks of it."""
    earlier, later = (
        next(r for r in records if isinstance(r, Released) and r.round == round_)
        for round_ in (0, 2)
    )
    return [
        record.model_copy(update={"sha256": earlier.sha256})
        if isinstance(record, Sent | Released) and record.content == later.content
        else record
        for record in records
    ]


def a_block_of(parties: tuple[str, str]) -> Change:
    """A feature of the second party is one of the first, and that is what was committed."""

    def change(records: list[Record]) -> Sequence[Record]:
        source, target = parties
        came = {
            (record.peer, record.blob): record
            for record in records
            if isinstance(record, Received) and record.kind in ("feature", "presence", "column")
        }
        copied = came[source, "feature-00000-000"]
        place = (target, "feature-00000-001")
        came[place] = came[place].model_copy(update={"sha256": copied.sha256})
        names = block_names(1, 2, finished_study().spec.column_layout)
        digests = [bytes.fromhex(came[target, str(name)].sha256) for name in names]
        manifest = manifest_of(digests).hex()
        return [
            record.model_copy(update={"manifest": manifest})
            if isinstance(record, BlocksCommitted) and record.party == target
            else came.get((record.peer, record.blob), record)
            if isinstance(record, Received)
            else record
            for record in records
        ]

    return change


def with_one_seed(records: list[Record]) -> Sequence[Record]:
    return [
        r.model_copy(update={"seed_commitment": OTHER}) if isinstance(r, RoundEvaluated) else r
        for r in records
    ]


def shows_another_run(records: list[Record]) -> Sequence[Record]:
    """After all is decrypted, the compute node runs honestly, for the reviewers alone."""
    again = [
        r.model_copy(update={"sha256": OTHER[:-8] + f"{i:08x}"})
        if isinstance(r, Released) or (isinstance(r, Sent) and r.kind == "release")
        else r
        for i, r in enumerate(records)
        if not isinstance(r, StudyEnded | CheckpointTaken)
    ]
    fresh = [
        r.model_copy(update={"seed_commitment": f"{i:064x}"})
        if isinstance(r, RoundEvaluated)
        else r
        for i, r in enumerate(again)
    ]
    return [*records, *fresh]


def hides_a_round(records: list[Record]) -> Sequence[Record]:
    return [
        r
        for r in records
        if not (
            (isinstance(r, Decrypted | RoundSpent) and r.round == 2)
            or (isinstance(r, Received) and r.blob.startswith("release-0002"))
        )
    ]


def hides_hyperplanes_behind_a_second_beginning(records: list[Record]) -> Sequence[Record]:
    kept = [r for r in records if not (isinstance(r, Received) and r.kind == "hyperplane")]
    return [*kept, records[0]]


COMPUTE: tuple[NodeRole, str] = ("compute", "birch")
KEY: tuple[NodeRole, str] = ("key", "alder")
PARTY: tuple[NodeRole, str] = ("party", "birch")
RECIPIENT: tuple[NodeRole, str] = ("recipient", "birch")

LIES: dict[str, tuple[tuple[NodeRole, str], Change, str]] = {
    # The compute node.
    "it received what nobody sent": (
        COMPUTE, twice(first(Received, of_kind("feature")), sha256=OTHER),
        "both ends of each wire agree",
    ),
    "it received a block of another digest": (
        COMPUTE, changed(first(Received, of_kind("feature")), sha256=OTHER),
        "blocks are the parties' own",
    ),
    "it received a block of another length": (
        COMPUTE, changed(first(Received, of_kind("feature")), n_bytes=5),
        "both ends of each wire agree",
    ),
    "it leaves a party's blocks out": (
        COMPUTE, without_all(Received, about("alder")), "blocks are the parties' own",
    ),
    "it hides that a party's blobs came": (
        COMPUTE, without_all(Received, about("alder")), "both ends of each wire agree",
    ),
    "it computes without a party": (
        COMPUTE, without_all(BlocksCommitted, lambda r: r.party == "alder"),
        "blocks are the parties' own",
    ),
    "it takes a party's blocks twice": (
        COMPUTE, twice(first(BlocksCommitted), manifest=OTHER), "blocks are the parties' own",
    ),
    "it computes with blocks that a party did not commit": (
        COMPUTE, changed(first(BlocksCommitted), manifest=OTHER), "blocks are the parties' own",
    ),
    "it sent a release that nobody got": (
        COMPUTE, without(first(Sent, of_kind("release"))), "both ends of each wire agree",
    ),
    "it works under another public key": (
        COMPUTE, changed(first(KeysVouched), public_key=OTHER), "one vouched public key",
    ),
    "it passes on another public key than was vouched for": (
        COMPUTE, changed(first(Sent, of_kind("public-key")), sha256=OTHER),
        "one vouched public key",
    ),
    "it runs other parameters": (
        COMPUTE, changed(first(Began), parameter_digest=OTHER), "one vouched public key",
    ),
    "it repeats a round": (
        COMPUTE, twice(first(RoundOpened, of_kind("lloyd"))), "rounds as agreed",
    ),
    "it runs a round more": (
        COMPUTE, twice(first(RoundOpened, of_kind("lloyd")), round=3), "rounds as agreed",
    ),
    "it leaves the admission out": (
        COMPUTE, without(first(RoundOpened, of_kind("admission"))), "rounds as agreed",
    ),
    "it evaluates a sign that was not planned": (
        COMPUTE, changed(first(RoundOpened, of_kind("lloyd")), sign=(15, 15)), "rounds as agreed",
    ),
    "it releases one sum more": (
        COMPUTE, twice(first(Released), blob="release-0000-00077", sha256=OTHER),
        "releases are the rounds' sums",
    ),
    "it releases an earlier round's sum again": (
        COMPUTE, an_earlier_sum_again, "releases are the rounds' sums",
    ),
    "it releases one sum less": (
        COMPUTE, without(first(Released)), "releases are the rounds' sums",
    ),
    "it releases at another level": (
        COMPUTE, changed(first(Released), level=1), "releases are the rounds' sums",
    ),
    "it releases something of another size": (
        COMPUTE, changed(first(Released), n_bytes=1), "releases are the rounds' sums",
    ),
    "it releases a block": (
        COMPUTE, changed(first(Released), kind="feature"), "releases are the rounds' sums",
    ),
    "it releases before it commits": (
        COMPUTE, without(first(RoundEvaluated)), "releases are the rounds' sums",
    ),
    "it masks two rounds from one seed": (
        COMPUTE, with_one_seed, "releases are the rounds' sums",
    ),
    "it sends what it did not release": (
        COMPUTE, changed(first(Sent, of_kind("release")), sha256=OTHER),
        "releases are the rounds' sums",
    ),
    "it shows another run than was decrypted": (
        COMPUTE, shows_another_run, "nothing else decrypted",
    ),
    "it hides what it received behind a second beginning": (
        COMPUTE, hides_hyperplanes_behind_a_second_beginning, "both ends of each wire agree",
    ),
    "it commits to a round after its releases": (
        COMPUTE, moved_to_the_end(RoundEvaluated), "releases are the rounds' sums",
    ),
    "it claims blocks without end": (
        COMPUTE, changed(first(BlocksCommitted), n_blocks=2**53 - 1),
        "blocks are the parties' own",
    ),
    "it commits afterwards": (COMPUTE, moved_to_the_end(Released), "committed before decryption"),
    "it does not pay for a round": (COMPUTE, without(first(RoundSpent)), "privacy budget kept"),
    "it pays less for a round": (
        COMPUTE, changed(first(RoundSpent), rho=1e-9), "privacy budget kept",
    ),
    "it pays for a round without end": (
        COMPUTE, changed(first(RoundSpent), rho=None), "privacy budget kept",
    ),
    "it was sent a secret key": (
        COMPUTE, changed(first(Received), kind="secret-key"), "no secret key at the compute node",
    ),
    "it gives results to another organisation": (
        COMPUTE, changed(first(Sent, of_kind("result")), blob="result-00000"),
        "results to their recipients",
    ),
    "it gives results to a party node": (
        COMPUTE, changed(first(Sent, of_kind("result")), peer_role="party"),
        "results to their recipients",
    ),
    "it gives other results": (
        COMPUTE, changed(first(Sent, of_kind("result")), sha256=OTHER),
        "results to their recipients",
    ),
    "it closed with another record": (
        COMPUTE, changed(first(StudyEnded), record=OTHER), "closing record",
    ),
    "it never closed": (COMPUTE, without(first(StudyEnded)), "closing record"),
    "it was not told of the key's end": (
        COMPUTE, without_all(SecretKeyDestroyed), "secret key destroyed",
    ),
    "one party's block is another's": (
        COMPUTE, a_block_of(("alder", "birch")), "blocks are the parties' own",
    ),
    "one block of a party is another block of it": (
        COMPUTE, a_block_of(("alder", "alder")), "blocks are the parties' own",
    ),
    # The key node.
    "the key node decrypts a release twice": (
        KEY, twice(first(Decrypted)), "nothing else decrypted",
    ),
    "the key node decrypts what was not released": (
        KEY, changed(first(Decrypted), sha256=OTHER), "nothing else decrypted",
    ),
    "the key node decrypts a party's block": (
        KEY, twice(first(Decrypted), blob="feature-00000-000", kind="feature", level=9),
        "nothing else decrypted",
    ),
    "the key node decrypts in a round that nobody opened": (
        KEY, without(first(RoundOpened, of_kind("lloyd"))), "nothing else decrypted",
    ),
    "the key node leaves its own noise out": (
        KEY, changed(first(Decrypted), own_noise=False), "nothing else decrypted",
    ),
    "the key node hides a whole round": (KEY, hides_a_round, "both ends of each wire agree"),
    "the key node hides a decryption": (KEY, without(first(Decrypted)), "nothing else decrypted"),
    "the key node states fewer decryptions": (
        KEY, changed(first(SecretKeyDestroyed), decrypted_values=27), "secret key destroyed",
    ),
    "the key node decrypts after the end": (KEY, decrypts_after_the_end, "secret key destroyed"),
    "the key node does not say what became of its key": (
        KEY, without_all(SecretKeyDestroyed), "secret key destroyed",
    ),
    "the key node does not wait for the compute node's word": (
        KEY, without_all(CheckpointTaken), "committed before decryption",
    ),
    "the key node did not ask for a round": (
        KEY, without(first(RoundOpened, of_kind("profile"))), "rounds as agreed",
    ),
    "the key node pays afterwards": (
        KEY, moved_to_the_end(RoundSpent), "privacy budget kept",
    ),
    "the key node does not pay": (KEY, without(first(RoundSpent)), "privacy budget kept"),
    "the key node vouches for a key without a signature": (
        KEY, changed(first(KeysVouched), signature=bytes(64)), "one vouched public key",
    ),
    "the key node made other results": (
        KEY, changed(first(Sent, of_kind("result")), sha256=OTHER), "results to their recipients",
    ),
    "the key node started from a study that was not agreed": (
        KEY, lambda records: [records[0], StartedFrom(former=OTHER, results=OTHER), *records[1:]],
        "starts as agreed",
    ),
    # Parties and recipients.
    "a party denies a block": (
        PARTY, without(first(Sent, of_kind("feature"))), "both ends of each wire agree",
    ),
    "a party sent another block": (
        PARTY, changed(first(Sent, of_kind("presence")), sha256=OTHER),
        "both ends of each wire agree",
    ),
    "a party committed other blocks": (
        PARTY, changed(first(BlocksCommitted), manifest=OTHER), "blocks are the parties' own",
    ),
    "a party used another public key": (
        PARTY, changed(first(Received, of_kind("public-key")), sha256=OTHER),
        "one vouched public key",
    ),
    "a recipient got other results": (
        RECIPIENT, changed(first(Received), sha256=OTHER), "both ends of each wire agree",
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_found_by_the_check_that_is_there_for_it(evidence: Evidence, lie: str) -> None:
    (role, name), change, what = LIES[lie]
    found = failed(with_lie(evidence, role, name, change))
    assert what in found, found
    assert isinstance(found[what].error, MpcsegError)
    # Whatever a node rewrites before its last checkpoint also contradicts what others hold.
    is_after = lie in _AFTER_THE_LAST_CHECKPOINT
    assert ("no log rewritten or cut" in found) != is_after


@pytest.mark.parametrize("parties", [("alder", "birch"), ("alder", "alder")])
def test_a_copied_block_is_called_a_copy(evidence: Evidence, parties: tuple[str, str]) -> None:
    """Whatever else is wrong then: a party that is in league writes down what fits."""
    found = failed(with_lie(evidence, *COMPUTE, a_block_of(parties)))
    assert "byte for byte" in found["blocks are the parties' own"].evidence


_AFTER_THE_LAST_CHECKPOINT = {
    "it shows another run than was decrypted",
    "it gives results to another organisation",
    "it gives results to a party node",
    "it gives other results",
    "it closed with another record",
    "it never closed",
    "a recipient got other results",
}


@pytest.mark.parametrize("node", [COMPUTE, KEY, PARTY])
def test_a_log_that_was_cut_or_rolled_back_is_found(
    evidence: Evidence, node: tuple[NodeRole, str]
) -> None:
    cut = with_lie(evidence, *node, lambda records: records[:-9])
    assert "no log rewritten or cut" in failed(cut)


def test_a_split_view_is_found(evidence: Evidence) -> None:
    """The compute node shows the reviewer another log than it showed the others."""
    found = failed(with_lie(evidence, *COMPUTE, without(first(Sent, of_kind("public-key")))))
    assert "no log rewritten or cut" in found
    assert "birch" in found["no log rewritten or cut"].evidence


# --- files ---------------------------------------------------------------------------------


def test_missing_evidence_is_said_and_not_passed(study: FinishedStudy) -> None:
    agreement = load_agreement(study.agreement)
    alone = collect(agreement, [study.left / "audit"], None, None)
    verdicts = {f.what: f.verdict for f in verify(alone)}
    assert verdicts["agreement signed by all"] == "passed"
    for what in ("both ends of each wire agree", "nothing else decrypted", "closing record"):
        assert verdicts[what] == "not checked"
    assert "failed" not in verdicts.values()


def test_entries_that_nobody_has_signed_do_not_count(
    study: FinishedStudy, evidence: Evidence, tmp_path: Path
) -> None:
    """Whoever carries a log can append to it; the node is not blamed for that."""
    copy = shutil.copytree(study.left, tmp_path / "left")
    (path,) = (copy / "key").glob("audit-*.sqlite")
    told = evidence.key
    made = Entry(
        number=len(told.entries), study=study.spec.digest, time="2026-01-01T00:00:00Z",
        record=told.entries[last_decrypted([e.record for e in told.entries])].record,
    ).canonical()  # fmt: skip
    row = (len(told.entries), made, chained(told.chain, leaf_hash(made)))
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO entries VALUES (?, ?, ?)", row)
    found = collect(load_agreement(study.agreement), [copy], copy / "closing.json", None)
    assert failed(found) == {}
    seen = {f.what: f.evidence for f in verify(found)}
    assert seen["logs whole and signed"].endswith("1 more that nobody has signed are left out")


def test_a_log_without_an_entry_is_said_and_stops_nothing(
    study: FinishedStudy, tmp_path: Path
) -> None:
    copy = shutil.copytree(study.left, tmp_path / "left")
    (path,) = (copy / "audit").glob("*-party-alder.sqlite")
    path.unlink()
    AuditLog(copy / "audit", study.spec, study.nodes.parties[0], "party").close()
    found = collect(load_agreement(study.agreement), [copy], copy / "closing.json", None)
    verdicts = {f.what: f.verdict for f in verify(found)}
    assert verdicts["logs whole and signed"] == "failed"
    assert verdicts["nothing else decrypted"] == "passed"


@pytest.mark.parametrize("missing", ["key", "compute", "party-alder"])
def test_a_check_does_not_pass_without_the_logs_that_it_needs(
    study: FinishedStudy, tmp_path: Path, missing: str
) -> None:
    copy = shutil.copytree(study.left, tmp_path / "left")
    for path in copy.rglob(f"audit-*-{missing}*.sqlite"):
        path.unlink()
    found = collect(load_agreement(study.agreement), [copy], copy / "closing.json", None)
    verdicts = {f.what: f.verdict for f in verify(found)}
    assert "failed" not in verdicts.values()
    for what in ("logs whole and signed", "no log rewritten or cut", "one vouched public key"):
        assert verdicts[what] == "not checked", what
    assert verdicts["both ends of each wire agree"] == "not checked"


def test_an_edited_ledger_is_found(study: FinishedStudy, tmp_path: Path) -> None:
    copy = shutil.copytree(study.left, tmp_path / "left")
    path = copy / "key" / "ledger.json"
    ledger = json.loads(path.read_text())
    del ledger["entries"][0]
    path.write_text(json.dumps(ledger))
    found = failed(collect(load_agreement(study.agreement), [copy], None, None))
    assert set(found) == {"privacy budget kept"}


def test_a_secret_key_on_the_compute_nodes_disk_is_found(
    study: FinishedStudy, tmp_path: Path
) -> None:
    context = study_plan(study.spec).circuit.parameters.ring.context
    key = seal.KeyGenerator(context).secret_key()
    (tmp_path / "forgotten").write_bytes(save_to_bytes(key.save))
    agreement = load_agreement(study.agreement)
    evidence = collect(agreement, [study.left], None, tmp_path)
    found = failed(evidence)
    assert set(found) == {"no secret key at the compute node"}
    assert "forgotten" in found["no secret key at the compute node"].evidence


def test_a_damaged_log_fails_and_the_others_are_still_checked(
    study: FinishedStudy, tmp_path: Path
) -> None:
    copy = shutil.copytree(study.left, tmp_path / "left")
    (path,) = (copy / "audit").glob("*-party-alder.sqlite")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DROP TRIGGER no_update")
        database.execute("UPDATE entries SET chain = zeroblob(32) WHERE number = 2")
    found = collect(load_agreement(study.agreement), [copy], copy / "closing.json", None)
    verdicts = {f.what: f.verdict for f in verify(found)}
    assert verdicts["logs whole and signed"] == "failed"
    assert verdicts["both ends of each wire agree"] == "not checked"
    assert verdicts["nothing else decrypted"] == "passed"


def test_two_logs_of_one_node_are_not_silently_chosen_from(
    study: FinishedStudy, evidence: Evidence, tmp_path: Path
) -> None:
    agreement = load_agreement(study.agreement)
    copy = shutil.copytree(study.left, tmp_path / "left")
    collect(agreement, [study.left, copy], None, None)  # the same ones may come twice
    other = finished_log_of_another_run(study, tmp_path)
    with pytest.raises(EvidenceError, match="two different logs"):
        collect(agreement, [study.left, other], None, None)


def finished_log_of_another_run(study: FinishedStudy, folder: Path) -> Path:
    with AuditLog(folder / "other", study.spec, study.nodes.key, "key") as log:
        log.append(RoundOpened(round=0, kind="admission"))
    return log.path


def test_another_studys_evidence_is_not_taken(study: FinishedStudy, tmp_path: Path) -> None:
    agreement = load_agreement(study.agreement)
    with pytest.raises(EvidenceError, match="no audit log"):
        collect(agreement, [tmp_path], None, None)
    with pytest.raises(EvidenceError, match="does not exist"):
        collect(agreement, [tmp_path / "nowhere"], None, None)


def test_an_agreement_that_not_all_have_signed_fails(evidence: Evidence) -> None:
    agreement = evidence.agreement
    signatures = {k: v for k, v in agreement.signatures.items() if k != "alder"}
    unsigned = dataclasses.replace(agreement, signatures=signatures)
    assert "agreement signed by all" in failed(dataclasses.replace(evidence, agreement=unsigned))


# --- the command -----------------------------------------------------------------------------


def test_the_command_shows_the_checks_and_fails_with_the_first_error(
    study: FinishedStudy, tmp_path: Path
) -> None:
    run = CliRunner().invoke
    options = ["--closing", str(study.left / "closing.json"), "--storage", str(study.storage)]
    command = ["audit", "verify", str(study.agreement), str(study.left), *options]
    done = run(app, [*command, "--complete"])
    assert done.exit_code == 0, done.output
    assert "19 checks: 19 passed." in done.output
    found = json.loads(run(app, [*command, "--json"]).output)
    assert [one["verdict"] for one in found] == ["passed"] * 19
    # Without the parties' logs: said, and an error where completeness is asked for.
    few = ["audit", "verify", str(study.agreement), str(study.left / "storage")]
    assert run(app, few).exit_code == 0
    assert "not checked" in run(app, few).output
    assert isinstance(run(app, [*few, "--complete"]).exception, EvidenceError)
    copy = shutil.copytree(study.left, tmp_path / "left")
    (copy / "key" / "ledger.json").write_text(
        (copy / "key" / "ledger.json").read_text().replace('"index": 2', '"index": 2, "kind": 1')
    )
    broken = run(app, ["audit", "verify", str(study.agreement), str(copy)])
    assert isinstance(broken.exception, MpcsegError)
    assert not isinstance(broken.exception, AuditError)  # no ledger any more: a file to restore


def test_the_replay_command_says_what_it_is_bound_to(study: FinishedStudy) -> None:
    run = CliRunner().invoke
    (key_log,) = (study.left / "key").glob("audit-*.sqlite")
    command = ["audit", "replay", str(study.agreement), "--evidence", str(study.storage)]
    options = ["--sample", "1", "--progress", "none"]
    done = run(app, [*command, *options, "--key-log", str(key_log)])
    assert done.exit_code == 0, done.output
    assert "What was replayed is what the key node decrypted." in done.output
    document = json.loads(run(app, [*command, *options, "--json"]).output)
    assert document["passed"]
    assert not document["complete"]
    assert not document["bound_to_decryptions"]
    (wrong,) = (study.left / "audit").glob("*-party-alder.sqlite")
    refused = run(app, [*command, *options, "--key-log", str(wrong)]).exception
    assert isinstance(refused, EvidenceError)
