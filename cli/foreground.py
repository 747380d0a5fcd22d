"""Runs one serving process until a signal stops it; knows none of the processes."""

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import click

from cli import logs
from cli.failures import SettingsError
from cli.lifelines import WORKER, Lifelines

Serve = Callable[[Callable[[str], None], asyncio.Event], Coroutine[Any, Any, None]]
"""Serves until the event is set; calls back with its `host:port` when it can be called."""

_logger = logging.getLogger("nivisco")


def run(process: str, prepare: Callable[[], Serve]) -> None:
    """Prepare and serve in this process, and end it with an exit code that tells how it went.

    `prepare` imports and reads settings. Its ValueError, and a Failure of either, ends the process
    with its sentence; any other exception is logged with its traceback.

    Raises:
        click.ClickException: the sentence, in a process that a person started.
        click.exceptions.Exit: the sentence is in the log, which `up` shows.
    """
    lifelines = Lifelines()  # before the imports that take time: the parent may be gone by then
    try:
        number = os.environ.get(WORKER)
        logs.configure(f"{process} {number}" if number else process)
        _run_loop(_serve(process, prepare(), lifelines))
    except ValueError as error:
        _logger.debug("a setting cannot work", exc_info=True)
        raise _ending(SettingsError(sentence(error)), lifelines) from None
    except click.ClickException as failure:
        raise _ending(failure, lifelines) from None
    except Exception:
        _logger.critical("%s ends", process, exc_info=True)
        raise click.exceptions.Exit(1) from None


def on_hangup(reload: Callable[[], None]) -> None:
    """Have SIGHUP call `reload` from now on, in the loop that runs."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)


async def until(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Await work that knows no stop event, and cancel it when the event is set."""
    serving = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        serving.cancel()
        await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()


def sentence(error: Exception) -> str:
    """Return what the exception says, as a sentence."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return text[:1].upper() + text[1:].rstrip(".") + "."


def _ending(failure: click.ClickException, lifelines: Lifelines) -> Exception:
    if not lifelines.supervised:
        return failure
    _logger.critical(failure.message)
    return click.exceptions.Exit(failure.exit_code)


def _run_loop(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


async def _serve(process: str, serve: Serve, lifelines: Lifelines) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_or_end, stop, number)
    on_hangup(_nothing_to_reload)

    def ready(address: str) -> None:
        _logger.info("%s serves at %s", process, address, extra={"address": address})
        lifelines.report_ready(address)

    await serve(ready, stop)
    _logger.info("%s stopped", process)


def _nothing_to_reload() -> None:
    """Go on: SIGHUP asks a server for its files again, and must not cut a payment short."""
    _logger.info("SIGHUP: there is nothing to reload")


def _stop_or_end(stop: asyncio.Event, number: int) -> None:
    """Stop in order at the first signal; at the second, end at once."""
    if stop.is_set():
        os._exit(128 + number)
    _logger.info("stopping: %s", signal.Signals(number).name)
    stop.set()
