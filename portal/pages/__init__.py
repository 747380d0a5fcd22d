"""The pages that people read: rendered once when the adapter starts, from the reference."""
