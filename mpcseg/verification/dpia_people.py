"""What an impact assessment leaves to people, each part marked with who has to write it."""

from __future__ import annotations

from collections.abc import Iterator

from mpcseg.report.terms import exact
from mpcseg.study.spec import StudySpec
from mpcseg.verification.markdown import escaped, names, table

_CONTROLLERS = "the controllers"
_OFFICER = "the data protection officers"


def to_be_completed(by: str) -> str:
    """The mark of what people have to write; Markdown."""
    return f"**To be completed by {by}**"


def necessity(spec: StudySpec) -> str:
    """The section on necessity and proportionality, without its heading."""
    return "\n\n".join(
        (
            table(("principle", "what the study says to it"), _principles(spec)),
            table(("question", "answer"), _judgements()),
        )
    )


def _principles(spec: StudySpec) -> Iterator[tuple[str, str]]:
    release = spec.release
    yield "purpose limitation (Article 5 (1) (b))", escaped(spec.purpose)
    yield "lawfulness (Article 6)", escaped(spec.legal_basis)
    yield (
        "data minimisation (Article 5 (1) (c))",
        (
            f"{len(spec.column_names):,} columns: {names(spec.column_names)}. No record leaves its "
            "organisation in the clear; nobody learns more than sums, and recipients less"
        ),
    )
    yield "accuracy (Article 5 (1) (d))", (
        f"segments are approximate, rounded to {release.significant_digits} significant digits"
        + (" and blurred by noise; `mpcseg plan --study FILE` says how much"
           if spec.privacy.is_noised else ", without noise")
    )  # fmt: skip
    yield (
        "storage limitation (Article 5 (1) (e))",
        (
            f"{exact(spec.retention_days)} days after the last round at the compute node; no study "
            f"after {spec.expires.isoformat()}"
        ),
    )
    yield (
        "data protection by design (Article 25)",
        ("records are encrypted before they leave, and whoever computes on them cannot decrypt"),
    )


def _judgements() -> Iterator[tuple[str, str]]:
    for question in (
        "Why is each of the columns necessary for the purpose? Would fewer, or coarser ones, do?",
        "Would each organisation's own segmentation, or one on anonymous statistics, do?",
        "Does the legal basis hold for every party's customers? With legitimate interests: the "
        "balance of interests. With consent: what was consented to.",
        "Is the purpose compatible with the one for which each party collected the data "
        "(Article 6 (4))?",
        "Do columns tell about health, origin, religion or another special category (Article 9), "
        "directly or by inference? About children?",
        "What will be done to a customer because of its segment? Is that a decision in the sense "
        "of Article 22, or unfair to a group?",
    ):
        yield question, to_be_completed(_CONTROLLERS)


def questions(spec: StudySpec) -> str:
    """The section of open questions, without its heading."""
    return table(("question", "what is known from the agreement", "answer"), _questions(spec))


def _questions(spec: StudySpec) -> Iterator[tuple[str, str, str]]:
    parties = names(party.name for party in spec.parties)
    third = [
        card.name
        for card in (spec.compute, spec.key)
        if card.name not in {party.name for party in spec.parties}
    ]
    yield (
        "Joint controllers (Article 26): who is one, and what have they arranged?",
        f"{parties} bring records and agree on purpose and means in one signed file",
        to_be_completed(_CONTROLLERS),
    )
    yield (
        "Processors (Article 28): is there a contract with each?",
        f"{names(third)}: run a node and bring no records"
        if third
        else "the compute node and the key node are run by parties",
        to_be_completed(_CONTROLLERS),
    )
    yield (
        "Transfers to third countries (Article 44 and following): where does each node run, and "
        "who can reach it? Ciphertexts are personal data to whoever could obtain the key.",
        f"ciphertexts go to {escaped(spec.compute.name)}, sums to {escaped(spec.key.name)}, "
        f"results to {names(spec.recipients)}; the agreement names no country",
        to_be_completed(_CONTROLLERS),
    )
    yield (
        "Information of the customers (Articles 13 and 14), and the essence of the arrangement "
        "(Article 26 (2))",
        "nothing",
        to_be_completed("each party"),
    )
    yield (
        "Rights of the customers (Articles 15 to 21): who answers? A single record can be left out "
        "before it is encrypted; it cannot be taken out of sums that are decrypted.",
        "opt-out lists and "
        + ("a consent column" if spec.consent else "no consent column")
        + "; a party can withdraw as a whole before the first round",
        to_be_completed("each party"),
    )
    yield (
        "Views of the customers or their representatives (Article 35 (9))",
        "nothing",
        to_be_completed(_CONTROLLERS),
    )
    yield (
        "Who audits the study? An auditor gets the compute node's evidence, which together with "
        "the key node would open every record.",
        "the agreement names no auditor",
        to_be_completed(_CONTROLLERS),
    )
    yield (
        "Other studies over the same customers: their privacy budgets add up.",
        "an agreement knows of itself only",
        to_be_completed("each party"),
    )


def sign_off(spec: StudySpec) -> str:
    """The section of the outcome, without its heading."""
    return table(("step", "result"), _steps(spec))


def _steps(spec: StudySpec) -> Iterator[tuple[str, str]]:
    yield "severity and likelihood of each risk of section 3", to_be_completed(_CONTROLLERS)
    yield "advice of the data protection officers (Article 35 (2))", to_be_completed(_OFFICER)
    yield (
        "prior consultation of the supervisory authority, if the risk stays high (Article 36)",
        to_be_completed(_CONTROLLERS),
    )
    for card in spec.organisations:
        name = escaped(card.name)
        yield f"accepted by {name}: name, function, date", to_be_completed(name)
    yield "when this is looked at again (Article 35 (11))", to_be_completed(_CONTROLLERS)
