"""Fixtures for the tests that start processes."""

from collections.abc import Iterator

import pytest

from tests.processes import Running, Start, start_process


@pytest.fixture
def start() -> Iterator[Start]:
    """Start `python <arguments>`, and end it, and its children, with the test."""
    running: list[Running] = []

    def start_one(*arguments: str, **variables: str) -> Running:
        process = start_process(*arguments, **variables)
        running.append(process)
        return process

    yield start_one
    for process in running:
        process.end()
