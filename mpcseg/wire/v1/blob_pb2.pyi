from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class BlobKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BLOB_KIND_UNSPECIFIED: _ClassVar[BlobKind]
    BLOB_KIND_PUBLIC_KEY: _ClassVar[BlobKind]
    BLOB_KIND_RELINEARISATION_KEYS: _ClassVar[BlobKind]
    BLOB_KIND_FEATURE: _ClassVar[BlobKind]
    BLOB_KIND_PRESENCE: _ClassVar[BlobKind]
    BLOB_KIND_HYPERPLANE: _ClassVar[BlobKind]
    BLOB_KIND_RELEASE: _ClassVar[BlobKind]
    BLOB_KIND_RESULT: _ClassVar[BlobKind]
    BLOB_KIND_COLUMN: _ClassVar[BlobKind]
BLOB_KIND_UNSPECIFIED: BlobKind
BLOB_KIND_PUBLIC_KEY: BlobKind
BLOB_KIND_RELINEARISATION_KEYS: BlobKind
BLOB_KIND_FEATURE: BlobKind
BLOB_KIND_PRESENCE: BlobKind
BLOB_KIND_HYPERPLANE: BlobKind
BLOB_KIND_RELEASE: BlobKind
BLOB_KIND_RESULT: BlobKind
BLOB_KIND_COLUMN: BlobKind

class BlobName(_message.Message):
    __slots__ = ("kind", "round", "item", "part")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    kind: BlobKind
    round: int
    item: int
    part: int
    def __init__(self, kind: _Optional[_Union[BlobKind, str]] = ..., round: _Optional[int] = ..., item: _Optional[int] = ..., part: _Optional[int] = ...) -> None: ...

class BlobHeader(_message.Message):
    __slots__ = ("name", "length", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: BlobName
    length: int
    sha256: bytes
    def __init__(self, name: _Optional[_Union[BlobName, _Mapping]] = ..., length: _Optional[int] = ..., sha256: _Optional[bytes] = ...) -> None: ...

class BlobChunk(_message.Message):
    __slots__ = ("offset", "data")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    offset: int
    data: bytes
    def __init__(self, offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class ListBlobsRequest(_message.Message):
    __slots__ = ("study_digest", "session")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ...) -> None: ...

class ListBlobsReply(_message.Message):
    __slots__ = ("study_digest", "blobs")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BLOBS_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    blobs: _containers.RepeatedCompositeFieldContainer[BlobHeader]
    def __init__(self, study_digest: _Optional[str] = ..., blobs: _Optional[_Iterable[_Union[BlobHeader, _Mapping]]] = ...) -> None: ...

class UploadHeader(_message.Message):
    __slots__ = ("study_digest", "session", "blob")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    blob: BlobHeader
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ..., blob: _Optional[_Union[BlobHeader, _Mapping]] = ...) -> None: ...

class UploadRequest(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: UploadHeader
    chunk: BlobChunk
    def __init__(self, header: _Optional[_Union[UploadHeader, _Mapping]] = ..., chunk: _Optional[_Union[BlobChunk, _Mapping]] = ...) -> None: ...

class UploadReply(_message.Message):
    __slots__ = ("already_there", "study_digest")
    ALREADY_THERE_FIELD_NUMBER: _ClassVar[int]
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    already_there: bool
    study_digest: str
    def __init__(self, already_there: _Optional[bool] = ..., study_digest: _Optional[str] = ...) -> None: ...

class DownloadRequest(_message.Message):
    __slots__ = ("study_digest", "session", "name")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    name: BlobName
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ..., name: _Optional[_Union[BlobName, _Mapping]] = ...) -> None: ...

class DownloadHeader(_message.Message):
    __slots__ = ("study_digest", "blob")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    blob: BlobHeader
    def __init__(self, study_digest: _Optional[str] = ..., blob: _Optional[_Union[BlobHeader, _Mapping]] = ...) -> None: ...

class DownloadReply(_message.Message):
    __slots__ = ("header", "chunk")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: DownloadHeader
    chunk: BlobChunk
    def __init__(self, header: _Optional[_Union[DownloadHeader, _Mapping]] = ..., chunk: _Optional[_Union[BlobChunk, _Mapping]] = ...) -> None: ...

class FetchResultRequest(_message.Message):
    __slots__ = ("study_digest", "recipient")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    recipient: str
    def __init__(self, study_digest: _Optional[str] = ..., recipient: _Optional[str] = ...) -> None: ...
