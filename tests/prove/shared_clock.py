"""The clock of all processes of a test run: the system time plus an offset in a file."""

import mmap
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_OFFSET = struct.Struct("d")


class SharedClock:
    """A clock whose offset is shared by every process that opens the file."""

    def __init__(self, path: Path) -> None:
        """Open the file; create it with offset 0."""
        if not path.exists():
            path.write_bytes(_OFFSET.pack(0.0))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _OFFSET.size)

    @property
    def offset_seconds(self) -> float:
        """The offset."""
        seconds: float = _OFFSET.unpack_from(self._map)[0]
        return seconds

    def advance(self, seconds: float) -> None:
        """Advance the clock of every process."""
        _OFFSET.pack_into(self._map, 0, self.offset_seconds + seconds)

    def now(self) -> datetime:
        """Return the time, aware, in UTC."""
        return datetime.now(UTC) + timedelta(seconds=self.offset_seconds)

    def seconds(self) -> float:
        """Return the time in Unix seconds."""
        return time.time() + self.offset_seconds
