"""Captures within a cap: api.md §8. Dropped data is still counted, and the pipe is read on regardless of what is kept."""

from __future__ import annotations

from collections import deque

from .lines import Lines
from .vt import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .encodings import DecoderFactory

DROP_OLDEST, DROP_NEWEST, ERROR = "drop_oldest", "drop_newest", "error"
# How far past its cap a stream in `error` mode may go before its writer is ended.
MOST_BYTES_OVER, MOST_LINES_OVER = 1 << 20, 1 << 16


class Cap:
    """How much of a stream is kept, and what happens to the rest. None: no such limit."""

    __slots__ = ("max_bytes", "max_lines", "mode")

    def __init__(self, max_bytes: int | None, max_lines: int | None, mode: str) -> None:
        self.max_bytes = max_bytes
        self.max_lines = max_lines
        self.mode = mode

    def exceeded(self, total_bytes: int, total_lines: int) -> bool:
        """Whether a stream in `error` mode has become too large."""
        return self.mode == ERROR and self._past(total_bytes, total_lines, 0, 0)

    def flooded(self, total_bytes: int, total_lines: int) -> bool:
        """Whether a stream in `error` mode has gone so far past its cap that its writer must be ended."""
        return self.mode == ERROR and self._past(total_bytes, total_lines, MOST_BYTES_OVER, MOST_LINES_OVER)

    def _past(self, total_bytes: int, total_lines: int, more_bytes: int, more_lines: int) -> bool:
        past_bytes = self.max_bytes is not None and total_bytes > self.max_bytes + more_bytes
        return past_bytes or (self.max_lines is not None and total_lines > self.max_lines + more_lines)


# A growing line that will be made plain may hold this many times its cap plus this many characters, because terminal commands
# will be removed from it; past that it counts as too long to be kept.
COMMANDS_PER_TEXT, MOST_COMMANDS = 16, 4096
#: With a cap in bytes only, at most `max_bytes` plus this many lines are kept.
MOST_EMPTY_LINES = 1 << 16
#: No cap.
WHOLE = Cap(None, None, DROP_OLDEST)


def size_of(line: str) -> int:
    """The size of a line's content in UTF-8 bytes."""
    return len(line) if line.isascii() else len(line.encode("utf-8", "surrogatepass"))


def longest_line(cap: Cap, clean: bool) -> int | None:
    """The most characters that a growing line may have and still be kept; None: any number."""
    if cap.max_bytes is None:
        return None
    return cap.max_bytes * COMMANDS_PER_TEXT + MOST_COMMANDS if clean else cap.max_bytes


class Kept:
    """The newest, or the earliest, whole lines within a cap."""

    __slots__ = ("_bytes", "_cap", "_full", "_sizes", "lines", "truncated")

    def __init__(self, cap: Cap) -> None:
        self._cap = cap
        self.lines: deque[Any] = deque()
        self._sizes: deque[int] = deque()
        self._bytes = 0
        self._full = False
        #: Something was dropped.
        self.truncated = False

    def put(self, item: Any, line: str | None) -> None:
        """Add `item`, made of `line`, and drop what exceeds the cap; a `line` of None was too long to be kept."""
        cap = self._cap
        size = -1 if line is None else size_of(line)
        if line is None or (cap.max_bytes is not None and size > cap.max_bytes) or 0 in (cap.max_lines, cap.max_bytes):
            self.truncated = True  # it can never be kept; its neighbours may be
            return
        if cap.mode == DROP_NEWEST and (self._full or self._over(size)):
            self._full = self.truncated = True
            return
        self.lines.append(item)
        self._sizes.append(size)
        self._bytes += size
        while self._over(0, 0):
            self.lines.popleft()
            self._bytes -= self._sizes.popleft()
            self.truncated = True

    def take(self) -> list[Any]:
        """Remove all kept items and return them."""
        lines = [*self.lines]
        self.lines.clear()
        self._sizes.clear()
        self._bytes = 0
        self._full = False
        return lines

    def _over(self, more: int, lines: int = 1) -> bool:
        cap = self._cap
        most = cap.max_lines
        if most is None and cap.max_bytes is not None:
            most = cap.max_bytes + MOST_EMPTY_LINES  # empty lines cost memory too
        too_many = most is not None and len(self.lines) + lines > most
        return too_many or (cap.max_bytes is not None and self._bytes + more > cap.max_bytes)


class CappedText:
    """Keeps as much of a stream's text as a cap allows."""

    full = False
    has_lines = True
    __slots__ = ("_cap", "_clean", "_kept", "_lines", "bytes_seen")

    def __init__(self, decoder: DecoderFactory, lone_cr: bool, cap: Cap, clean: bool = False) -> None:
        self._cap = cap
        self._clean = clean
        self._lines = Lines(decoder, lone_cr, longest_line(cap, clean))
        self._kept = Kept(cap)
        self.bytes_seen = 0

    @property
    def lines_seen(self) -> int:
        """Lines that are complete."""
        return self._lines.seen

    @property
    def truncated(self) -> bool:
        """Whether something was dropped in a mode that drops."""
        return self._kept.truncated

    @property
    def too_large(self) -> bool:
        """Whether the stream is an error: see `Cap.exceeded`."""
        return self._cap.exceeded(self.bytes_seen, self.lines_seen)

    @property
    def flooded(self) -> bool:
        """Whether the stream's writer must be ended: see `Cap.flooded`."""
        return self._cap.flooded(self.bytes_seen, self.lines_seen)

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.bytes_seen += len(data)
        self._take(self._lines.feed(data))

    def close(self) -> None:
        """The stream has ended."""
        self._take(self._lines.close())

    def value(self) -> str:
        """The kept text."""
        return "\n".join(self._kept.lines)

    def _take(self, lines: list[str | None]) -> None:
        if self._clean:
            lines = [None if line is None else plain(line) for line in lines]
        if self._cap.mode == ERROR:
            if not self.too_large:
                self._kept.lines.extend(line for line in lines if line is not None)
            return
        for line in lines:
            self._kept.put(line, line)


class CappedBytes:
    """Keeps the last, or the first, bytes of a stream within a cap. A limit in lines does not apply."""

    full = False
    has_lines = False
    __slots__ = ("_cap", "_kept", "bytes_seen", "lines_seen", "truncated")

    def __init__(self, cap: Cap) -> None:
        self._cap = cap
        self._kept = bytearray()
        self.bytes_seen = 0
        self.lines_seen = 0
        self.truncated = False

    @property
    def too_large(self) -> bool:
        """Whether the stream is an error: see `Cap.exceeded`."""
        return self._cap.exceeded(self.bytes_seen, 0)

    @property
    def flooded(self) -> bool:
        """Whether the stream's writer must be ended: see `Cap.flooded`."""
        return self._cap.flooded(self.bytes_seen, 0)

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.bytes_seen += len(data)
        self.lines_seen += data.count(b"\n")
        most = self._cap.max_bytes
        if most is None:
            self._kept += data
        elif self._cap.mode == DROP_OLDEST:
            self._kept += data
            self.truncated = self.truncated or len(self._kept) > most
            if len(self._kept) > most:
                del self._kept[: len(self._kept) - most]
        else:
            self._kept += data[: max(0, most - len(self._kept))]
            self.truncated = self.truncated or (self._cap.mode == DROP_NEWEST and self.bytes_seen > most)

    def close(self) -> None:
        """The stream has ended."""

    def value(self) -> bytes:
        """The kept bytes."""
        return bytes(self._kept)
