"""The asyncio driver: the same run, its descriptors registered with the running loop. No thread, no child watcher."""

from __future__ import annotations

import asyncio
import os

from .._os import LoopWaiter
from .run import Run


class _Driver:
    """Feeds a run from loop callbacks; `finished` resolves when it is over, or with what a callback raised."""

    __slots__ = ("_loop", "_run", "_timer", "_waiter", "finished")

    def __init__(self, run: Run) -> None:
        self._loop = asyncio.get_running_loop()
        self._run = run
        self._timer: asyncio.TimerHandle | None = None
        self.finished: asyncio.Future[None] = self._loop.create_future()
        self._waiter = LoopWaiter(self._loop, run.child, run.feed, self._report)
        self._guarded(lambda: run.attach(self._waiter))

    def _report(self, what: int, data: bytes) -> None:
        self._guarded(lambda: self._run.report(what, data))

    def _tick(self) -> None:
        self._timer = None
        self._guarded(self._run.tick)

    def stop(self) -> None:
        """Kill the tree."""
        self._guarded(lambda: self._run.stop(None))

    def _guarded(self, step: object) -> None:
        if self.finished.done():
            return
        try:
            step()  # type: ignore[operator]
        except BaseException as error:
            self.finished.set_exception(error)
            return
        if self._run.done:
            self.finished.set_result(None)
        else:
            self._arm()

    def _arm(self) -> None:
        """Set the timer to the run's next moment."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        left = self._run.seconds_left()
        if left is not None:
            self._timer = self._loop.call_later(left, self._tick)

    def close(self) -> None:
        """Unregister everything from the loop."""
        if self._timer is not None:
            self._timer.cancel()
        self._waiter.close()


async def drive(run: Run) -> None:
    """Return when the run is over. Cancelled: kill the tree, wait until it is gone, then raise CancelledError."""
    driver = _Driver(run)
    cancelled: asyncio.CancelledError | None = None
    try:
        while not driver.finished.done():
            try:
                await asyncio.shield(driver.finished)
            except asyncio.CancelledError as error:
                if cancelled is None and not driver.finished.done():
                    driver.stop()
                cancelled = error
        driver.finished.result()
    finally:
        driver.close()
    if cancelled is not None:
        raise cancelled


async def wait_readable(descriptors: list[int], seconds: float | None) -> None:
    """Return when one of the descriptors is readable, or after `seconds`."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    # A copy for each: the loop may have the original registered already, and a descriptor has only one reader.
    copies = [os.dup(descriptor) for descriptor in descriptors]
    timer = None if seconds is None else loop.call_later(seconds, tell)
    try:
        for copy in copies:
            loop.add_reader(copy, tell)
        await ready
    finally:
        if timer is not None:
            timer.cancel()
        for copy in copies:
            loop.remove_reader(copy)
            os.close(copy)
