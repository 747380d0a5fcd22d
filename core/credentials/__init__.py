"""The business's own gateway credentials, sealed at rest."""
