"""A bounded queue between a stream's pump and its iterator: lines, or items made of them, in order.

Lines are put and taken in chunks, one per read; there is no work per line. A channel that is `full` is not fed until it has
been emptied, so it holds at most its bound plus the lines of one read.
"""

from __future__ import annotations

from itertools import count
from operator import itemgetter

from .caps import DROP_NEWEST, DROP_OLDEST, ERROR, Kept
from .capture import BLOCK, BUFFER
from .vt import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import Any, Callable

    from .caps import Cap
    from .lines import Lines

    Lock = AbstractContextManager[Any]
    Maker = Callable[[Iterator[str]], Iterator[Any]]

#: A channel of long lines is full at this many bytes, even if it holds fewer lines than its bound.
MOST_BYTES = 1 << 20
#: Least bound in lines of a channel whose caller only waits for the end; an iterator may still take these.
LEFT_BEHIND = 1 << 16
MOST_RECENT = 5


class _NoLock:
    """The lock of a channel that only one thread uses."""

    __slots__ = ()

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


NO_LOCK: Lock = _NoLock()


class Channel:
    """A queue of chunks of items. `on_overflow` says what happens past `most` lines: `block`, `drop_newest` or `drop_oldest`."""

    __slots__ = (
        "_chunks",
        "_count",
        "_current",
        "_handed",
        "_lock",
        "_most",
        "_on_overflow",
        "_open",
        "_size",
        "dropped",
        "is_cut",
        "lifted",
        "skipped",
    )

    def __init__(self, streams: int = 1, most: int = BUFFER, on_overflow: str = BLOCK, lock: Lock = NO_LOCK) -> None:
        # (lines, maker of their items, lines dropped before them). Items are made when taken: most live shorter than a chunk.
        self._chunks: list[tuple[list[str], Maker | None, int]] = []
        # One thread may put while another takes.
        self._lock = lock
        self._count = 0
        # About how many bytes were read for this channel since it was last empty.
        self._size = 0
        self._most = most
        self._on_overflow = on_overflow
        self._open = streams
        # The lines handed out last, and the items made of them: iterators, so that the next taker goes on where the last stopped.
        self._current: Iterator[str] = iter(())
        self._handed: Iterator[Any] = self._current
        self.dropped = 0
        #: How many lines had been dropped before those that were handed out last.
        self.skipped = 0
        #: The channel was ended before its streams were.
        self.is_cut = False
        #: How many callers want the streams read on regardless of the bound.
        self.lifted = 0

    @property
    def full(self) -> bool:
        """Whether its streams must not be read for now."""
        if self.lifted or self._on_overflow != BLOCK:
            return False
        return self._count >= self._most or self._size >= MOST_BYTES

    @property
    def ended(self) -> bool:
        """Whether no more lines will be added."""
        return self._open <= 0

    @property
    def waiting(self) -> bool:
        """Whether there are lines that have not been handed out."""
        return bool(self._chunks)

    def put(self, lines: list[str], size: int, make: Maker | None = None) -> None:
        """Add the lines of one read of `size` bytes."""
        with self._lock:
            self._size += size
            if self._on_overflow == BLOCK or self.lifted:
                self._append(lines, make)
            else:
                self._put_bounded(lines, make)

    def _put_bounded(self, lines: list[str], make: Maker | None) -> None:
        over = max(0, self._count + len(lines) - self._most) if self._on_overflow == DROP_NEWEST else 0
        self._append(lines[: len(lines) - over], make)
        self.dropped += over
        while self._count > self._most:
            oldest = self._chunks[0][0]
            gone = min(len(oldest), self._count - self._most)
            self.dropped += gone
            self._count -= gone
            del oldest[:gone]
            if not oldest:
                del self._chunks[0]

    def _append(self, lines: list[str], make: Maker | None) -> None:
        if lines:
            self._chunks.append((lines, make, self.dropped))
            self._count += len(lines)

    def close(self) -> None:
        """One of its streams has ended."""
        self._open -= 1

    def cut(self) -> None:
        """End the channel now; nothing more is added, whatever is read."""
        self._open = 0
        self.is_cut = True

    def take(self) -> Iterator[Any] | None:
        """An iterator over the items at hand; None when there are none. It is the same one until it is used up."""
        with self._lock:
            if self._current.__length_hint__() > 0:  # type: ignore[attr-defined]
                return self._handed
            if not self._chunks:
                return None
            lines, make, skipped = self._chunks.pop(0)
            self.skipped = self.dropped if self._on_overflow == DROP_OLDEST else skipped
            self._count -= len(lines)
            if not self._chunks:
                self._size = 0
            self._current = iter(lines)
            self._handed = self._current if make is None else make(self._current)
            return self._handed

    def rest(self) -> list[str]:
        """All lines that have not been taken; they stay."""
        with self._lock:
            return [*self._looked_at(), *(line for chunk, _, _ in self._chunks for line in chunk)]

    def _looked_at(self) -> list[str]:
        """The untaken rest of the lines that were handed out last; it stays."""
        lines = [*self._current]
        self._current = self._handed = iter(lines)
        return [*lines]

    def keep_all(self) -> None:
        """From now on nothing is dropped, and the channel never blocks the pump."""
        self.lifted += 1

    def let_go(self) -> None:
        """From now on a full channel drops new lines instead of blocking the pump, so no caller has to iterate."""
        if self._on_overflow == BLOCK:
            self._on_overflow = DROP_NEWEST
            self._most = max(self._most, LEFT_BEHIND)


class CappedChannel(Channel):
    """A channel with a cap on each stream's lines that have not been taken yet: api.md §8."""

    __slots__ = ("_cap", "_kept", "_number")

    def __init__(self, cap: Cap, streams: int = 1, lock: Lock = NO_LOCK) -> None:
        super().__init__(streams, on_overflow=DROP_OLDEST, lock=lock)
        self._cap = cap
        # Keyed by the maker of the items, of which each stream has its own. Items are numbered to keep their order.
        self._kept: dict[Maker | None, Kept] = {}
        self._number = count()

    @property
    def waiting(self) -> bool:
        """Whether there are items that have not been handed out."""
        return any(kept.lines for kept in self._kept.values())

    def put(self, lines: list[str], size: int, make: Maker | None = None) -> None:  # noqa: ARG002
        """Add the lines of one read."""
        with self._lock:
            kept = self._kept.get(make)
            if kept is None:
                kept = self._kept[make] = Kept(self._cap)
            before = len(kept.lines)
            for numbered, line in zip(zip(self._number, lines if make is None else make(iter(lines))), lines):
                kept.put(numbered, line)
            self.dropped += before + len(lines) - len(kept.lines)

    def take(self) -> Iterator[Any] | None:
        """An iterator over the items at hand; None when there are none."""
        with self._lock:
            if self._current.__length_hint__() > 0:  # type: ignore[attr-defined]
                return self._current
            items = self._in_order([numbered for kept in self._kept.values() for numbered in kept.take()])
            if not items:
                return None
            self.skipped = self.dropped
            self._current = iter(items)
            return self._current

    def rest(self) -> list[str]:
        """All items that have not been taken; they stay."""
        with self._lock:
            return [*self._looked_at(), *self._in_order([numbered for kept in self._kept.values() for numbered in kept.lines])]

    def _in_order(self, numbered: list[tuple[int, Any]]) -> list[Any]:
        return [item for _, item in sorted(numbered, key=itemgetter(0))]

    def let_go(self) -> None:
        """Nothing to do: this channel never blocks the pump."""


class LineSink:
    """A stream on its way into a channel: decoded, split into lines, made plain if asked, and turned into items."""

    has_lines = True
    __slots__ = ("_cap", "_clean", "_lines", "_make", "bytes_seen", "channel", "closed", "recent")

    def __init__(
        self,
        lines: Lines,
        channel: Channel,
        cap: Cap | None = None,
        clean: bool = False,
        make: Maker | None = None,
    ) -> None:
        self._lines = lines
        self.channel = channel
        # Here only a cap in `error` mode matters; in the other modes the channel drops.
        self._cap = cap if cap is not None and cap.mode == ERROR else None
        self._clean = clean
        self._make = make
        self.bytes_seen = 0
        #: The last lines that were put into the channel.
        self.recent: list[str] = []
        #: The stream has ended.
        self.closed = False

    @property
    def lines_seen(self) -> int:
        """Lines that are complete."""
        return self._lines.seen

    @property
    def tail(self) -> str:
        """The line that has not ended yet."""
        return self._lines.tail

    @property
    def truncated(self) -> bool:
        """Whether lines were dropped."""
        return self.channel.dropped > 0

    @property
    def full(self) -> bool:
        """Whether the stream must not be read for now."""
        return self.channel.full

    @property
    def too_large(self) -> bool:
        """Whether the stream is an error: see `Cap.exceeded`."""
        cap = self._cap
        return cap is not None and cap.exceeded(self.bytes_seen, self._lines.seen)

    @property
    def flooded(self) -> bool:
        """Whether the stream's writer must be ended: see `Cap.flooded`."""
        cap = self._cap
        return cap is not None and cap.flooded(self.bytes_seen, self._lines.seen)

    def put_under(self, cap: Cap) -> None:
        """Apply `cap` to the lines that have not been taken and to those still to come."""
        if not isinstance(self.channel, CappedChannel):
            lines = self.channel.rest()
            self.channel = CappedChannel(cap, lock=self.channel._lock)
            self.channel.put(lines, 0)
        self._cap = cap if cap.mode == ERROR else None

    def forgive(self) -> None:
        """From now on the stream's size is no error. Takes no lock, so it may be called from any thread and from a finalizer."""
        self._cap = None

    def feed(self, data: bytes) -> None:
        """Take in the next bytes."""
        cap = self._cap
        if cap is not None:
            self._feed_within(cap, data)
            return
        self.bytes_seen += len(data)
        lines = self._lines.feed(data)
        if lines:
            self._put(lines, len(data))

    def _feed_within(self, cap: Cap, data: bytes) -> None:
        """Pass on the lines that end within the cap, however the bytes were divided into reads."""
        room = len(data) if cap.max_bytes is None else max(0, cap.max_bytes - self.bytes_seen)
        for part in (data[:room], data[room:]):
            before = self._lines.seen
            self.bytes_seen += len(part)
            lines = self._lines.feed(part)
            if part and not cap.exceeded(self.bytes_seen, 0):
                self._put(lines if cap.max_lines is None else lines[: max(0, cap.max_lines - before)], len(part))
        if self.too_large:
            self.channel.cut()

    def _put(self, lines: list[str | None], size: int) -> None:
        if self._clean or self._lines.bounded:
            kept = [plain(line) if self._clean else line for line in lines if line is not None]
            self.channel.dropped += len(lines) - len(kept)
        else:
            kept = lines  # type: ignore[assignment]
        self.recent = (self.recent + kept[-MOST_RECENT:])[-MOST_RECENT:]
        self.channel.put(kept, size, self._make)

    def close(self) -> None:
        """The stream has ended."""
        lines = self._lines.close()
        if lines and not self.too_large:
            self._put(lines, 0)
        self.closed = True
        self.channel.close()

    def value(self) -> str:
        """The lines that have not been taken, as text."""
        return "\n".join(self.channel.rest())
