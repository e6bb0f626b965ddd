"""Further destinations of a run's output: served on the thread that waits or, beside an event loop, on a thread of ours."""

from __future__ import annotations

import threading
import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Protocol

    class Tap(Protocol):
        #: Called before each line: whether that line and all that follow are to be dropped.
        is_over: Callable[[], bool]

        def feed(self, data: bytes) -> None: ...
        def close(self) -> None: ...


#: Most bytes that wait for a slow writer before the child blocks too.
MOST_WAITING = 1 << 20
#: Seconds that slow writers and callbacks get for the output that was read of a run that has been ended.
TAIL = 0.5


class Taps:
    """The taps of one run. After `offload` it owns a thread, from the first bytes to `bring_back` or `end`."""

    __slots__ = (
        "_changed",
        "_delivering",
        "_ended",
        "_open",
        "_pulse",
        "_queue",
        "_taps",
        "_tell",
        "_thread",
        "_waiting",
        "error",
        "until",
    )

    def __init__(self, taps: dict[int, Tap], pulse: Callable[[], None]) -> None:
        self._taps = taps
        # Streams whose end has not been passed to `put` yet.
        self._open = {*taps}
        # Called between two lines while they are delivered on the thread that also moves the run on.
        self._pulse = pulse
        self._tell: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._queue: deque[tuple[int, bytes] | None] = deque()
        self._waiting = 0
        self._delivering = self._ended = False
        #: A BaseException, but no Exception, that a callback raised on our thread; it ends the run.
        self.error: BaseException | None = None
        #: Output that has not been delivered by this time never is (monotonic time); None: there is no such limit.
        self.until: float | None = None
        for tap in taps.values():
            tap.is_over = self._is_over

    @property
    def full(self) -> bool:
        """Whether the streams must not be read for now."""
        return self._waiting >= MOST_WAITING

    @property
    def busy(self) -> bool:
        """Whether some output has not been delivered yet and still may be."""
        return (self._delivering or bool(self._queue)) and not self._is_late()

    @property
    def is_led_here(self) -> bool:
        """Whether the calling thread is ours, so that the call comes from a callback."""
        return self._thread is threading.current_thread()

    def _is_late(self) -> bool:
        return self.until is not None and time.monotonic() >= self.until

    def _is_over(self) -> bool:
        if self._thread is None:
            self._pulse()
        return self._ended or self._is_late()

    def hurry(self, now: float) -> None:
        """The run has been ended: slow writers get no more than TAIL seconds from `now`."""
        if self.until is None:
            self.until = now + TAIL

    def put(self, stream: int, data: bytes) -> None:
        """The next bytes of a stream; b"": its end."""
        if stream not in self._taps:
            return
        if not data:
            self._open.discard(stream)
        if self._tell is None and self._thread is None:
            self._deliver(stream, data)
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="processkit-tee", daemon=True)
            self._thread.start()
        with self._changed:
            self._queue.append((stream, data))
            self._waiting += len(data)
            self._changed.notify()

    def _deliver(self, stream: int, data: bytes) -> None:
        tap = self._taps.get(stream)
        if tap is None:
            return  # `leave` has been called for it since
        if data:
            tap.feed(data)
        else:
            tap.close()

    def leave(self, stream: int) -> None:
        """From now on this stream has no further destination."""
        self._taps.pop(stream, None)
        self._open.discard(stream)

    def offload(self, tell: Callable[[], None]) -> None:
        """From now on `put` never blocks; `tell` is called on our thread when there is room again and when all is delivered."""
        self._tell = tell

    def finishing(self, tell: Callable[[], None]) -> bool:
        """Whether all streams have ended and our thread is still delivering; if so, it calls `tell` when it has finished."""
        with self._changed:
            if self._thread is None or self._open or not self.busy:
                return False
            self._tell = tell
            return True

    def leave_loop(self) -> None:
        """Stop calling `tell`; another loop, or a thread, may take over."""
        self._tell = None

    def bring_back(self) -> None:
        """Let our thread deliver what waits, and end it; from then on `put` delivers as before `offload`."""
        self._tell = None
        self._stop(wait=True)

    def end(self) -> None:
        """Drop all output that has not been delivered. The thread ends, at the latest when the running callback returns."""
        self._ended = True
        self._tell = None
        self._stop(wait=not self._delivering and not self._queue)

    def _stop(self, wait: bool) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            with self._changed:
                self._queue.append(None)
                self._changed.notify()
            if wait and thread is not threading.current_thread():
                thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                item = self._queue.popleft()
                self._delivering = item is not None
            if item is None:
                return
            try:
                if not self._ended and self.error is None and not self._is_late():
                    self._deliver(*item)
            except BaseException as error:  # for example SystemExit, which would end only this thread
                self.error = error
            with self._changed:
                was_full = self.full
                self._delivering = False
                self._waiting -= len(item[1])
                tell = self._tell if not self._queue or (was_full and not self.full) or self.error is not None else None
            if tell is not None:
                tell()
