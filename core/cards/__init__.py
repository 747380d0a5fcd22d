"""Cards saved at the gateways."""
