"""The page of a start-up kit: what this organisation puts in, runs, and lets out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jinja2

from mpcseg import __version__
from mpcseg.kit.columns import columns
from mpcseg.kit.configuration import STATE, renewal_files, template
from mpcseg.kit.holders import Address, Holder
from mpcseg.report.terms import received, roles
from mpcseg.study.agreement import AGREEMENT_SUFFIX
from mpcseg.study.card import spoken
from mpcseg.study.certificate import load_certificate
from mpcseg.study.spec import StudySpec
from mpcseg.verification.markdown import escaped, names, table

VERBS = {"compute": "serve", "key": "run", "party": "run"}
"""By role: what its node is started with, ``mpcseg ROLE VERB``."""

WRITTEN = {
    "compute": (STATE["compute"], "records"),
    "key": (STATE["key"],),
    "party": (STATE["party"], "results"),
}
"""By role: the folders that its node and its other commands write."""


@dataclass(frozen=True)
class Step:
    """A command of the page, for both ways of running it.

    Attributes:
        title: its heading.
        text: what it does.
        bare: shell commands, one block for each node.
        containers: the same in containers.
    """

    title: str
    text: str
    bare: tuple[str, ...]
    containers: tuple[str, ...]


def readme(spec: StudySpec, holder: Holder, address: Address) -> str:
    """The page, in Markdown.

    Args:
        spec: the study.
        holder: the organisation.
        address: of the compute node.
    """
    folders = [folder for role in holder.roles for folder in WRITTEN[role]]
    return _ENVIRONMENT.from_string(template("README.md.j2")).render(
        holder=holder,
        study=spec.name,
        version=__version__,
        digest=spec.digest,
        spoken=spoken(spec.digest),
        purpose=spec.purpose,
        legal_basis=spec.legal_basis,
        does=list(_does(spec, holder)),
        needed=list(_needed(holder)),
        columns=list(columns(spec)) if "party" in holder.roles else [],
        secret=["`identity/`"] + ["`customers.csv`"] * ("party" in holder.roles),
        made_folders=dict.fromkeys(folders),
        commands=[
            _check(spec, holder),
            _run(holder),
            _watch(spec, holder, address),
            _results(spec, holder, address),
            _close(spec, holder, address),
            _verify(spec, holder),
        ],
        trouble=list(_trouble(spec, holder, address)),
        talks=list(_talks(spec, holder, address)),
        leaves=list(_leaves(spec, holder)),
        organisations=_organisations(spec),
    )


def _does(spec: StudySpec, holder: Holder) -> Iterator[str]:
    yield from (f"It {line}." for line in roles(spec, holder.card))
    receives = " and ".join(received(spec, holder.card))
    yield f"It receives {receives or 'no results'}."
    if "key" in holder.roles:
        yield (
            f"It must not let {escaped(spec.compute.name)} have the secret key, nor have that "
            "organisation's storage folder: together they could decrypt every record."
        )
    if "compute" in holder.roles:
        yield (
            f"It must not let {escaped(spec.key.name)} have its storage folder, nor have the "
            "secret key: together they could decrypt every record."
        )


def _needed(holder: Holder) -> Iterator[tuple[str, str]]:
    yield (
        "`identity/`",
        f"the folder that `mpcseg identity new {holder.name}` made, with the keys behind the card "
        f"in the agreement (certificate valid until {_end(holder)}). Readable by its owner alone.",
    )
    if "party" in holder.roles:
        yield (
            "`customers.csv`",
            "the customer table, comma-separated, in UTF-8, with the headings below. Another name, "
            "Parquet, a database, other names of columns: in `party.toml`.",
        )
    yield (
        "`policy.toml`, if there is one",
        "what this organisation would never agree to; name it in the configuration.",
    )


def _agreed(spec: StudySpec) -> str:
    """The agreement, and the renewals of its certificates, as commands are given them."""
    renewals = (f" --renewal {name}" for name in renewal_files(spec))
    return spec.name + AGREEMENT_SUFFIX + "".join(renewals)


def _check(spec: StudySpec, holder: Holder) -> Step:
    verify = f"study verify {_agreed(spec)} --identity identity"
    bare, containers = [f"mpcseg {verify}"], [_container(holder.roles[0], verify)]
    text = (
        "Checks signatures, certificates and dates, and that the identity is the one of "
        "the agreement."
    )
    if "party" in holder.roles:
        dry = "party run --config party.toml --dry-run"
        bare.append(f"mpcseg {dry}")
        containers.append(_container("party", dry))
        text += " Then a dry run shows this organisation who would take part; nothing is sent."
    return Step("Check", text, tuple(bare), tuple(containers))


def _run(holder: Holder) -> Step:
    text = (
        "In any order with the others; nodes wait for each other. A node that was stopped or "
        "killed is started again with the same command, and goes on where it was."
    )
    if len(holder.roles) > 1:
        text += " On the machine itself, each node in a terminal of its own."
    return Step(
        "Run",
        text,
        tuple(f"mpcseg {role} {VERBS[role]} --config {role}.toml" for role in holder.roles),
        (f"{_AS_OWNER} docker compose up {' '.join(holder.roles)}",),
    )


def _watch(spec: StudySpec, holder: Holder, address: Address) -> Step:
    command = f"study status {_agreed(spec)} --identity identity --address {address}"
    return Step(
        "Watch",
        "How far the study is, which nodes are there and what is waited for; at any time. With "
        "`--watch` it goes on until there are results. Exit status 75 says that the study goes on, "
        "0 that it has its results.",
        (f"mpcseg {command}",),
        (_container(holder.roles[0], command),),
    )


def _verify(spec: StudySpec, holder: Holder) -> Step:
    evidence = " ".join([*(STATE[role] for role in holder.roles), *renewal_files(spec)])
    verify = f"audit verify {spec.name}{AGREEMENT_SUFFIX} {evidence}"
    return Step(
        "Verify",
        "Checks the logs of what this organisation's nodes sent, received and decrypted against "
        "the agreement. Needs no key and no node, so that somebody else can do it from copies; "
        "with the others' logs beside them, all are held against each other.",
        (f"mpcseg {verify}",),
        (_container(holder.roles[0], verify),),
    )


def _trouble(spec: StudySpec, holder: Holder, address: Address) -> Iterator[str]:
    """What to do when a step was a wrong one, as sentences."""
    agreement = spec.name + AGREEMENT_SUFFIX
    yield (
        "Every command says in one line what is wrong and in the next what to do, and ends with an "
        "exit status of its own (`docs/operations.md`). Nothing is lost by starting a node again "
        "with the same command."
    )
    if "party" in holder.roles:
        yield (
            "The wrong table was sent, and the rounds have not begun: stop the party node, correct "
            "`party.toml` and run it once more with `--restart`; or take this organisation out of "
            f"the study, which ends it for all: `mpcseg study withdraw {_agreed(spec)} --identity "
            f"identity --address {address}`. From the first round on neither is possible."
        )
    if "key" in holder.roles:
        yield (
            f"Leave `{STATE['key']}/` as it is until the study is over: the key node goes on from "
            "it. Without it the study must be agreed on anew."
        )
    if "compute" in holder.roles:
        yield (
            f"Leave `{STATE['compute']}/` as it is. When a file in it is damaged, `mpcseg storage "
            f"check {agreement} {STATE['compute']}` says which (with the node stopped)."
        )
    if {"key", "compute"} & set(holder.roles):
        yield (
            "The study must stop, now and for all: `mpcseg study close "
            f"{_agreed(spec)} --identity identity --address {address}`. The secret key and all "
            "ciphertexts are destroyed, and with them what a replay needs."
        )
    else:
        yield (
            f"The study must stop, now and for all: ask {escaped(spec.key.name)} or "
            f"{escaped(spec.compute.name)} to close it."
        )


def _results(spec: StudySpec, holder: Holder, address: Address) -> Step:
    agreement = _agreed(spec)
    bare, containers, text = [], [], []
    if holder.collects:
        role = "party" if "party" in holder.roles else "compute"
        command = "party results --config party.toml"
        if role == "compute":
            command = f"party results --study {agreement} --identity identity --address {address}"
            command += " --audit records"
        command += f" --output {'results' if role == 'party' else 'records/results'}"
        if role == "party" and holder.labels:
            command += " --labels results/labels.csv"
        bare.append(f"mpcseg {command}")
        containers.append(_container(role, command))
        text.append(
            "Fetches what is sealed to this organisation, opens it and shows the segments, once "
            "the last round is over and until the study is closed."
        )
    if "key" in holder.roles and not holder.collects:
        text.append(
            f"Results that this organisation receives are in `{STATE['key']}/` when its node has "
            "ended."
        )
    if holder.name in spec.release.report:
        role, command = _report(spec, holder, address)
        bare.append(f"mpcseg {command}")
        containers.append(_container(role, command))
        text.append(
            "`mpcseg report` makes the report for people of it: a page that opens without a "
            "network; `--format html,pdf,xlsx` makes more."
        )
    if not text:  # brings records or computes, and receives nothing
        text.append("This organisation receives no results.")
    return Step("Results", " ".join(text), tuple(bare), tuple(containers))


def _report(spec: StudySpec, holder: Holder, address: Address) -> tuple[str, str]:
    """In which container the report is made, and by which command: signatures are checked again."""
    if not holder.collects:
        role, output = "key", STATE["key"]
        source, audit = f"--sealed {output}/sealed/{holder.name}.sealed", output
    elif "party" in holder.roles:
        role, output = "party", "results"
        source, audit = f"--address {address}", STATE["party"]
    else:
        role, output = "compute", "records"
        source, audit = f"--address {address}", "records"
    command = f"report {_agreed(spec)} --identity identity {source} --audit {audit}"
    return role, f"{command} --output {output}/report"


def _close(spec: StudySpec, holder: Holder, address: Address) -> Step:
    """Replay and close: closing deletes what is replayed, so that nobody may close before."""
    title, compute = "Replay and close", escaped(spec.compute.name)
    if "compute" not in holder.roles:
        text = (
            f"Nothing to do here but to wait: {compute} computes its node's work once more, which "
            "shows whether it computed what was agreed, and closes the study when everybody has "
            "fetched its results. Closing deletes the ciphertexts, without which nothing can be "
            f"replayed: nobody closes before {compute} has told the others how the replay ended."
        )
        if "key" in holder.roles:
            text += (
                f" This organisation could close as well, and must wait for it; it must not have "
                f"the `{STATE['compute']}/` of {compute} to replay it itself."
            )
        return Step(title, text, (), ())
    commands = (
        f"audit replay {spec.name}{AGREEMENT_SUFFIX} --evidence {STATE['compute']} "
        "--workers $(nproc)",
        f"study close {_agreed(spec)} --identity identity --address {address} "
        "--record records/closing.json",
    )
    return Step(
        title,
        "First computes this node's work once more from its ciphertexts, and compares every sum "
        "that it let out, once the last round is over (`--sample 10%` for a part of a large "
        "study). Tell the others how it ended; somebody whom all trust can do it from a copy of "
        f"`{STATE['compute']}/`, but not {escaped(spec.key.name)}, which has the secret key, nor "
        "anybody who brings records or receives results: the evidence tells the noise. Then, "
        "**and not before everybody has fetched its results**, close the study: all ciphertexts, "
        "keys and results at the compute node are deleted, so that nothing can be replayed any "
        "more, and its node ends. The signed record of it stays.",
        tuple(f"mpcseg {command}" for command in commands),
        tuple(_container("compute", command) for command in commands),
    )


_AS_OWNER = "MPCSEG_USER=$(id -u):$(id -g)"


def _container(service: str, command: str) -> str:
    return f"{_AS_OWNER} docker compose run --rm {service} {command}"


def _talks(spec: StudySpec, holder: Holder, address: Address) -> Iterator[str]:
    certificate = spec.current_card(spec.compute.name)
    fingerprint = f"its certificate must be the agreed one, SHA-256 `{certificate.fingerprint}`"
    if "compute" in holder.roles:
        dial = names(card.name for card in spec.organisations if card.name != holder.name)
        yield (
            f"The compute node listens on TCP port {address.port}. The others reach it at "
            f"`{address}`; make that name lead here and open the port for {dial}."
        )
        yield "The compute node dials nobody."
    for role in holder.roles:
        if role != "compute":
            yield (
                f"The {role} node dials `{address}`, the compute node of "
                f"{escaped(spec.compute.name)} ({fingerprint}), and nobody else. It opens no port."
            )
    yield "All connections are TLS with certificates on both sides, each pinned to the agreement."


def _leaves(spec: StudySpec, holder: Holder) -> Iterator[str]:
    if "party" in holder.roles:
        yield (
            f"From the party node: ciphertexts of the {len(spec.column_names)} agreed "
            "columns, scaled and clipped, in shuffled order; how many blocks they fill. No "
            "identifier, no other column."
        )
    if "key" in holder.roles:
        yield (
            "From the key node: public and evaluation keys, encrypted hyperplanes, and results "
            f"sealed to {names(spec.recipients)}. Not the secret key, and no sum that it decrypts."
        )
    if "compute" in holder.roles:
        noise = " with noise added" if spec.privacy.is_noised else ", without noise"
        yield (
            f"From the compute node: to {escaped(spec.key.name)} masked ciphertexts of sums over "
            f"all parties{noise}; to each recipient its sealed results; to parties the public key."
        )
    yield (
        "From every node: signed checkpoints of its log, and what went wrong in one sentence "
        "without any value."
    )


def _organisations(spec: StudySpec) -> str:
    rows = (
        (escaped(card.name), "; ".join(roles(spec, card)), card.spoken)
        for card in spec.organisations
    )
    return table(("organisation", "does", "card, to be compared by telephone"), rows)


def _end(holder: Holder) -> str:
    certificate = load_certificate(holder.card.certificate_pem)
    return f"{certificate.not_valid_after_utc:%Y-%m-%d}"


# Markdown, which HTML's escapes would damage: what others wrote goes through `md`.
_ENVIRONMENT = jinja2.Environment(  # noqa: S701
    undefined=jinja2.StrictUndefined, keep_trailing_newline=True
)
_ENVIRONMENT.filters["md"] = escaped
