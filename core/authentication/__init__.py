"""Who calls: business credentials and service tokens."""
