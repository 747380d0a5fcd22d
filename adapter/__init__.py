"""The public door: turns the JSON envelope into one gRPC call and back; it decides nothing."""
