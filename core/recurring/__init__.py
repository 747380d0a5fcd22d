"""Charges on a schedule: jobs, their calendar, and the occurrences that schedulers execute."""
