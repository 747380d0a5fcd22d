"""Webhooks: gateway events are received, stored and applied to their payments."""
