"""The asyncio driver: the same run, its descriptors registered with the running loop. No thread, no child watcher."""

from __future__ import annotations

import asyncio

from .._os import LoopEnds, LoopWaiter
from .run import Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


class _Driver:
    """Feeds a run from loop callbacks, until it is over or one of them raises."""

    __slots__ = ("_error", "_loop", "_run", "_timer", "_waiter", "_waiting", "over")

    def __init__(self, run: Run) -> None:
        self._loop = asyncio.get_running_loop()
        self._run = run
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self.over = False
        self._waiter = LoopWaiter(self._loop, run.child, run.feed, self._report)
        if run.token is not None:
            run.wake = self._wake
        self._step(self._attach)

    def _attach(self) -> None:
        self._run.attach(self._waiter)
        self._run.look_at_token()

    def _step(self, step: Callable[..., None], *arguments: object) -> None:
        """Have the run take a step, unless it is over."""
        if not self.over:
            try:
                step(*arguments)
            except BaseException as error:
                self._error = error
            self._settle()

    def _report(self, what: int, data: bytes) -> None:
        self._step(self._run.report, what, data)

    def _tick(self) -> None:
        self._timer = None
        self._step(self._run.tick)

    def _wake(self) -> None:
        """From any thread."""
        try:
            self._loop.call_soon_threadsafe(self._step, self._run.look_at_token)
        except RuntimeError:
            pass  # the loop was closed, and the run with it

    def _settle(self) -> None:
        """Tell whoever waits that it is over, or set the timer to the run's next moment."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._run.done or self._error is not None:
            self.over = True
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(None)
            return
        left = self._run.seconds_left()
        if left is not None:
            self._timer = self._loop.call_later(left, self._tick)

    async def wait(self) -> None:
        """Return when it is over; what a callback raised is raised here. A cancellation ends the waiting, not the run."""
        if not self.over:
            self._waiting = self._loop.create_future()
            await self._waiting
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Kill the tree."""
        self._step(self._run.stop, None)

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
        while True:
            try:
                await driver.wait()
                break
            except asyncio.CancelledError as error:
                if cancelled is None:
                    driver.stop()
                cancelled = error
    finally:
        driver.close()
    if cancelled is not None:
        raise cancelled


async def wait_ended(ended: list[int], seconds: float | None) -> None:
    """Return when one of the processes whose `ended` these are has ended, or after `seconds`."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not ready.done():
            ready.set_result(None)

    timer = None if seconds is None else loop.call_later(seconds, tell)
    ends = LoopEnds(loop, ended, tell)
    try:
        await ready
    finally:
        if timer is not None:
            timer.cancel()
        ends.close()
