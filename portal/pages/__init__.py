"""The HTML pages of the portal, rendered from the reference once, when the adapter starts."""
