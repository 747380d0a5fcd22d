"""Stand-ins for the payment gateways, so that tests and TEST traffic need no network.

`server.serve` runs them in one process; `app.build_app` builds the application for embedding.
Today this is Stripe (the `stripe_*` modules); another gateway is a set of modules beside those,
on the same books and the same faults. The stand-in is wrong in the ways the real one is:
idempotency replays, 409s, declines by card, answers that come late, cut or not at all.

It never takes a real card, and never stores a card number or a secret key.
"""
