"""Card payments: charged once, recorded for good."""
