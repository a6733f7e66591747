"""Real keys and a real block of a small study, for tests that speak for its nodes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

from mpcseg.ckks.encryption import BlockEncryptor
from mpcseg.ckks.packing import pack_blocks
from mpcseg.ckks.secret import SecretKey
from mpcseg.nodes.client import ComputeClient
from mpcseg.nodes.planning import plan_of, study_plan
from mpcseg.nodes.study_rules import block_names, manifest_of
from mpcseg.wire.events import KEYS_PURPOSE, KeyAttestation, attested_bytes
from mpcseg.wire.names import BlobKind, BlobName
from tests.nodes.studies import Nodes, make_cohort


@dataclass
class Material:
    """Real keys and one real block, and how they are handed to a compute node."""

    nodes: Nodes
    secret_key: SecretKey
    public_key: bytes = field(repr=False)
    relinearisation_keys: bytes = field(repr=False)
    block: dict[BlobName, bytes] = field(repr=False)

    def attestation(self) -> KeyAttestation:
        digest = hashlib.sha256(self.public_key).digest()
        plan = study_plan(self.nodes.spec)
        signed = attested_bytes(self.nodes.spec.digest, plan.digest, digest)
        return KeyAttestation(digest, self.nodes.key.sign(KEYS_PURPOSE, signed))

    def publish(self, key: ComputeClient) -> None:
        key.upload(BlobName(BlobKind.PUBLIC_KEY), self.public_key)
        key.upload(BlobName(BlobKind.RELINEARISATION_KEYS), self.relinearisation_keys)
        key.publish_keys(self.attestation())

    def send_block(self, party: ComputeClient) -> None:
        for name, blob in self.block.items():
            party.upload(name, blob)
        digests = [hashlib.sha256(blob).digest() for blob in self.block.values()]
        party.commit(1, manifest_of(digests))

    def encrypted_afresh(self) -> Material:
        """The same keys and records, as another party would send them."""
        return replace(self, block=encrypted_block(self.nodes, self.public_key))


def encrypted_block(nodes: Nodes, public_key: bytes) -> dict[BlobName, bytes]:
    parameters = plan_of(nodes.spec).parameters
    (block,) = pack_blocks(make_cohort(40, 2, 0).records, parameters.slots)
    blobs = BlockEncryptor(parameters, public_key).encrypt(block)
    return dict(zip(block_names(1, 2), blobs, strict=True))


def make_material(nodes: Nodes) -> Material:
    secret_key = SecretKey(plan_of(nodes.spec).parameters)
    public_key = secret_key.public_key()
    return Material(
        nodes,
        secret_key,
        public_key,
        secret_key.relinearisation_keys(),
        encrypted_block(nodes, public_key),
    )
