"""The public JSON endpoint: transcodes between JSON over HTTP and the core's gRPC services."""
