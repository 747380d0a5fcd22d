"""The gRPC server: the only owner of rules, database, gateways and secrets."""
