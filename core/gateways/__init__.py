"""The card gateways: one module each, the same verbs, one mapping onto our outcomes."""
