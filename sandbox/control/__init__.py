"""The sandbox's own endpoints under `/_sandbox/`, for tests and operators on the same machine.

No part of a gateway's protocol. No response contains a secret or a card number.
"""
