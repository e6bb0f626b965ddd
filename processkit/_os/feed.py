"""The bytes on their way into a child's stdin, on every system; the code that writes them belongs to each system."""

from __future__ import annotations

from .lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .port import Child

STDIN = 0


class Feed:
    """Bytes to write, then end-of-file unless `keep`. A child that does not read them is no error: the feed is `broken`."""

    __slots__ = ("_child", "_keep", "_last", "_lock", "_parts", "_typed", "broken", "offered", "written")

    def __init__(self, child: Child, data: bytes, keep: bool = False) -> None:
        self._child = child
        # One thread may offer while another writes.
        self._lock = Lock()
        self._keep = keep
        self._parts: list[memoryview] = []
        #: How many bytes have been offered, and how many have been written.
        self.offered = self.written = 0
        #: The stream has no reader any more.
        self.broken = False
        self._last = b""
        # Whether the end of input has been typed at a terminal.
        self._typed = False
        if data:
            self.offer(data)
        elif not keep:
            self._conclude()

    @property
    def pending(self) -> bool:
        """Whether bytes are still to be written."""
        return bool(self._parts)

    @property
    def closed(self) -> bool:
        """Whether nothing more can be written."""
        return self.broken or self._child.stream(STDIN) < 0

    def offer(self, data: bytes) -> int:
        """Add `data`; it has been written once `written` has reached the number that is returned."""
        with self._lock:
            if data and not self.broken:
                typed = self._child.typed(data)
                self._last = typed[-1:]
                self._parts.append(memoryview(typed))
                self.offered += len(typed)
            return self.offered

    def finish(self) -> None:
        """Let end-of-file follow once all bytes are written. Idempotent."""
        with self._lock:
            self._keep = False
            if not self._parts:
                self._conclude()

    def _conclude(self) -> None:
        """All bytes are written: close the stream, or type the end of input at a terminal."""
        word = b"" if self._typed else self._child.end_of_input(self._last in (b"", b"\n", b"\r"))
        self._typed = True
        if word and self._child.stream(STDIN) >= 0:
            self._parts.append(memoryview(word))
        else:
            self._child.close_stream(STDIN)

    def next(self, most: int) -> memoryview:
        """The bytes to write next, at most `most`."""
        return self._parts[0][:most]

    def gone(self, count: int) -> None:
        """`count` bytes were written; the stream is concluded if those were the last and it is not to stay open."""
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
        """The stream has no reader any more: drop the rest and close it."""
        with self._lock:
            self.broken = True
            self._parts.clear()
            self._child.close_stream(STDIN)
