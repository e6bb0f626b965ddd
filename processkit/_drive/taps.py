"""Where output goes besides, while a run is under way: on the thread that waits, or, beside an event loop, on one of ours."""

from __future__ import annotations

import threading
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Protocol

    class Tap(Protocol):
        def feed(self, data: bytes) -> None: ...
        def close(self) -> None: ...


#: So much may wait for a slow writer before the child waits for it too.
MOST_WAITING = 1 << 20


class Taps:
    """The taps of one run. Where it is `offloaded` it owns a thread, from the first bytes to `bring_back`."""

    __slots__ = ("_changed", "_queue", "_taps", "_tell", "_thread", "_waiting")

    def __init__(self, taps: dict[int, Tap]) -> None:
        self._taps = taps
        self._tell: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._queue: deque[tuple[int, bytes] | None] = deque()
        self._waiting = 0

    @property
    def full(self) -> bool:
        """Whether the streams are not to be read for now."""
        return self._waiting >= MOST_WAITING

    @property
    def busy(self) -> bool:
        """Whether something has not been delivered yet."""
        return bool(self._queue)

    @property
    def is_led_here(self) -> bool:
        """Whether the calling thread is ours: a callback calls."""
        return self._thread is threading.current_thread()

    def put(self, stream: int, data: bytes) -> None:
        """The next bytes of a stream; b"": its end."""
        if stream not in self._taps:
            return
        if self._tell is None:
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
            return  # it has been left since
        if data:
            tap.feed(data)
        else:
            tap.close()

    def leave(self, stream: int) -> None:
        """This stream goes nowhere else from now on."""
        self._taps.pop(stream, None)

    def offload(self, tell: Callable[[], None]) -> None:
        """Never block whoever calls `put`; `tell` is called, on our thread, when there is room again, and when all is delivered."""
        self._tell = tell

    def bring_back(self) -> None:
        """Deliver what waits, on our thread, and end it; from then on as before `offload`."""
        thread, self._thread, self._tell = self._thread, None, None
        if thread is not None:
            with self._changed:
                self._queue.append(None)
                self._changed.notify()
            thread.join()
            self._queue.clear()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                item = self._queue[0]
            if item is None:
                return
            try:
                self._deliver(*item)
            finally:
                with self._changed:
                    was_full = self.full
                    self._queue.popleft()
                    self._waiting -= len(item[1])
                    tell = self._tell if not self._queue or (was_full and not self.full) else None
            if tell is not None:
                tell()
