"""What crosses a wire: generated stubs, blob streams with digests, errors as gRPC statuses."""

import os

# gRPC's core prints a line on stderr for every refused handshake; nodes say it in their own words.
# Read once, when grpc is imported, which inside this package happens below this line.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
