"""The business's own gateway keys, sealed at rest."""
