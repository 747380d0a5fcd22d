"""The process that has the core execute what recurring jobs are due; it knows no rule of theirs."""
