from mpcseg.wire.v1 import audit_pb2 as _audit_pb2
from mpcseg.wire.v1 import blob_pb2 as _blob_pb2
from mpcseg.wire.v1 import closing_pb2 as _closing_pb2
from mpcseg.wire.v1 import event_pb2 as _event_pb2
from mpcseg.wire.v1 import round_pb2 as _round_pb2
from mpcseg.wire.v1 import session_pb2 as _session_pb2
from mpcseg.wire.v1 import status_pb2 as _status_pb2
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor
