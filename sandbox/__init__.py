"""Stand-ins for the payment gateways, so that tests and TEST traffic need no network.

`server.serve` runs them in one process; `app.build_app` builds the application for embedding.
They are Stripe (the `stripe_*` modules) and Authorize.Net (`authorize_*`), on the same books and
with the same faults. The stand-ins are wrong in the ways the real ones are: idempotency replays,
409s, duplicates, declines by card, lists that lag, answers that come late, cut or not at all.

It never takes a real card, and never stores a card number or a secret key.
"""
