"""The public JSON endpoint: bounds, parses, transcodes, calls the core and answers."""
