"""What the core and its clients share: method catalogue, metadata, errors, TLS; and the client."""
