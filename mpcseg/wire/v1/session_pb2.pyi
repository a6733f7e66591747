from mpcseg.wire.v1 import error_pb2 as _error_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_KEY: _ClassVar[Role]
    ROLE_PARTY: _ClassVar[Role]
ROLE_UNSPECIFIED: Role
ROLE_KEY: Role
ROLE_PARTY: Role

class JoinRequest(_message.Message):
    __slots__ = ("protocol_version", "software_version", "study_digest", "parameter_digest", "instance", "role", "resumes")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    RESUMES_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    software_version: str
    study_digest: str
    parameter_digest: str
    instance: str
    role: Role
    resumes: bool
    def __init__(self, protocol_version: _Optional[int] = ..., software_version: _Optional[str] = ..., study_digest: _Optional[str] = ..., parameter_digest: _Optional[str] = ..., instance: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., resumes: _Optional[bool] = ...) -> None: ...

class JoinReply(_message.Message):
    __slots__ = ("session", "committed", "study_digest")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    session: str
    committed: bool
    study_digest: str
    def __init__(self, session: _Optional[str] = ..., committed: _Optional[bool] = ..., study_digest: _Optional[str] = ...) -> None: ...

class AbortRequest(_message.Message):
    __slots__ = ("study_digest", "session", "reason")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    reason: _error_pb2.ErrorDetail
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ..., reason: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ...) -> None: ...

class AbortReply(_message.Message):
    __slots__ = ("study_digest",)
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    def __init__(self, study_digest: _Optional[str] = ...) -> None: ...
