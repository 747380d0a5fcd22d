"""The client side of a core: channels, TLS, metadata, errors and the method catalogue."""
