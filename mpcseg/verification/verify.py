"""``mpcseg audit verify``: every check of a study's logs, in order (docs/verification.md).

Runs at a reviewer, who may be any organisation of the study or none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from mpcseg.errors import EvidenceError, MpcsegError
from mpcseg.verification import (
    checks,
    closing_checks,
    former_checks,
    renewal_checks,
    round_checks,
)
from mpcseg.verification.evidence import Evidence, NotThereError

CHECKS: tuple[tuple[str, Callable[[Evidence], str]], ...] = (
    ("agreement signed by all", checks.agreement),
    ("logs whole and signed", checks.whole_logs),
    ("no log rewritten or cut", checks.no_log_rewritten),
    ("both ends of each wire agree", checks.wires_agree),
    ("one vouched public key", checks.one_public_key),
    ("parameters 128-bit secure", checks.parameters_are_secure),
    ("blocks are the parties' own", checks.blocks_are_the_parties),
    ("rounds as agreed", round_checks.rounds_are_agreed),
    ("releases are the rounds' sums", round_checks.releases_are_the_rounds),
    ("nothing else decrypted", round_checks.nothing_else_decrypted),
    ("committed before decryption", round_checks.committed_before_decryption),
    ("privacy budget kept", closing_checks.budget_kept),
    ("no secret key at the compute node", closing_checks.no_secret_key),
    ("secret key destroyed", closing_checks.secret_key_destroyed),
    ("results to their recipients", closing_checks.results_are_sealed_to_recipients),
    ("closing record", closing_checks.closing_record_fits),
    ("refused calls", closing_checks.refusals),
    ("starts as agreed", former_checks.starts_as_agreed),
    ("renewals signed by all", renewal_checks.renewals_are_signed),
)
"""Name and check, in the order of docs/verification.md."""

Verdict = Literal["passed", "failed", "not checked"]


@dataclass(frozen=True)
class Finding:
    """What one check has found.

    Attributes:
        number: of the check, from 1.
        what: its name.
        verdict: "not checked" where the evidence for it was not given.
        evidence: what was seen, what is wrong or what is missing.
        error: of a failed check.
    """

    number: int
    what: str
    verdict: Verdict
    evidence: str
    error: MpcsegError | None = None


def verify(evidence: Evidence) -> Iterator[Finding]:
    """Make every check; one that fails does not keep the others from being made."""
    for number, (what, check) in enumerate(CHECKS, start=1):
        try:
            yield Finding(number, what, "passed", check(evidence))
        except NotThereError as missing:
            yield Finding(number, what, "not checked", str(missing))
        except MpcsegError as error:
            yield Finding(number, what, "failed", error.message, error)
        except Exception as error:
            # Logs are foreign: whatever one of them provokes, the other checks are still made.
            failure = EvidenceError(
                f"the check itself failed ({type(error).__name__}) on what the logs say",
                "Look at the logs with `mpcseg audit show`; this is a defect of mpcseg as well.",
            )
            yield Finding(number, what, "failed", failure.message, failure)
