"""Runs one serving process until a signal stops it."""

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import click

from cli import logs
from cli.failures import SettingsError, sentence
from cli.parent_pipes import WORKER, ParentPipes
from cli.profiler import PROFILE_DIRECTORY, Profiler
from rpc import tracing

Serve = Callable[[Callable[[str], None], asyncio.Event], Coroutine[Any, Any, None]]
"""Serves until the event is set; calls back with its `host:port` when it is ready."""

_logger = logging.getLogger("nivisco")


def run(process: str, prepare: Callable[[], Serve]) -> None:
    """Prepare and serve in this process.

    `prepare` imports modules and reads settings. Its ValueError, and a Failure of either, ends the
    process with one sentence; any other exception is logged with its traceback.

    Raises:
        click.ClickException: the sentence, in a process without a parent of ours.
        click.exceptions.Exit: the sentence is in the log, which `up` shows.
    """
    parent = ParentPipes()  # before the slow imports: the parent may end meanwhile
    try:
        number = os.environ.get(WORKER)
        name = f"{process} {number}" if number else process
        logs.configure(name)
        tracing.start(process, os.environ)
        profiler = Profiler(name, os.environ.get(PROFILE_DIRECTORY))
        _run_loop(_serve(prepare(), parent, profiler))
        tracing.stop()
    except ValueError as error:
        _logger.debug("setting rejected", exc_info=True)
        raise _reported(SettingsError(sentence(error)), parent) from None
    except click.ClickException as failure:
        raise _reported(failure, parent) from None
    except Exception:
        _logger.critical("unexpected error, exiting", exc_info=True)
        raise click.exceptions.Exit(1) from None


def on_hangup(reload: Callable[[], None]) -> None:
    """Call `reload` on SIGHUP from now on, in the running loop."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)


async def until(stop: asyncio.Event, work: Awaitable[None]) -> None:
    """Await work that has no stop event, and cancel it when the event is set."""
    serving = asyncio.ensure_future(work)
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        serving.cancel()
        await asyncio.wait({serving})
    if not serving.cancelled():
        serving.result()


def _reported(failure: click.ClickException, parent: ParentPipes) -> Exception:
    """Return the failure for click to print, or log it for the parent and return the exit."""
    if not parent.has_parent:
        return failure
    _logger.critical("exiting", extra={"reason": failure.message})
    return click.exceptions.Exit(failure.exit_code)


def _run_loop(work: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)


async def _serve(serve: Serve, parent: ParentPipes, profiler: Profiler) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop_or_exit, stop, number)
    loop.add_signal_handler(signal.SIGUSR1, profiler.toggle)
    profiler.register()
    on_hangup(_log_nothing_to_reload)

    def ready(address: str) -> None:
        # Modules, classes and settings live as long as the process. A full garbage collection that
        # looks at them stops the core, with the classes of authorizenet, for tens of milliseconds.
        gc.collect()
        gc.freeze()
        _logger.info("serving", extra={"address": address})
        parent.report_ready(address)

    await serve(ready, stop)
    _logger.info("stopped")


def _log_nothing_to_reload() -> None:
    """Replace SIGHUP's default, which would end the process in the middle of a payment."""
    _logger.info("SIGHUP ignored, there is nothing to reload")


def _stop_or_exit(stop: asyncio.Event, number: int) -> None:
    """Stop gracefully at the first signal; exit at once at the second."""
    if stop.is_set():
        logging.shutdown()  # writes the last lines
        os._exit(128 + number)
    _logger.info("stopping", extra={"signal": signal.Signals(number).name})
    stop.set()
