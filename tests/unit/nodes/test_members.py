"""Nodes take an agreement only if their own organisation stands in it with its whole card."""

from __future__ import annotations

import dataclasses

import pytest

from mpcseg.errors import SignatureError
from mpcseg.nodes.roles import Role
from mpcseg.nodes.transport import verify_identity
from mpcseg.study.agreement import utc_today
from tests.organisations import identity, signed, study_spec

ROLES = {"alder": Role.PARTY, "keeper": Role.KEY, "hub": Role.COMPUTE}


@pytest.mark.parametrize("name", ROLES)
def test_a_card_with_ones_certificate_and_anothers_keys_is_refused_in_every_role(
    name: str,
) -> None:
    """Such an agreement bears every signature; its owner has signed nothing."""
    real, thief = identity(name), identity("oak")
    forged = dataclasses.replace(
        real,
        private_signing_key=thief.private_signing_key,
        private_sealing_key=thief.private_sealing_key,
    )
    terms = study_spec(known={name: forged})
    signed(terms, {name: forged}).verify(utc_today())
    with pytest.raises(SignatureError, match=f"the card of '{name}'"):
        verify_identity(terms, real, ROLES[name])
    verify_identity(study_spec(), real, ROLES[name])
