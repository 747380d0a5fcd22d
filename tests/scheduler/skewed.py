"""`nivisco` on a machine whose clock is ahead: `python -m tests.scheduler.skewed SECONDS …`."""

import sys
import time
from datetime import UTC, datetime, timedelta

from cli.main import main
from core.database.clock import SystemClock


def _skew(seconds: float) -> None:
    """Have everything in this process that asks for the date be told another one."""
    told = time.time
    time.time = lambda: told() + seconds

    def now(self: SystemClock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=seconds)

    SystemClock.now = now  # type: ignore[method-assign]


if __name__ == "__main__":
    _skew(float(sys.argv.pop(1)))
    main()
