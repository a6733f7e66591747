from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Checkpoint(_message.Message):
    __slots__ = ("organisation", "role", "size", "root", "time", "signature")
    ORGANISATION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    organisation: str
    role: str
    size: int
    root: bytes
    time: str
    signature: bytes
    def __init__(self, organisation: _Optional[str] = ..., role: _Optional[str] = ..., size: _Optional[int] = ..., root: _Optional[bytes] = ..., time: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class GetCheckpointRequest(_message.Message):
    __slots__ = ("study_digest", "session", "known_size")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    KNOWN_SIZE_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    known_size: int
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ..., known_size: _Optional[int] = ...) -> None: ...

class GetCheckpointReply(_message.Message):
    __slots__ = ("study_digest", "checkpoint", "consistency", "known_size")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    KNOWN_SIZE_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    checkpoint: Checkpoint
    consistency: _containers.RepeatedScalarFieldContainer[bytes]
    known_size: int
    def __init__(self, study_digest: _Optional[str] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., consistency: _Optional[_Iterable[bytes]] = ..., known_size: _Optional[int] = ...) -> None: ...

class LeaveCheckpointRequest(_message.Message):
    __slots__ = ("study_digest", "session", "checkpoint", "consistency")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    CONSISTENCY_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    checkpoint: Checkpoint
    consistency: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ..., checkpoint: _Optional[_Union[Checkpoint, _Mapping]] = ..., consistency: _Optional[_Iterable[bytes]] = ...) -> None: ...

class LeaveCheckpointReply(_message.Message):
    __slots__ = ("study_digest",)
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    def __init__(self, study_digest: _Optional[str] = ...) -> None: ...
