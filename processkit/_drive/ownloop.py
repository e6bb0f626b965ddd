"""As much of an event loop as waiting for children needs. It makes progress while a thread runs it, whichever thread that is."""

from __future__ import annotations

import time
from collections import deque

from .._os import Sleeper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, TimerHandle
    from typing import Any, Callable, Union


class Timer:
    """A call that is due at a moment."""

    __slots__ = ("_loop", "callback", "when")

    def __init__(self, loop: OwnLoop, when: float, callback: Callable[[], None]) -> None:
        self._loop = loop
        self.when = when
        self.callback = callback

    def cancel(self) -> None:
        """Cancel the call. Idempotent."""
        self._loop.forget(self)


class OwnLoop:
    """The methods of an asyncio loop that a driver and a `LoopWaiter` call. It owns its sleeper until `close`."""

    __slots__ = ("_sleeper", "_soon", "_timers")

    def __init__(self) -> None:
        self._soon: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._timers: list[Timer] = []
        self._sleeper = Sleeper()

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call `callback` whenever the descriptor is readable."""
        self._sleeper.add(descriptor, callback)

    def remove_reader(self, descriptor: int) -> None:
        """Stop watching the descriptor."""
        self._sleeper.remove(descriptor)

    def call_soon_threadsafe(self, callback: Callable[..., object], *arguments: Any) -> None:
        """Call `callback` in the next run, or in the one that is under way. Called from any thread."""
        self._soon.append((callback, arguments))
        self._sleeper.wake()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` after `seconds`."""
        timer = Timer(self, time.monotonic() + seconds, callback)
        self._timers.append(timer)
        return timer

    def forget(self, timer: Timer) -> None:
        """Remove a timer that was cancelled."""
        if timer in self._timers:
            self._timers.remove(timer)

    def wake(self) -> None:
        """Make the run that is under way end soon. Called from any thread."""
        self._sleeper.wake()

    def run_once(self, seconds: float | None) -> None:
        """Wait for an event, at most `seconds` and never so long that signals go unhandled; then run all due callbacks."""
        # Events are reported before the clock is read: a child that ended in time did not time out.
        self._sleeper.sleep(0.0 if self._soon else self._left(seconds))
        for _ in range(len(self._soon)):
            callback, arguments = self._soon.popleft()
            callback(*arguments)
        now = time.monotonic()
        for timer in [timer for timer in self._timers if timer.when <= now]:
            if timer in self._timers:
                self._timers.remove(timer)
                timer.callback()

    def _left(self, seconds: float | None) -> float | None:
        if not self._timers:
            return seconds
        left = max(0.0, min(timer.when for timer in self._timers) - time.monotonic())
        return left if seconds is None else min(left, seconds)

    def close(self) -> None:
        """Close the sleeper. Idempotent."""
        self._sleeper.close()


if TYPE_CHECKING:
    #: What a driver runs on: asyncio's loop, or ours.
    Loop = Union[AbstractEventLoop, OwnLoop]
    LoopTimer = Union[TimerHandle, Timer]
