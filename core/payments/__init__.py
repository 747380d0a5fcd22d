"""Card payments: charges, their recovery, and gateway events."""
