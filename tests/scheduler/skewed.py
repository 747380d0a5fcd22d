"""`nivisco` on a machine whose clock is ahead: `python -m tests.scheduler.skewed SECONDS …`."""

import sys
import time
from datetime import UTC, datetime, timedelta

from cli.main import main
from core.database.clock import SystemClock


def _skew(seconds: float) -> None:
    """Shift the wall clock of this process."""
    real_time = time.time
    time.time = lambda: real_time() + seconds

    def now(self: SystemClock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=seconds)

    SystemClock.now = now  # type: ignore[method-assign]


if __name__ == "__main__":
    _skew(float(sys.argv.pop(1)))
    main()
