"""The asyncio driver: the same run, its descriptors registered with the running loop. No thread, no child watcher."""

from __future__ import annotations

import asyncio
from functools import partial

from .._os import LoopEnds
from .driver import Driver, resolve
from .run import Run
from .taps import TAIL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


async def drive(run: Run) -> None:
    """Return when the run is over. Cancelled: kill the tree, wait until it is gone, then raise CancelledError."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[None] | None = None

    def tell() -> None:
        if waiting is not None and driver.over:
            resolve(waiting)

    driver = Driver(loop, run, tell, lasting=False)
    cancelled: asyncio.CancelledError | None = None
    try:
        while not driver.over:
            waiting = loop.create_future()
            try:
                await waiting
            except asyncio.CancelledError as error:
                if cancelled is None:
                    driver.stop()
                cancelled = error
    finally:
        driver.close()
    if cancelled is not None:
        raise cancelled
    if driver.error is not None:
        raise driver.error


async def delivered(runs: list[Run]) -> None:
    """Return when the taps of streams that have ended have received all output; slow writers get a short time, all together."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + TAIL
    waiting = [run.taps for run in runs if run.taps is not None]
    while waiting and loop.time() < deadline:
        told: asyncio.Future[None] = loop.create_future()
        done = partial(resolve, told)
        if not waiting[-1].finishing(partial(_tell_loop, loop, done)):
            waiting.pop()
            continue
        timer = loop.call_at(deadline, done)
        try:
            await told
        finally:
            timer.cancel()


def _tell_loop(loop: asyncio.AbstractEventLoop, done: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(done)
    except RuntimeError:
        pass  # the loop was closed, and with it the task that waited


async def wait_ended(ended: list[int], seconds: float | None) -> None:
    """Return when one of the processes has ended, each given by its `ended` descriptor, or after `seconds`."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    tell = partial(resolve, ready)
    timer = None if seconds is None else loop.call_later(seconds, tell)
    ends = LoopEnds(loop, ended, tell)
    try:
        await ready
    finally:
        if timer is not None:
            timer.cancel()
        ends.close()
