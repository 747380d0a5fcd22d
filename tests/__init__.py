"""The test suite. This module runs before gRPC is imported."""

import os

# PostgreSQL's programs start as another user, which makes Python fork where it else would vfork. In
# a process whose threads are busy in gRPC, gRPC's handlers of a fork then crash the child before it
# becomes pg_ctl: a quarter to a half of 1,500 forks under load, none of as many without handlers.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
