"""Reports: what gateways told, and what moved on each day."""
