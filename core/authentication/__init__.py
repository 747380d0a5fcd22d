"""Authentication of callers by API key or service token."""
