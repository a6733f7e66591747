"""Every parser of foreign bytes, by name. A new one is a `Target` in one of these lists."""

from __future__ import annotations

from tests.fuzz.audit import AUDIT_TARGETS
from tests.fuzz.ciphertexts import CIPHERTEXT_TARGETS
from tests.fuzz.documents import DOCUMENT_TARGETS
from tests.fuzz.tables import TABLE_TARGETS
from tests.fuzz.target import Target
from tests.fuzz.wire import WIRE_TARGETS

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        *WIRE_TARGETS,
        *CIPHERTEXT_TARGETS,
        *DOCUMENT_TARGETS,
        *TABLE_TARGETS,
        *AUDIT_TARGETS,
    )
}
