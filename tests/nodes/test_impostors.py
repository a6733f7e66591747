"""Strangers with valid-looking certificates, and men in the middle, over real TLS."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mpcseg.errors import MpcsegError, StudyAbortedError, UnknownCertificateError
from mpcseg.nodes.roles import Role
from mpcseg.study.certificate import load_certificate
from mpcseg.study.identity import Identity
from tests.nodes.material import Material
from tests.nodes.studies import Nodes, connect, start_compute
from tests.nodes.test_lying_compute_node import Liar, serving
from tests.organisations import identity


def look_alike(
    genuine: Identity,
    *,
    signer: ec.EllipticCurvePrivateKey | None = None,
    chain: bytes = b"",
    issuer: x509.Name | None = None,
) -> Identity:
    """Somebody with the same certificate in every field, but for key, signature and issuer.

    Args:
        genuine: who is imitated.
        signer: signs the certificate; None for its own key.
        chain: certificates to show behind it.
        issuer: named in it; None for the same as in the genuine one, which is its subject.
    """
    model = load_certificate(genuine.certificate_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(model.subject)
        .issuer_name(issuer or model.issuer)
        .public_key(key.public_key())
        .serial_number(model.serial_number)
        .not_valid_before(model.not_valid_before_utc)
        .not_valid_after(model.not_valid_after_utc)
    )
    for extension in model.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    made = builder.sign(signer or key, hashes.SHA256())
    return dataclasses.replace(
        genuine,
        certificate_pem=made.public_bytes(serialization.Encoding.PEM) + chain,
        private_key_pem=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def private_key(own: Identity) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(own.private_key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def authority(genuine: Identity) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """An authority of the stranger's own, by the name of the genuine certificate's issuer."""
    model = load_certificate(genuine.certificate_pem)
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(model.issuer)
        .issuer_name(model.issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(model.not_valid_before_utc)
        .not_valid_after(model.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, made


def of_an_authority(genuine: Identity) -> Identity:
    key, made = authority(genuine)
    return look_alike(genuine, signer=key, chain=made.public_bytes(serialization.Encoding.PEM))


def of_a_member(genuine: Identity) -> Identity:
    """A member of the study signs it, whose own certificate everybody trusts."""
    member = identity("party-b")
    issuer = load_certificate(member.certificate_pem).subject
    return look_alike(
        genuine, signer=private_key(member), issuer=issuer, chain=member.certificate_pem
    )


def with_the_genuine_behind(genuine: Identity) -> Identity:
    """The genuine certificate, which is public, stands behind the impostor's own."""
    return look_alike(genuine, chain=genuine.certificate_pem)


IMPOSTORS: list[Callable[[Identity], Identity]] = [
    look_alike,
    of_an_authority,
    of_a_member,
    with_the_genuine_behind,
]


@pytest.fixture(scope="module")
def address(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    running, address = start_compute(nodes, tmp_path_factory.mktemp("storage"), patience=600.0)
    yield address
    with connect(nodes, nodes.key, address) as key:
        key.join()
        key.abort(MpcsegError("the tests are done"))
    assert isinstance(running.error(), StudyAbortedError)
    messages = [text for text in running.progress.messages if "refused" in text]
    assert not [text for text in messages if "certificate" not in text], messages


@pytest.mark.parametrize("impostor", IMPOSTORS)
@pytest.mark.parametrize("role", [Role.PARTY, Role.KEY])
def test_a_stranger_with_a_valid_looking_certificate_does_not_get_in(
    nodes: Nodes, address: str, role: Role, impostor: Callable[[Identity], Identity]
) -> None:
    genuine = nodes.key if role is Role.KEY else nodes.parties[0]
    stranger = impostor(genuine)
    with (
        connect(nodes, stranger, address, role=role, patience=0.3) as client,
        pytest.raises(UnknownCertificateError, match="does not know this node's certificate"),
    ):
        client.join()


IN_THE_MIDDLE: dict[str, Callable[[Nodes], Identity]] = {
    **{make.__name__: lambda nodes, make=make: make(nodes.compute) for make in IMPOSTORS},
    "another party's stolen identity": lambda nodes: nodes.parties[1],
    "the key node's stolen identity": lambda nodes: nodes.key,
    "a stranger's": lambda nodes: nodes.stranger,
}


@pytest.mark.parametrize("what", IN_THE_MIDDLE)
def test_a_man_in_the_middle_is_not_taken_for_the_compute_node(
    nodes: Nodes, material: Material, what: str
) -> None:
    """He ends TLS himself, and could read and change everything if a node spoke to him."""
    liar = Liar(material.attestation(), material.public_key)
    there = dataclasses.replace(nodes, compute=IN_THE_MIDDLE[what](nodes))
    with (
        serving(there, liar) as address,
        connect(nodes, nodes.parties[0], address, patience=0.3) as client,
        pytest.raises(UnknownCertificateError, match="a certificate that the study does not name"),
    ):
        client.join()
    assert not liar.study, "he was told something"
