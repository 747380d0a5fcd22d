"""Client libraries for the JSON endpoint, and the program that generates them."""
