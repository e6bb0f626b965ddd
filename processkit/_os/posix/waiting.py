"""One wait for all events of a run on Linux: of its pipes, of its child's end, of its tree.

`Waiter` blocks in poll(2); loops.py registers the same descriptors with a running event loop. Both report the same
events to the same callback: (what, bytes).
"""

from __future__ import annotations

import os
import select
import sys
from errno import EIO, EPIPE
from functools import partial

from ..lock import Lock
from ..terms import ENDED, STDERR, STDIN, STDOUT, TREE
from .descriptors import READ_SIZE, Held, never_waits, pipe_above, read_from
from .guardian import is_missing, mend, watched
from .reaping import SLICE

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from ..._core.capture import Fillable
    from ..feed import Feed
    from ..port import Child

WAKE = 5
GUARD = 6
# With twice as much, every read takes fresh pages from the kernel, which costs more than it saves: measured with 400 000 lines.
FLOOD_SIZE = 1 << 17
# The size of a pipe whose output goes right where it stays; the most that a user without privilege may have: pipe-max-size, pipe(7).
POUR_SIZE = 1 << 20
MOST_WRITTEN = 1 << 20
F_SETPIPE_SZ = 1031


def write_ready(child: Child, feed: Feed) -> None:
    """Write as much as the pipe takes now."""
    while feed.pending:
        try:
            written = os.write(child.stream(STDIN), feed.next(MOST_WRITTEN))
        except BlockingIOError:
            return
        except OSError as error:
            # EPIPE of a pipe, EIO of a terminal: no process has its other end.
            if error.errno not in (EPIPE, EIO):
                raise
            feed.end()
            return
        feed.gone(written)


def _enlarge(descriptor: int, sizes: tuple[int, ...]) -> None:
    """Give a pipe the first of these sizes that it may have.

    Only pipes that were full get another one, because all pipes of a user share a budget (pipe(7), pipe-user-pages-soft); if that
    is spent, the pipe stays as it is.
    """
    import fcntl

    for size in sizes:
        try:
            fcntl.fcntl(descriptor, F_SETPIPE_SZ, size)
        except OSError:
            continue
        return


def _read_into(descriptor: int, room: memoryview) -> int:
    """Read what is there into `room`; returns how much, 0 at the end of a pipe or a terminal."""
    try:
        return os.readv(descriptor, [room])
    except OSError as error:
        if error.errno != EIO:
            raise
        return 0


class Bell:
    """A pipe by which any thread wakes the polling thread. It owns both ends until `close`."""

    __slots__ = ("_lock", "_read", "_write")

    def __init__(self, read: int, write: int) -> None:
        self._lock = Lock()
        self._read = Held(read)
        self._write = Held(write)

    def ring(self) -> None:
        """Wake the polling thread; does nothing once the bell is closed."""
        with self._lock:
            if self._write.is_ours():
                try:
                    os.write(self._write.number, b"x")
                except BlockingIOError:
                    pass  # the pipe is full: the bell has been rung often enough

    def silence(self) -> None:
        """Empty the pipe, so that the bell rings no more; does nothing once it is closed."""
        if self._read.is_ours():
            os.read(self._read.number, READ_SIZE)

    def close(self) -> None:
        """Close both ends. Idempotent."""
        with self._lock:
            self._read.close()
            self._write.close()


class Watch:
    """The watched descriptors of one child and the handling of their events, for poll(2) or epoll(7): the masks are the same."""

    __slots__ = ("_child", "_direct", "_feed", "_flooding", "_what")

    def __init__(self, child: Child, feed: Feed | None) -> None:
        self._child = child
        self._feed = feed
        self._what: dict[int, int] = {}
        # Pipes that were full once: they have a fast writer.
        self._flooding: set[int] = set()
        self._direct: Callable[[int], Fillable | None] | None = None

    def pour_into(self, direct: Callable[[int], Fillable | None]) -> None:
        """Let the output of fast writers go right into what `direct` returns for its stream, without a report; None: report it."""
        if hasattr(os, "readv"):  # PyPy has none
            self._direct = direct

    def _register(self, descriptor: int, mask: int) -> None:
        raise NotImplementedError

    def _unregister(self, descriptor: int) -> None:
        raise NotImplementedError

    def _watch(self, descriptor: int, what: int, mask: int = select.POLLIN) -> None:
        if descriptor >= 0:
            self._register(descriptor, mask)
            self._what[descriptor] = what

    def _watch_all(self) -> None:
        """Watch the child's end, its output, and its input if there are bytes to write."""
        for what, descriptor in (
            (STDOUT, self._child.stream(STDOUT)),
            (STDERR, self._child.stream(STDERR)),
            (ENDED, self._child.ended),
        ):
            self._watch(descriptor, what)
        if self._feed is not None:
            self.feed(self._feed)

    def watch_tree(self) -> bool:
        """From now on report TREE when the tree may have become empty; False where the mechanism cannot tell."""
        descriptor = self._child.tree.changed()
        if descriptor >= 0 and descriptor not in self._what:
            self._watch(descriptor, TREE)
        return descriptor >= 0

    def unwatch(self, descriptor: int) -> None:
        """Stop watching a descriptor; called before it is closed."""
        if self._what.pop(descriptor, None) is not None:
            self._unregister(descriptor)

    def pause(self, what: int) -> None:
        """Stop reading a stream for now."""
        self.unwatch(self._child.stream(what))

    def resume(self, what: int) -> None:
        """Resume reading a stream."""
        self._watch(self._child.stream(what), what)

    def read_now(self, descriptor: int) -> bytes | None:
        """The bytes in the pipe, b"" at its end; None when it is empty at this moment."""
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return read_from(descriptor, READ_SIZE) if poller.poll(0) else None

    def feed(self, feed: Feed) -> None:
        """Watch stdin if the feed has bytes to write."""
        self._feed = feed
        descriptor = self._child.stream(STDIN)
        if feed.pending and descriptor not in self._what:
            self._watch(descriptor, STDIN, select.POLLOUT)

    def _act(self, descriptor: int, what: int, events: int, report: Callable[[int, bytes], None]) -> None:
        """Handle `events` of a descriptor, and report them."""
        if what == STDIN:
            assert self._feed is not None
            self.unwatch(descriptor)
            write_ready(self._child, self._feed)
            self.feed(self._feed)
        elif what == ENDED:
            self.unwatch(descriptor)
            report(ENDED, b"")
        elif what == TREE:
            report(TREE, b"")
        else:
            # A hang-up without input is the end of an empty pipe: poll(2).
            data = b"" if events == select.POLLHUP else self._take(descriptor, what)
            if data == b"":
                self.unwatch(descriptor)
            if data is not None:
                report(what, data)

    def _take(self, descriptor: int, what: int) -> bytes | None:
        """The bytes in a pipe that polls as readable, b"" at its end, None if they have gone where they stay.

        We are its only reader, so this does not block.
        """
        if descriptor not in self._flooding:
            data = read_from(descriptor, READ_SIZE)
            if len(data) == READ_SIZE:
                self._flooding.add(descriptor)
                pours = self._direct is not None and self._direct(what) is not None
                _enlarge(descriptor, (POUR_SIZE, FLOOD_SIZE) if pours else (FLOOD_SIZE,))
            return data
        sink = None if self._direct is None else self._direct(what)
        if sink is None:
            return read_from(descriptor, FLOOD_SIZE)
        return None if sink.fill(partial(_read_into, descriptor)) else b""


class Waiter(Watch):
    """Blocks until something happens to one child."""

    __slots__ = ("_bell", "_guardian", "_poller")

    def __init__(self, child: Child, feed: Feed | None) -> None:
        super().__init__(child, feed)
        self._bell: Bell | None = None
        self._poller = select.poll()
        self._watch_all()
        self._watch_guardian()

    def _register(self, descriptor: int, mask: int) -> None:
        self._poller.register(descriptor, mask)

    def _unregister(self, descriptor: int) -> None:
        self._poller.unregister(descriptor)

    def _watch_guardian(self) -> None:
        guard, self._guardian = watched()
        if guard not in self._what:
            self._watch(guard, GUARD)

    def waker(self) -> Callable[[], None]:
        """A function that has `wait` return soon, from any thread, also after `close`."""
        read, write = pipe_above()
        never_waits(write)
        self._bell = Bell(read, write)
        self._watch(read, WAKE)
        return self._bell.ring

    def wait(self, seconds: float | None, report: Callable[[int, bytes], None]) -> None:
        """Block for at most `seconds`, and never so long that signals go unhandled; report the events."""
        left = SLICE if seconds is None else min(seconds, SLICE)
        # poll(2) counts whole milliseconds: rounded up, because the last one would otherwise be spent spinning.
        happened = self._poller.poll(max(0, -int(-left * 1000 // 1)))
        if not happened and is_missing():
            mend(None)
            self._watch_guardian()
        for descriptor, events in happened:
            what = self._what.get(descriptor)
            if what == WAKE:
                assert self._bell is not None
                self._bell.silence()
            elif what == GUARD:
                self.unwatch(descriptor)
                mend(self._guardian)
                self._watch_guardian()
            elif what is not None:
                self._act(descriptor, what, events, report)

    def close(self) -> None:
        """Close the bell; poll(2) keeps no state, so nothing else stays registered. Idempotent."""
        if self._bell is not None:
            self._bell.close()
