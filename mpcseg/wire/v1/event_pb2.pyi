from mpcseg.wire.v1 import error_pb2 as _error_pb2
from mpcseg.wire.v1 import round_pb2 as _round_pb2
from mpcseg.wire.v1 import session_pb2 as _session_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class WatchRequest(_message.Message):
    __slots__ = ("study_digest", "session", "after")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    session: str
    after: int
    def __init__(self, study_digest: _Optional[str] = ..., session: _Optional[str] = ..., after: _Optional[int] = ...) -> None: ...

class StudyEvent(_message.Message):
    __slots__ = ("number", "keys_ready", "party_ready", "all_parties_ready", "round_progress", "release_ready", "node_absent", "node_back", "results_ready", "aborted", "study_digest")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    KEYS_READY_FIELD_NUMBER: _ClassVar[int]
    PARTY_READY_FIELD_NUMBER: _ClassVar[int]
    ALL_PARTIES_READY_FIELD_NUMBER: _ClassVar[int]
    ROUND_PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RELEASE_READY_FIELD_NUMBER: _ClassVar[int]
    NODE_ABSENT_FIELD_NUMBER: _ClassVar[int]
    NODE_BACK_FIELD_NUMBER: _ClassVar[int]
    RESULTS_READY_FIELD_NUMBER: _ClassVar[int]
    ABORTED_FIELD_NUMBER: _ClassVar[int]
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    number: int
    keys_ready: KeysReady
    party_ready: PartyReady
    all_parties_ready: AllPartiesReady
    round_progress: RoundProgress
    release_ready: ReleaseReady
    node_absent: NodeAbsent
    node_back: NodeBack
    results_ready: ResultsReady
    aborted: _error_pb2.ErrorDetail
    study_digest: str
    def __init__(self, number: _Optional[int] = ..., keys_ready: _Optional[_Union[KeysReady, _Mapping]] = ..., party_ready: _Optional[_Union[PartyReady, _Mapping]] = ..., all_parties_ready: _Optional[_Union[AllPartiesReady, _Mapping]] = ..., round_progress: _Optional[_Union[RoundProgress, _Mapping]] = ..., release_ready: _Optional[_Union[ReleaseReady, _Mapping]] = ..., node_absent: _Optional[_Union[NodeAbsent, _Mapping]] = ..., node_back: _Optional[_Union[NodeBack, _Mapping]] = ..., results_ready: _Optional[_Union[ResultsReady, _Mapping]] = ..., aborted: _Optional[_Union[_error_pb2.ErrorDetail, _Mapping]] = ..., study_digest: _Optional[str] = ...) -> None: ...

class KeysReady(_message.Message):
    __slots__ = ("attestation",)
    ATTESTATION_FIELD_NUMBER: _ClassVar[int]
    attestation: _round_pb2.KeyAttestation
    def __init__(self, attestation: _Optional[_Union[_round_pb2.KeyAttestation, _Mapping]] = ...) -> None: ...

class PartyReady(_message.Message):
    __slots__ = ("party",)
    PARTY_FIELD_NUMBER: _ClassVar[int]
    party: str
    def __init__(self, party: _Optional[str] = ...) -> None: ...

class AllPartiesReady(_message.Message):
    __slots__ = ("n_blocks",)
    N_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    n_blocks: int
    def __init__(self, n_blocks: _Optional[int] = ...) -> None: ...

class RoundProgress(_message.Message):
    __slots__ = ("index", "tasks_done", "tasks")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TASKS_DONE_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    index: int
    tasks_done: int
    tasks: int
    def __init__(self, index: _Optional[int] = ..., tasks_done: _Optional[int] = ..., tasks: _Optional[int] = ...) -> None: ...

class ReleaseReady(_message.Message):
    __slots__ = ("index", "count")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    index: int
    count: int
    def __init__(self, index: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class NodeAbsent(_message.Message):
    __slots__ = ("node", "seconds_left", "role")
    NODE_FIELD_NUMBER: _ClassVar[int]
    SECONDS_LEFT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    node: str
    seconds_left: float
    role: _session_pb2.Role
    def __init__(self, node: _Optional[str] = ..., seconds_left: _Optional[float] = ..., role: _Optional[_Union[_session_pb2.Role, str]] = ...) -> None: ...

class NodeBack(_message.Message):
    __slots__ = ("node", "role")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    node: str
    role: _session_pb2.Role
    def __init__(self, node: _Optional[str] = ..., role: _Optional[_Union[_session_pb2.Role, str]] = ...) -> None: ...

class ResultsReady(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
