"""One time for all processes of a proof: this machine's, and so much more as the driver says."""

import mmap
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_AHEAD = struct.Struct("d")


class SharedClock:
    """A clock that a file sets ahead, in every process that has it open at once."""

    def __init__(self, path: Path) -> None:
        """Open the file, made with no time ahead where there is none."""
        if not path.exists():
            path.write_bytes(_AHEAD.pack(0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _AHEAD.size)

    @property
    def ahead_seconds(self) -> float:
        """How far it is ahead."""
        seconds: float = _AHEAD.unpack_from(self._map)[0]
        return seconds

    def advance(self, seconds: float) -> None:
        """Let time pass for everybody."""
        _AHEAD.pack_into(self._map, 0, self.ahead_seconds + seconds)

    def now(self) -> datetime:
        """Return the present, aware, in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.ahead_seconds)

    def seconds(self) -> float:
        """Return the present in Unix seconds."""
        return time.time() + self.ahead_seconds
