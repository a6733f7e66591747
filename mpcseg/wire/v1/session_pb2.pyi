from mpcseg.wire.v1 import error_pb2 as _error_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JoinRequest(_message.Message):
    __slots__ = ("protocol_version", "software_version", "study_digest", "parameter_digest", "instance")
    PROTOCOL_VERSION_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_VERSION_FIELD_NUMBER: _ClassVar[int]
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PARAMETER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    protocol_version: int
    software_version: str
    study_digest: str
    parameter_digest: str
    instance: str
    def __init__(self, protocol_version: _Optional[int] = ..., software_version: _Optional[str] = ..., study_digest: _Optional[str] = ..., parameter_digest: _Optional[str] = ..., instance: _Optional[str] = ...) -> None: ...

class JoinReply(_message.Message):
    __slots__ = ("session", "committed")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    session: str
    committed: bool
    def __init__(self, session: _Optional[str] = ..., committed: _Optional[bool] = ...) -> None: ...

class CloseRequest(_message.Message):
    __slots__ = ("study_digest", "session", "finished", "aborted")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    ABORTED_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    finished: Finished
    aborted: _error_pb2.ErrorDetail
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., aborted: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CloseReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
