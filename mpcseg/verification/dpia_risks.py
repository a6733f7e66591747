"""The risks of an impact assessment, derived from what the study agreed on.

Each says why it applies to this study, and what is left of it; docs/threat-model.md has them all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from mpcseg.nodes.planning import StudyPlan
from mpcseg.report.table import plain
from mpcseg.report.terms import crossed_cells, exact
from mpcseg.study.spec import ReleaseTerms, StudySpec
from mpcseg.verification.markdown import escaped, names, table

_LONG_RETENTION_DAYS = StudySpec.model_fields["retention_days"].default
_USUAL_SEGMENT = ReleaseTerms.model_fields["smallest_segment"].default
_USUAL_DIGITS = ReleaseTerms.model_fields["significant_digits"].default

# delta should be well under one over the number of records (docs/privacy.md).
_LARGEST_SHARE = 0.1

_INTRODUCTION = (
    "Derived from the agreement. That a risk stands here says that this study is open to it, not "
    "how likely it is: **severity and likelihood are to be completed by the controllers**, with "
    "other risks that only they can see."
)

Risk = tuple[str, str, str]
"""What may happen; why it can in this study; what reduces it and what is left. Markdown."""


def risks(spec: StudySpec, plan: StudyPlan) -> str:
    """The section's Markdown, without its heading."""
    rows = [
        (str(number), *risk)
        for number, risk in enumerate(
            (
                *_collusions(spec),
                *_inferences(spec, plan),
                *_releases(spec),
                *_handling(spec),
                *_misconduct(spec),
            ),
            start=1,
        )
    ]
    headings = ("no.", "what may happen", "why it can here", "what reduces it, and what is left")
    return f"{_INTRODUCTION}\n\n{table(headings, rows)}"


def _collusions(spec: StudySpec) -> Iterator[Risk]:
    compute, key = escaped(spec.compute.name), escaped(spec.key.name)
    parties = [party.name for party in spec.parties]
    yield (
        "every record is decrypted",
        f"{compute} (compute node) and {key} (key node) together can decrypt everything",
        "nothing technical: the two must not collude, nor be reached by one person or order. An "
        f"auditor who holds the evidence of {compute} must not work with {key} either",
    )
    if spec.privacy.is_noised:
        yield _noise_taken_out(spec)
    if spec.key.name in parties:
        yield (
            "sums of the other parties are found by subtraction",
            f"{key} runs the key node, and is a party that knows its own part of each sum",
            "the noise covers single records, not the sums of a company as a whole"
            if spec.privacy.is_noised
            else "**nothing: without noise the sums of the others are exact**",
        )
    if spec.party_shares:
        yield (
            "results tell how many customers of each company a segment has",
            "party_shares is agreed: sizes by party go to everybody who receives the report",
            "small cells are hidden; noise is about single records",
        )
    if len(parties) <= 2:
        yield (
            "results tell about one company",
            f"{len(parties)} {'party' if len(parties) == 1 else 'parties'} only "
            f"({names(parties)}): "
            + (
                "results are about its customers alone"
                if len(parties) == 1
                else "what is not one's own is the other's"
            ),
            "noise is about single records. What the customers of a company have in common shows",
        )
    else:
        yield (
            "results tell about one company",
            f"all but one of the {len(parties)} parties together know all but that one's part",
            "noise is about single records. What the customers of a company have in common shows",
        )


def _noise_taken_out(spec: StudySpec) -> Risk:
    compute, key = escaped(spec.compute.name), escaped(spec.key.name)
    what = "noise is taken out of results by whoever drew it"
    if spec.compute_receives:
        return (
            what,
            f"{compute} runs the compute node, which draws noise, and receives results",
            f"{key} adds a draw of the same size. {compute} and {key} together know both draws",
        )
    return (
        what,
        f"{compute} knows the noise, and receives no results; a recipient "
        f"({names(spec.recipients)}) could hand it results",
        "to both together results are exact but for rounding. Nothing technical: recipients must "
        f"not pass results on to {compute}",
    )


def _inferences(spec: StudySpec, plan: StudyPlan) -> Iterator[Risk]:
    key = escaped(spec.key.name)
    privacy = spec.privacy
    if isinstance(privacy.epsilon, str):
        yield (
            "**single records are read from exact sums**",
            f"epsilon is none: {key} sees exact sums of {spec.n_rounds:,} rounds at most. When few "
            "records move between two rounds, the difference of the sums is those records",
            f"nothing at {key}; recipients see rounded results without small segments",
        )
        return
    yield (
        "somebody tells whether one customer takes part, or guesses a value of it",
        f"epsilon {exact(privacy.epsilon)}: the odds of any guess change by a factor of "
        f"{plain(math.exp(privacy.epsilon))} at most",
        "the noise. A person with m records is protected m times less",
    )
    most = [party.most_records for party in spec.parties]
    if all(number is not None for number in most):
        total = sum(number or 0 for number in most)
        if total * privacy.delta > _LARGEST_SHARE:
            yield (
                "the guarantee of the noise fails for some customers",
                f"delta {privacy.delta!r} times {total:,} records at most is "
                f"{plain(total * privacy.delta)}; it should be well under 1",
                "agree on a smaller delta: it costs little noise",
            )
    else:
        yield (
            "the guarantee of the noise fails for some customers",
            f"delta {privacy.delta!r} must be well under one over the number of records, and not "
            "every party has agreed on a largest number",
            "**To be completed by the controllers:** the expected number of records",
        )
    if plan.noise.own_draw:
        yield (
            "wrong conclusions from blurred segments",
            "two draws of noise make the deviation 1.41 times as large",
            "`mpcseg plan --study FILE` says from how many records segments are sharp",
        )
    else:
        yield (
            "wrong conclusions from blurred segments",
            "noise and soft weights make sizes and centres approximate",
            "`mpcseg plan --study FILE` says from how many records segments are sharp",
        )


def _releases(spec: StudySpec) -> Iterator[Risk]:
    release = spec.release
    if release.centroids:
        yield (
            "customers are profiled one by one",
            f"{names(release.centroids)} can assign a segment to any record with these columns, "
            "also of people who took no part",
            "the agreed purpose; what is done with labels is outside the software",
        )
    parties = {party.name for party in spec.parties}
    outside = [name for name in spec.recipients if name not in parties]
    if outside:
        yield (
            "results reach somebody without customers in the study",
            f"{names(outside)}: receive results and bring no records",
            "the agreement names them, and all have to sign it",
        )
    crossed = crossed_cells(spec)
    if crossed:
        yield (
            "a few customers of a segment are read from several columns together",
            escaped(crossed),
            "**nothing: agree on noise, or on columns that are not made of one another**",
        )
    if release.smallest_segment < _USUAL_SEGMENT:
        yield (
            "a small segment describes few people",
            f"segments of {release.smallest_segment:,} customers are shown; "
            f"{_USUAL_SEGMENT} is usual",
            "the noise" if spec.privacy.is_noised else "nothing",
        )
    if release.significant_digits > _USUAL_DIGITS:
        yield (
            "results tell more digits than needed",
            f"{release.significant_digits} significant digits; {_USUAL_DIGITS} are usual",
            "the noise" if spec.privacy.is_noised else "nothing",
        )


def _handling(spec: StudySpec) -> Iterator[Risk]:
    compute = escaped(spec.compute.name)
    if spec.consent is None:
        yield (
            "records of people who did not agree take part",
            "no consent column is agreed",
            "each party's own selection of its table, and its opt-out list",
        )
    if spec.retention_days > _LONG_RETENTION_DAYS:
        yield (
            "ciphertexts are attacked or opened later",
            f"{compute} keeps them for {exact(spec.retention_days)} days; "
            f"{exact(_LONG_RETENTION_DAYS)} are usual",
            "closing deletes them sooner; the secret key is gone after the last sum",
        )
    yield (
        "ciphertexts are left on disks",
        f"{compute} keeps them as files, deleted at the end and not overwritten; backups may hold "
        "them",
        "they cannot be read without the secret key, which is never stored",
    )
    yield (
        "numbers of customers become known",
        f"{compute} sees blocks of each party, hence roughly its number of records"
        + (
            "; limits on the number of records stand in the agreement, for all to see"
            if any(party.most_records is not None for party in spec.parties)
            else ""
        ),
        "blocks round the number up; nothing else",
    )


def _misconduct(spec: StudySpec) -> Iterator[Risk]:
    compute, key = escaped(spec.compute.name), escaped(spec.key.name)
    yield (
        "the key node singles somebody out with malformed hyperplanes",
        f"{compute} cannot look into what {key} sends it encrypted",
        f"none yet on ciphertexts; {key} is trusted to follow the protocol",
    )
    yield (
        "the compute node computes something else than agreed",
        f"{key} decrypts masked sums and cannot see what they are sums of",
        "found afterwards by `mpcseg audit replay`, not prevented",
    )
    yield (
        "a party makes up records",
        "the admission round sees the bounds only",
        "none inside the bounds; results can be wrong for all",
    )
