"""What a report is made of: everything that one organisation holds of a finished study."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from mpcseg.audit.records import Checkpoint
from mpcseg.report.model import SegmentTable, segment_table
from mpcseg.report.naming import suggested_names
from mpcseg.study.results import Results
from mpcseg.study.spec import StudySpec


@dataclass(frozen=True)
class Received:
    """What an organisation has of a study, and makes its report of.

    Attributes:
        spec: the agreement.
        results: what the key node sealed to it.
        is_verified: whether the key node's signature on the results was checked just now; not so
            where they were read from a file of results that were opened earlier.
        checkpoints: of the nodes' logs, checked: the last of each, as far as they are known.
        former: results of the study that this one follows; None where there is none, or it was not
            given.
    """

    spec: StudySpec
    results: Results
    is_verified: bool = True
    checkpoints: tuple[Checkpoint, ...] = ()
    former: Results | None = None

    @cached_property
    def table(self) -> SegmentTable:
        """The segments that are shown.

        Raises:
            AgreementError: this organisation does not receive the report.
        """
        return segment_table(self.results)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """A suggested name for each segment of the table."""
        return suggested_names(self.table.segments)
