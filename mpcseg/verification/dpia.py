"""A data-protection impact assessment (Article 35 GDPR), filled with a study's facts.

All facts come from the agreement and from what every node plans from it; nothing is asked of a node
or of the network. What only people can judge is left open and marked. Purely text: the same
agreement gives the same document. Run by anybody who has the agreement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from mpcseg import __version__
from mpcseg.nodes.planning import StudyPlan
from mpcseg.reference.rounds import RoundKind
from mpcseg.report.table import plain
from mpcseg.report.terms import exact, received, roles
from mpcseg.study.agreement import Agreement
from mpcseg.study.card import spoken
from mpcseg.study.cluster_range import clusters_in_words
from mpcseg.study.spec import StudySpec
from mpcseg.verification.dpia_measures import measures
from mpcseg.verification.dpia_people import necessity, questions, sign_off
from mpcseg.verification.dpia_risks import risks
from mpcseg.verification.markdown import escaped, names, table

_CONTROLLERS = "the controllers together"


def assessment(agreement: Agreement, plan: StudyPlan) -> str:
    """The assessment as Markdown, in the order of Article 35 (7).

    Args:
        agreement: signed by everybody, by some, or by nobody yet.
        plan: of the same study (`mpcseg.nodes.planning.study_plan`).

    Raises:
        SignatureError: a signature that is there is foreign or wrong.
    """
    spec = agreement.spec
    parts = [
        f"# Data-protection impact assessment of the study {escaped(spec.name)}",
        _introduction(agreement),
        "## 1. Systematic description (Article 35 (7) (a))",
        "### The study",
        table(("fact", "agreed"), _study(agreement, plan)),
        "### Organisations and recipients",
        table(
            ("organisation", "roles", "receives", "card, to be compared by telephone"),
            _organisations(spec),
        ),
        "### Personal data",
        _data_introduction(spec),
        table(("column", "transform", "lower bound", "upper bound"), _columns(spec)),
        table(("rule for records", "agreed"), _records(spec)),
        "### What is decrypted",
        _decryption_introduction(spec, plan),
        table(
            ("round", "times at most", "values each time", "values at most", "noise in a value"),
            _decrypted(spec, plan),
        ),
        "### Noise",
        table(("fact", "value"), _noise(spec)),
        "### What each node sees",
        table(("node", "run by", "holds", "sees in the clear"), _sights(spec, plan)),
        "### How long anything is kept",
        table(("what", "where", "until"), _retention(spec)),
        "## 2. Necessity and proportionality (Article 35 (7) (b))",
        necessity(spec),
        "## 3. Risks to the customers (Article 35 (7) (c))",
        risks(spec, plan),
        "## 4. Measures (Article 35 (7) (d), Articles 25 and 32)",
        measures(spec, plan),
        "## 5. Questions that no program answers",
        questions(spec),
        "## 6. Outcome",
        sign_off(spec),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(agreement: Agreement) -> str:
    return (
        f"Made by `mpcseg audit dpia` (mpcseg {__version__}) from the agreement alone. Every fact "
        "below stands in it or follows from it; none was typed. Where it says **To be completed "
        "by …**, a person has to write or decide: no program can judge whether a purpose is "
        f"legitimate. {_status(agreement)} This is no legal advice."
    )


def _status(agreement: Agreement) -> str:
    missing = set(agreement.missing)
    for check in agreement.checks(None):
        if check.error and check.what not in {f"signature of {name}" for name in missing}:
            raise check.error
    if len(missing) == len(agreement.spec.organisations):
        return "**Nobody has signed these terms yet:** they are a draft and can still change."
    if missing:
        waited_for = names(agreement.missing)
        return f"**Not signed yet by {waited_for}:** no node runs the study before."
    return "All organisations have signed exactly these terms, and nodes run no others."


def _study(agreement: Agreement, plan: StudyPlan) -> Iterator[tuple[str, str]]:
    spec, circuit = agreement.spec, plan.circuit
    chosen = (
        "chosen by the planner" if spec.parameter_set == "planned" else "named in the agreement"
    )
    parameters = circuit.parameters
    bits = sum(prime.bit_length() for prime in parameters.primes)
    yield "name", escaped(spec.name)
    yield "purpose", escaped(spec.purpose)
    yield "legal basis named by the organisations", escaped(spec.legal_basis)
    yield (
        "what is computed",
        (
            f"{clusters_in_words(spec.n_clusters)} common segments of customers by K-means in "
            f"{exact(spec.n_rounds)} rounds at most, on encrypted records"
        ),
    )
    yield (
        "fairness",
        (
            f"in protected columns, a group under {exact(spec.fairness.threshold)} of its share of "
            "everybody is told to be under-represented in a segment"
        ),
    )
    yield "last day on which it may run", f"{spec.expires.isoformat()} (UTC)"
    start = f"drawn from joint moments with the seed {spec.seed}, which is public"
    if spec.former is not None:
        start = (
            f"released centroids of the former study with the digest {spec.former}; those of "
            f"segments that were hidden there, {start}"
        )
    yield "starting point", start
    yield "parameter set", f"{escaped(parameters.name)}, {chosen}"
    yield (
        "security level",
        (
            f"128 bits by the table of HomomorphicEncryption.org: N = "
            f"{parameters.poly_modulus_degree:,}, modulus of {bits} bits, ternary secret key"
        ),
    )
    yield "digest of the agreement", f"`{spec.digest}`"
    yield "the digest, to be read out", spoken(spec.digest)


def _organisations(spec: StudySpec) -> Iterator[tuple[str, str, str, str]]:
    for card in spec.organisations:
        yield (
            escaped(card.name),
            "; ".join(roles(spec, card)),
            " and ".join(received(spec, card)) or "nothing",
            card.spoken,
        )


def _data_introduction(spec: StudySpec) -> str:
    return (
        f"{len(spec.column_names):,} columns of each record are read by its own party node, "
        "transformed, scaled by the agreed bounds, and leave it as ciphertexts only. Values "
        "outside the bounds are clipped."
    )


def _columns(spec: StudySpec) -> Iterator[tuple[str, str, str, str]]:
    for feature in spec.features:
        yield (
            escaped(feature.name),
            feature.transform,
            exact(feature.lower),
            exact(feature.upper),
        )
    for column in spec.numeric_columns:
        how = f"{column.transform}; not clustered on"
        yield escaped(column.name), how, exact(column.lower), exact(column.upper)
    for category in spec.categories:
        how = "shares of its values" + ("; **protected**" if category.protected else "")
        yield escaped(category.name), how, names(category.labels), ""


def _records(spec: StudySpec) -> Iterator[tuple[str, str]]:
    if spec.consent is None:
        yield "consent", "no consent column is agreed: every record of a party's table takes part"
    else:
        yield (
            "consent",
            (
                f'only records with exactly "{escaped(spec.consent.value)}" in the column '
                f"{escaped(spec.consent.column)} take part; others are left out and counted"
            ),
        )
    yield "objection", "records on a party's own opt-out list are left out and counted"
    yield (
        "identifiers",
        (
            "read at the party alone, to find duplicates and to label its own customers; never "
            "encrypted and never sent"
        ),
    )
    yield (
        "length of a scaled record",
        (
            "limited by the bounds of the columns alone"
            if spec.radius is None
            else f"shortened to an L2 norm of {exact(spec.radius)}"
        ),
    )


def _decryption_introduction(spec: StudySpec, plan: StudyPlan) -> str:
    values = plan.circuit.decrypted_values
    return (
        f"The key node of {escaped(spec.key.name)} can decrypt {values:,} values at most in one "
        "run of the study. Each is one sum over the records of all parties together, except for "
        "three values for each party that say whether its data keep to the agreed bounds. No value "
        "of a record is decrypted."
    )


def _decrypted(spec: StudySpec, plan: StudyPlan) -> Iterator[tuple[str, str, str, str, str]]:
    sharp = plan.noise.signs[1]
    rounds: tuple[tuple[str, RoundKind, int, tuple[int, ...]], ...] = (
        ("admission: whether each party's data keep to the bounds", "admission", 1, ()),
        ("moments: number, means and spreads of all records", "moments", 1, ()),
        ("lloyd: sums and size of each segment", "lloyd", spec.n_rounds, sharp),
        ("profile: sums, sizes and squares of the final segments", "profile", 1, sharp),
    )
    scouts: tuple[tuple[str, RoundKind], ...] = (
        ("scout: sums and size of segments, for each number of them", "scout"),
        ("appraisal: with squares, to choose a number of segments", "appraisal"),
    )
    for what, kind in scouts:
        sizes = [scout.n_sums(kind) for of, _, scout in plan.circuit.scouts if of == kind]
        if sizes:
            span = f"{min(sizes):,} to {max(sizes):,}"
            deviation = _deviation(plan, kind, plan.noise.scout_sign(kind))
            yield what, f"{len(sizes):,}", span, f"{sum(sizes):,}", deviation
    for what, kind, times, sign in rounds:
        each = plan.circuit.n_sums(kind)
        yield what, f"{times:,}", f"{each:,}", f"{times * each:,}", _deviation(plan, kind, sign)


def _deviation(plan: StudyPlan, kind: RoundKind, sign: tuple[int, ...]) -> str:
    if kind != "admission" and not plan.noise.is_noised:
        return "none: exact sums"
    stds = plan.noise.effective_stds(kind, sign)
    least, most = plain(float(stds.min())), plain(float(stds.max()))
    return f"standard deviation {least}" + (f" to {most}" if most != least else "")


def _noise(spec: StudySpec) -> Iterator[tuple[str, str]]:
    privacy = spec.privacy
    if isinstance(privacy.epsilon, str):
        yield "epsilon", "**none: the key node sees exact sums of every round**"
        yield "acknowledged by all organisations, word for word", escaped(privacy.acknowledgement)
    else:
        factor = math.exp(privacy.epsilon)
        yield "epsilon", f"{exact(privacy.epsilon)} for everything that is decrypted in the study"
        yield "delta", f"{privacy.delta!r}"
        yield (
            "what they mean",
            (
                "whether one record takes part or not changes the probability of anything that is "
                f"decrypted or published by a factor of {plain(factor)} at most (e to the power of "
                f"epsilon), but for a probability of {privacy.delta!r} (delta)"
            ),
        )
    yield "who draws it", _drawers(spec)
    yield (
        "what is published",
        (
            f"segments of {spec.release.smallest_segment:,} customers and more; every number "
            f"rounded to {spec.release.significant_digits} significant digits"
        ),
    )


def _drawers(spec: StudySpec) -> str:
    compute, key = escaped(spec.compute.name), escaped(spec.key.name)
    if not spec.privacy.is_noised:
        first = f"the compute node ({compute}) draws noise for the admission values alone"
    else:
        first = f"the compute node ({compute}) draws it before the key node decrypts"
    if spec.compute_receives:
        return (
            f"{first}; the key node ({key}) adds a draw of the same size, because {compute} "
            "receives results and knows the first one"
        )
    return f"{first}; {compute} receives no results, so that the key node ({key}) draws none"


def _sights(spec: StudySpec, plan: StudyPlan) -> Iterator[tuple[str, str, str, str]]:
    sums = "noised" if spec.privacy.is_noised else "exact"
    block = f"{plan.circuit.parameters.slots:,}"
    yield (
        "party",
        names(party.name for party in spec.parties),
        "its own records, the public key",
        "its own records; results that are sealed to it; the names of the others and how far the "
        "study is",
    )
    yield (
        "compute",
        escaped(spec.compute.name),
        "ciphertexts, public and evaluation keys, the noise and the seeds that it draws",
        "no record, no centroid, no sum; how many blocks of up to "
        f"{block} records each party sends, and when",
    )
    yield (
        "key",
        escaped(spec.key.name),
        "the secret key, in memory and (unless it says `recovery: none` in its log) on its disk, "
        "sealed to its own identity, until the last sum is decrypted",
        f"{sums} sums over the records of all parties, hence the centroids; three noised values "
        "for each party that say whether its data keep to the bounds",
    )
    auditor = "ciphertexts, public keys, seeds and logs of the compute node"
    yield "auditor, if one is called", "**To be completed**", auditor, "as the compute node"


def _retention(spec: StudySpec) -> Iterator[tuple[str, str, str]]:
    days = f"{exact(spec.retention_days)} days after the last round at most; closing, withdrawal "
    days += "before the first round, or an abort deletes it sooner"
    yield (
        "ciphertexts, sealed results and evidence for an audit",
        f"compute node ({escaped(spec.compute.name)})",
        days,
    )
    yield (
        "secret key",
        f"memory of the key node ({escaped(spec.key.name)})",
        "the last sum is decrypted, or the study ends otherwise",
    )
    yield "budget ledgers and audit logs", "each node", "kept; they hold digests and no record"
    yield (
        "results",
        f"recipients ({names(spec.recipients)})",
        f"**To be completed by {_CONTROLLERS}**",
    )
    yield "own records and labels", "each party", "**To be completed by each party**"
