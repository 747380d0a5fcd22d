"""The gateways' events: received, kept, and followed by the payments that they are about."""
