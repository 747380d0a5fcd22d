"""An adapter in front of a recording core, for tests over HTTP."""

from collections.abc import AsyncIterator

import pytest

from adapter.settings import AdapterSettings
from tests.adapter.recording_core import RecordingCore
from tests.adapter.running import AdapterClient, running_adapter


@pytest.fixture
async def core() -> AsyncIterator[RecordingCore]:
    recording = RecordingCore()
    await recording.start()
    yield recording
    await recording.stop()


@pytest.fixture
def settings(core: RecordingCore) -> AdapterSettings:
    return AdapterSettings(port=0, core_target=core.target, lame_duck_seconds=0.0)


@pytest.fixture
async def client(settings: AdapterSettings) -> AsyncIterator[AdapterClient]:
    async with running_adapter(settings) as client:
        yield client
