from mpcseg.wire.v1 import event_pb2 as _event_pb2
from mpcseg.wire.v1 import session_pb2 as _session_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StudyPhase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STUDY_PHASE_UNSPECIFIED: _ClassVar[StudyPhase]
    STUDY_PHASE_KEYS: _ClassVar[StudyPhase]
    STUDY_PHASE_BLOCKS: _ClassVar[StudyPhase]
    STUDY_PHASE_ROUNDS: _ClassVar[StudyPhase]
    STUDY_PHASE_RESULTS: _ClassVar[StudyPhase]
    STUDY_PHASE_OVER: _ClassVar[StudyPhase]

class NodePresence(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    NODE_PRESENCE_UNSPECIFIED: _ClassVar[NodePresence]
    NODE_PRESENCE_AWAITED: _ClassVar[NodePresence]
    NODE_PRESENCE_HERE: _ClassVar[NodePresence]
    NODE_PRESENCE_ABSENT: _ClassVar[NodePresence]
    NODE_PRESENCE_LEFT: _ClassVar[NodePresence]
STUDY_PHASE_UNSPECIFIED: StudyPhase
STUDY_PHASE_KEYS: StudyPhase
STUDY_PHASE_BLOCKS: StudyPhase
STUDY_PHASE_ROUNDS: StudyPhase
STUDY_PHASE_RESULTS: StudyPhase
STUDY_PHASE_OVER: StudyPhase
NODE_PRESENCE_UNSPECIFIED: NodePresence
NODE_PRESENCE_AWAITED: NodePresence
NODE_PRESENCE_HERE: NodePresence
NODE_PRESENCE_ABSENT: NodePresence
NODE_PRESENCE_LEFT: NodePresence

class GetStatusRequest(_message.Message):
    __slots__ = ("study_digest",)
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    def __init__(self, study_digest: _Optional[str] = ...) -> None: ...

class NodeStatus(_message.Message):
    __slots__ = ("node", "role", "presence", "ready", "absent_seconds", "n_blocks")
    NODE_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    PRESENCE_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    ABSENT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    N_BLOCKS_FIELD_NUMBER: _ClassVar[int]
    node: str
    role: _session_pb2.Role
    presence: NodePresence
    ready: bool
    absent_seconds: float
    n_blocks: int
    def __init__(self, node: _Optional[str] = ..., role: _Optional[_Union[_session_pb2.Role, str]] = ..., presence: _Optional[_Union[NodePresence, str]] = ..., ready: _Optional[bool] = ..., absent_seconds: _Optional[float] = ..., n_blocks: _Optional[int] = ...) -> None: ...

class GetStatusReply(_message.Message):
    __slots__ = ("study_digest", "phase", "nodes", "rounds_opened", "rounds_released", "rounds_at_most", "running", "is_recipient", "results_fetched", "seconds", "ending", "error")
    STUDY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_OPENED_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_RELEASED_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_AT_MOST_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    IS_RECIPIENT_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FETCHED_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    ENDING_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    study_digest: str
    phase: StudyPhase
    nodes: _containers.RepeatedCompositeFieldContainer[NodeStatus]
    rounds_opened: int
    rounds_released: int
    rounds_at_most: int
    running: _event_pb2.RoundProgress
    is_recipient: bool
    results_fetched: bool
    seconds: float
    ending: str
    error: str
    def __init__(self, study_digest: _Optional[str] = ..., phase: _Optional[_Union[StudyPhase, str]] = ..., nodes: _Optional[_Iterable[_Union[NodeStatus, _Mapping]]] = ..., rounds_opened: _Optional[int] = ..., rounds_released: _Optional[int] = ..., rounds_at_most: _Optional[int] = ..., running: _Optional[_Union[_event_pb2.RoundProgress, _Mapping]] = ..., is_recipient: _Optional[bool] = ..., results_fetched: _Optional[bool] = ..., seconds: _Optional[float] = ..., ending: _Optional[str] = ..., error: _Optional[str] = ...) -> None: ...
