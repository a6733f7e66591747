from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class KeyDestroyed(_message.Message):
    __slots__ = ("decrypted_values", "time", "signature")
    DECRYPTED_VALUES_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    decrypted_values: int
    time: str
    signature: bytes
    def __init__(self, decrypted_values: _Optional[int] = ..., time: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class FinishRequest(_message.Message):
    __slots__ = ("study_digest", "session", "statement")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    statement: KeyDestroyed
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ..., statement: _Optional[_Union[KeyDestroyed, _Mapping]] = ...) -> None: ...

class FinishReply(_message.Message):
    __slots__ = ("study_digest",)
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    def __init__(self, study_digest: _Optional[str] = ...) -> None: ...

class ReportDestroyedRequest(_message.Message):
    __slots__ = ("study_digest", "session", "statement")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    STATEMENT_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    statement: KeyDestroyed
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ..., statement: _Optional[_Union[KeyDestroyed, _Mapping]] = ...) -> None: ...

class ReportDestroyedReply(_message.Message):
    __slots__ = ("study_digest",)
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    def __init__(self, study_digest: _Optional[str] = ...) -> None: ...

class Signed(_message.Message):
    __slots__ = ("time", "signature")
    TIME_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    time: str
    signature: bytes
    def __init__(self, time: _Optional[str] = ..., signature: _Optional[bytes] = ...) -> None: ...

class WithdrawRequest(_message.Message):
    __slots__ = ("study_digest", "signed")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    signed: Signed
    def __init__(self, study_digest: _Optional[str] = ..., signed: _Optional[_Union[Signed, _Mapping]] = ...) -> None: ...

class WithdrawReply(_message.Message):
    __slots__ = ("study_digest", "record")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    record: bytes
    def __init__(self, study_digest: _Optional[str] = ..., record: _Optional[bytes] = ...) -> None: ...

class CloseStudyRequest(_message.Message):
    __slots__ = ("study_digest", "signed")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIGNED_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    signed: Signed
    def __init__(self, study_digest: _Optional[str] = ..., signed: _Optional[_Union[Signed, _Mapping]] = ...) -> None: ...

class CloseStudyReply(_message.Message):
    __slots__ = ("study_digest", "record")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    record: bytes
    def __init__(self, study_digest: _Optional[str] = ..., record: _Optional[bytes] = ...) -> None: ...
