"""The audit trail: chains what was recorded with each change, verifies it, and shows it."""
