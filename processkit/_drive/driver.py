"""Feeds one run from the callbacks of an event loop, asyncio's or one of ours."""

from __future__ import annotations

from .._os import LoopWaiter
from .ownloop import OwnLoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import Future
    from typing import Callable

    from .ownloop import Loop, LoopTimer
    from .run import Run


class Driver:
    """Moves a run on until it is over or a callback raises; `tell` is called after every step."""

    __slots__ = ("_loop", "_tell", "_timer", "_waiter", "error", "over", "run")

    def __init__(self, loop: Loop, run: Run, tell: Callable[[], None], lasting: bool = True) -> None:
        self._loop = loop
        self.run = run
        self._tell = tell
        self._timer: LoopTimer | None = None
        #: The exception that a callback raised.
        self.error: BaseException | None = None
        self.over = False
        # `lasting`: another loop, or none, may continue the run.
        self._waiter = LoopWaiter(loop, run.child, run.feed, self._report, lasting, self._failed)
        if run.taps is not None and isinstance(loop, OwnLoop):
            run.taps.bring_back()
        elif run.taps is not None:
            run.taps.offload(self._delivered)
        if run.token is not None:
            run.wake = self._wake
        self.step(self._attach)

    def _attach(self) -> None:
        self.run.attach(self._waiter)
        self.run.look_at_token()

    def step(self, step: Callable[..., None], *arguments: object) -> None:
        """Let the run take a step, unless it is over. Called on the loop's thread."""
        if not self.over:
            try:
                step(*arguments)
            except BaseException as error:
                self.error = error
            self.settle()

    def _report(self, what: int, data: bytes) -> None:
        self.step(self.run.report, what, data)

    def _failed(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
        self.settle()

    def _tick(self) -> None:
        self._timer = None
        self.step(self.run.tick)

    def _wake(self) -> None:
        """Have the run look at its token soon. Called from any thread."""
        try:
            self._loop.call_soon_threadsafe(self.step, self.run.look_at_token)
        except RuntimeError:
            pass  # the loop was closed, and the run with it

    def _delivered(self) -> None:
        """The taps have room again, or have delivered everything. Called on their thread."""
        try:
            self._loop.call_soon_threadsafe(self.step, self.run.relieve)
        except RuntimeError:
            pass  # the loop was closed, and the run with it

    def settle(self) -> None:
        """Set the timer to the run's next moment, or note that the run is over; then call `tell`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.run.done or self.error is not None:
            self.over = True
        else:
            left = self.run.seconds_left()
            if left is not None:
                self._timer = self._loop.call_later(left, self._tick)
        self._tell()

    def stop(self) -> None:
        """Kill the tree."""
        self.step(self.run.stop, None)

    def close(self) -> None:
        """Unregister everything from the loop; bytes that have been read by then are reported."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiter.close()
        if self.run.taps is not None:
            self.run.taps.leave_loop()
        self.run.detach()


def resolve(future: Future[None]) -> None:
    """Let the task that awaits `future` go on. Idempotent."""
    if not future.done():
        future.set_result(None)
