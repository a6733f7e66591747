"""The measures of an impact assessment: each with the command or the test that shows it.

Tests are named by function and stand in `tests/` of mpcseg's source.
"""

from __future__ import annotations

from collections.abc import Iterator

from mpcseg.nodes.planning import StudyPlan
from mpcseg.report.terms import exact
from mpcseg.study.spec import StudySpec
from mpcseg.verification.markdown import escaped, table

_INTRODUCTION = (
    "What the software does in this study. A command can be run by anybody who holds what it "
    "reads; a test is named by its function in the source of mpcseg and can be run with "
    "`pytest -k NAME`."
)

_PEOPLE = (
    "**To be completed by each organisation's security officer:** access to the machines of its "
    "nodes, their disks (encryption, backups, swap), staff who can read its identity folder, "
    "monitoring, what is done after a breach (Articles 33 and 34)."
)


def measures(spec: StudySpec, plan: StudyPlan) -> str:
    """The section's Markdown, without its heading."""
    return "\n\n".join(
        (
            _INTRODUCTION,
            table(("measure", "in this study", "shown by"), _measures(spec, plan)),
            _PEOPLE,
        )
    )


def _measures(spec: StudySpec, plan: StudyPlan) -> Iterator[tuple[str, str, str]]:
    yield from _before(spec)
    yield from _during(spec, plan)
    yield from _after(spec)


def _before(spec: StudySpec) -> Iterator[tuple[str, str, str]]:
    yield (
        "one signed agreement",
        f"all {len(spec.organisations)} organisations sign the same bytes; no node runs others",
        "`mpcseg study verify AGREEMENT`",
    )
    yield (
        "data minimisation",
        f"{len(spec.column_names):,} agreed columns are read and no other; identifiers are not "
        "kept",
        "`mpcseg party run --dry-run`; "
        "`test_the_cohort_keeps_and_shows_no_identifier_and_no_record`",
    )
    if spec.consent is None:
        yield "consent", "**none:** no consent column is agreed", "nothing"
    else:
        yield (
            "consent",
            f"only records with the agreed value in {escaped(spec.consent.column)} take part",
            "`test_only_rows_with_exactly_the_agreed_consent_take_part`",
        )
    yield (
        "objection",
        "each party's opt-out list",
        "`test_customers_on_the_opt_out_list_are_left_out_and_counted`",
    )
    yield (
        "floors of each organisation",
        "an organisation's own policy refuses an agreement that goes under them",
        "`mpcseg study verify AGREEMENT --policy POLICY`",
    )


def _during(spec: StudySpec, plan: StudyPlan) -> Iterator[tuple[str, str, str]]:
    circuit = plan.circuit
    yield (
        "encryption of records",
        f"CKKS, {escaped(circuit.parameters.name)}, 128-bit security; the secret key is at the key "
        "node alone",
        "`mpcseg audit verify`; `test_sets_stay_within_seals_128_bit_table`",
    )
    yield (
        "encryption on the way",
        "mutual TLS, every certificate pinned by the agreement",
        "`test_mutual_tls_admits_the_certificates_of_the_study_and_no_other`",
    )
    yield (
        "nothing but sums is decrypted",
        f"{circuit.decrypted_values:,} values at most, each masked but for one sum, and each in "
        "the logs of both nodes",
        "`mpcseg audit verify`; `test_every_other_coefficient_is_uniform`",
    )
    yield (
        "the computation is the agreed one",
        "can be computed again from ciphertexts and public keys, bit for bit",
        "`mpcseg audit replay`",
    )
    yield (
        "no record leaves in the clear",
        "a study on marked records, in which wires, memory, disks and logs are searched for them",
        "`mpcseg audit exposure`",
    )
    yield _noise(spec)
    yield (
        "no data outside the agreed bounds",
        "the admission round, on ciphertexts, before anything else is computed",
        "`test_a_record_outside_the_domain_ends_the_study_and_names_the_party`",
    )


def _noise(spec: StudySpec) -> tuple[str, str, str]:
    if isinstance(spec.privacy.epsilon, str):
        return "noise on what is decrypted", "**none:** exact sums are agreed", "nothing"
    drawn = "by both nodes" if spec.compute_receives else "by the compute node"
    return (
        "noise on what is decrypted",
        f"differential privacy with epsilon {exact(spec.privacy.epsilon)}, drawn {drawn}; no round "
        "runs that the ledgers do not cover",
        "`mpcseg audit verify`; "
        "`test_noise_on_ciphertexts_has_the_discrete_gaussian_distribution`; "
        "`test_the_budget_is_spent_once`",
    )


def _after(spec: StudySpec) -> Iterator[tuple[str, str, str]]:
    release = spec.release
    limit = release.smallest_segment
    yield (
        "no small segments",
        f"segments under {limit:,} customers are not shown, and others so that subtraction does "
        "not give them away"
        if limit > 1
        else "**none:** a segment of one customer is shown",
        "`test_what_is_published_spans_no_small_group`",
    )
    yield (
        "few digits",
        f"{release.significant_digits} significant digits in all that leaves the key node",
        "`test_every_number_is_rounded`",
    )
    yield (
        "results for recipients only",
        f"sealed to each of {len(spec.recipients)} organisations with the key organisation's "
        "signature",
        "`test_the_carrier_cannot_read_what_is_for_others`",
    )
    yield (
        "the secret key ends with the last sum",
        f"destroyed by the key node of {escaped(spec.key.name)}, with what it keeps of it to go "
        "on after a crash; it signs that it was",
        "`mpcseg study verify AGREEMENT --closing RECORD`; "
        "`test_nothing_of_the_key_stays_in_memory`; "
        "`test_what_is_kept_is_overwritten_before_it_is_removed`",
    )
    yield (
        "storage limitation",
        f"ciphertexts and results are deleted after {exact(spec.retention_days)} days, or sooner "
        "by closing; the compute node signs a record of it",
        "`mpcseg study verify AGREEMENT --closing RECORD`; `test_retention_closes_by_itself`",
    )
    yield (
        "withdrawal",
        "a party can withdraw all its records before the first round",
        "`mpcseg study withdraw`; "
        "`test_a_withdrawal_deletes_the_ciphertexts_before_it_is_answered`",
    )
    yield (
        "accountability",
        "append-only signed logs of every node, which they exchange",
        "`mpcseg audit verify`",
    )
