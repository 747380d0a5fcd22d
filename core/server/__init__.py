"""The core as a gRPC server: composition root, settings, listening, health and pipeline."""
