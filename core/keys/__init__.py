"""Keys that browsers may see."""
