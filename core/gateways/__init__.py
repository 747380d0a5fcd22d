"""Card gateways: one folder each, the same methods and outcomes."""
