"""Translates between the JSON envelope and protobuf messages, compiled from descriptors."""
