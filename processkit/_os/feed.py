"""What is on its way into a child's stdin, on every system; what writes it is the system's."""

from __future__ import annotations

import _thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .port import Child

STDIN = 0


class Feed:
    """Bytes to be written, then end-of-file unless `keep`. A child that does not want them is no error: the feed is `broken`."""

    __slots__ = ("_child", "_keep", "_last", "_lock", "_parts", "_typed", "broken", "offered", "written")

    def __init__(self, child: Child, data: bytes, keep: bool = False) -> None:
        self._child = child
        # Who offers and who writes may be two threads.
        self._lock = _thread.RLock()
        self._keep = keep
        self._parts: list[memoryview] = []
        #: How many bytes there were, and how many have been written.
        self.offered = self.written = 0
        #: Nobody reads any more.
        self.broken = False
        self._last = b""
        # Whether the end has been typed.
        self._typed = False
        if data:
            self.offer(data)
        elif not keep:
            self._conclude()

    @property
    def pending(self) -> bool:
        """Whether something is still to be written."""
        return bool(self._parts)

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written."""
        return self.broken or self._child.stream(STDIN) < 0

    def offer(self, data: bytes) -> int:
        """Have this written too; `written` is at least what is returned when it is."""
        with self._lock:
            if data and not self.broken:
                typed = self._child.typed(data)
                self._last = typed[-1:]
                self._parts.append(memoryview(typed))
                self.offered += len(typed)
            return self.offered

    def finish(self) -> None:
        """End-of-file, once all is written. Idempotent."""
        with self._lock:
            self._keep = False
            if not self._parts:
                self._conclude()

    def _conclude(self) -> None:
        """All is written: end-of-file, which a terminal is told by typing it."""
        word = b"" if self._typed else self._child.end_of_input(self._last in (b"", b"\n", b"\r"))
        self._typed = True
        if word and self._child.stream(STDIN) >= 0:
            self._parts.append(memoryview(word))
        else:
            self._child.close_stream(STDIN)

    def next(self, most: int) -> memoryview:
        """What is to be written next."""
        return self._parts[0][:most]

    def gone(self, count: int) -> None:
        """So much went out; the stream is closed when that was all."""
        with self._lock:
            self.written += count
            rest = self._parts[0][count:]
            if rest:
                self._parts[0] = rest
                return
            del self._parts[0]
            if not self._parts and not self._keep:
                self._conclude()

    def end(self) -> None:
        """Nobody reads any more."""
        with self._lock:
            self.broken = True
            self._parts.clear()
            self._child.close_stream(STDIN)
