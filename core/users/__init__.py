"""The business's users."""
