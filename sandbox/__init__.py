"""Stand-ins for Stripe and Authorize.Net, so that tests and TEST traffic need no network.

`server.serve` runs both in one process, on one store (`books`) and with the same faults. They fail
in the ways the real gateways do: idempotent replays, 409s, duplicates, declines by card, lagging
lists, late, cut and missing responses. No real card is accepted; no card number and no secret key
is stored.
"""
