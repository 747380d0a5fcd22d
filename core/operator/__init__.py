"""What operators see of payments and of work that is set aside, and decide about them."""
