from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RoundKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROUND_KIND_UNSPECIFIED: _ClassVar[RoundKind]
    ROUND_KIND_MOMENTS: _ClassVar[RoundKind]
    ROUND_KIND_LLOYD: _ClassVar[RoundKind]
    ROUND_KIND_PROFILE: _ClassVar[RoundKind]
    ROUND_KIND_ADMISSION: _ClassVar[RoundKind]
    ROUND_KIND_SCOUT: _ClassVar[RoundKind]
    ROUND_KIND_APPRAISAL: _ClassVar[RoundKind]
ROUND_KIND_UNSPECIFIED: RoundKind
ROUND_KIND_MOMENTS: RoundKind
ROUND_KIND_LLOYD: RoundKind
ROUND_KIND_PROFILE: RoundKind
ROUND_KIND_ADMISSION: RoundKind
ROUND_KIND_SCOUT: RoundKind
ROUND_KIND_APPRAISAL: RoundKind

class PublishKeysRequest(_message.Message):
    __slots__ = ("study_digest", "session", "attestation")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    attestation: KeyAttestation
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ..., attestation: _Optional[_Union[KeyAttestation, _Mapping]] = ...) -> None: ...

class KeyAttestation(_message.Message):
    __slots__ = ("public_key_sha256", "signature")
    PUBLIC_KEY_SHA256_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    public_key_sha256: bytes
    signature: bytes
    def __init__(self, public_key_sha256: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class PublishKeysReply(_message.Message):
    __slots__ = ("study_digest",)
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    def __init__(self, study_digest: _Optional[str] = ...) -> None: ...

class CommitRequest(_message.Message):
    __slots__ = ("study_digest", "session", "n_blocks", "manifest_sha256")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    N_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_SHA256_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    n_blocks: int
    manifest_sha256: bytes
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ..., n_blocks: _Optional[int] = ..., manifest_sha256: _Optional[bytes] = ...) -> None: ...

class CommitReply(_message.Message):
    __slots__ = ("study_digest",)
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    def __init__(self, study_digest: _Optional[str] = ...) -> None: ...

class OpenRoundRequest(_message.Message):
    __slots__ = ("study_digest", "session", "kind", "index", "sign_degrees", "n_clusters")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SIGN_DEGREES_FIELD_NUMBER: _ClassVar[int]
    N_CLUSTERS_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    kind: RoundKind
    index: int
    sign_degrees: _containers.RepeatedScalarFieldContainer[int]
    n_clusters: int
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ..., kind: _Optional[_Union[RoundKind, str]] = ..., index: _Optional[int] = ..., sign_degrees: _Optional[_Iterable[int]] = ..., n_clusters: _Optional[int] = ...) -> None: ...

class OpenRoundReply(_message.Message):
    __slots__ = ("study_digest",)
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    def __init__(self, study_digest: _Optional[str] = ...) -> None: ...
