"""Descriptors with one owner: opened close-on-exec above the standard three, closed once."""

from __future__ import annotations

import os
import select
import sys
from errno import EIO

from ..._abi import linux
from ..errors import LaunchError
from ..lock import Lock

if sys.platform != "linux":
    raise ImportError("this room is for Linux")


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def never_waits(descriptor: int) -> int:
    """Set O_NONBLOCK on `descriptor`, by FIONBIO as Python does it, ioctl(2); returns the descriptor."""
    try:
        os.set_blocking(descriptor, False)
    except OSError as error:
        raise LaunchError.of("ioctl", error.errno or 0) from error
    return descriptor


def above_standard(descriptor: int) -> int:
    """`descriptor` itself if it is above 2, else a close-on-exec copy above 2 that replaces it.

    In a process that closed its standard streams, new descriptors get those numbers, and dup3 in the child would overwrite them.
    """
    if descriptor > 2:
        return descriptor
    import fcntl

    try:
        return fcntl.fcntl(descriptor, linux.F_DUPFD_CLOEXEC, 3)
    finally:
        os.close(descriptor)


def open_above(path: str | bytes, flags: int, mode: int = 0o777) -> int:
    """os.open, close-on-exec, above the standard descriptors."""
    return above_standard(os.open(path, flags | os.O_CLOEXEC, mode))


def pipe_above() -> tuple[int, int]:
    """os.pipe, close-on-exec, above the standard descriptors: (read end, write end)."""
    try:
        read, write = os.pipe()
    except OSError as error:
        raise LaunchError.of("pipe2", error.errno or 0) from error
    if read > 2 and write > 2:
        return read, write
    try:
        read = above_standard(read)
    except BaseException:
        os.close(write)
        raise
    try:
        write = above_standard(write)
    except BaseException:
        os.close(read)
        raise
    return read, write


class Held:
    """A descriptor that is kept for long, owned until `close`.

    A program may close descriptors that it does not know, closefrom(3), and open a file of its own under the number: `is_ours`
    asks for that, and `close` closes no other file.
    """

    __slots__ = ("_mark", "is_lost", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        found = os.fstat(number)
        self._mark: tuple[int, int] | None = (found.st_dev, found.st_ino)
        #: It was found closed, and not by us.
        self.is_lost = False

    def stat(self) -> os.stat_result | None:
        """What fstat(2) says of it; None if the number does not stand for that file any more: then it never does again."""
        try:
            found: os.stat_result | None = os.fstat(self.number)
        except OSError:
            found = None
        mark = self._mark  # after the look: another thread of ours forgets it before it closes
        if mark is None:
            return None
        if found is not None and (found.st_dev, found.st_ino) == mark:
            return found
        self._mark = None
        self.is_lost = True
        return None

    def is_ours(self) -> bool:
        """Whether the number still stands for the file that it stood for at first."""
        try:
            found = os.fstat(self.number)
        except OSError:
            return self.stat() is not None
        mark = self._mark  # as in `stat`; this one is asked several times in every start
        return (mark is not None and found.st_ino == mark[1] and found.st_dev == mark[0]) or self.stat() is not None

    def lose(self) -> None:
        """The program has closed it."""
        self._mark = None

    def close(self) -> None:
        """Close it, if it is still ours. Idempotent."""
        ours = self.is_ours()
        self._mark = None
        if ours:
            os.close(self.number)

    def __del__(self) -> None:
        if getattr(self, "_mark", None) is not None:
            self.close()


# A descriptor that is there as long as this process starts children; the null device where there is no guardian.
_witness: Held | None = None
_lost: dict[Held, None] = {}


def set_witness(held: Held | None) -> None:
    """Have `losses` look at this descriptor, or at none, before it is closed."""
    global _witness
    _witness = held


def losses() -> int:
    """How often the program has closed descriptors that it does not know: one that was ours before may be its own by now."""
    witness = _witness or _null
    if witness is not None and not witness.is_ours() and witness.is_lost:
        _lost[witness] = None
    return len(_lost)


def need_witness() -> None:
    """Have `losses` look at the null device if there is nothing else: called by each start."""
    if _witness is None:
        null_device()


def losses_so_far() -> int:
    """`losses` as of the last look, which every start begins with."""
    return len(_lost)


# Standard descriptors that we found closed and filled, so that none of our descriptors gets their numbers.
_filled: set[int] = set()


def fill_standard() -> None:
    """Occupy closed standard descriptors with the null device, close-on-exec: a child that inherits one finds it closed."""
    for number in (0, 1, 2):
        try:
            os.get_inheritable(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            if opened != number:
                os.close(opened)
                continue
            _filled.add(number)


def is_filled(number: int) -> bool:
    """Whether standard descriptor `number` was closed before we filled it."""
    return number in _filled


_null: Held | None = None
_lock = Lock()


def null_device() -> int:
    """A descriptor of the null device, opened once and kept for the life of the process."""
    global _null
    null = _null
    if null is None or not null.is_ours():
        with _lock:
            null = _null
            if null is None or not null.is_ours():
                if null is not None and null.is_lost:
                    _lost[null] = None
                _null = null = Held(open_above(os.devnull, os.O_RDWR))
    return null.number


def forget_null() -> None:
    """In a forked child: a daemon closes descriptors that it does not know, and the number may soon be another file's."""
    global _null, _witness, _lock
    _lock = Lock()
    _witness = None
    kept, _null = _null, None
    if kept is not None:
        kept.close()


class Descriptors:
    """Descriptors that are closed together, by `close` or at the end of the `with` block; `release` takes one out."""

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: list[int] = []

    def own(self, descriptor: int) -> int:
        """Take `descriptor` over; returns it."""
        self._open.append(descriptor)
        return descriptor

    def release(self, descriptor: int) -> int:
        """Stop owning `descriptor`; returns it."""
        self._open.remove(descriptor)
        return descriptor

    def close(self) -> None:
        """Close all that is owned. Idempotent."""
        while self._open:
            os.close(self._open.pop())

    def __enter__(self) -> Descriptors:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def new_epoll() -> Any:
    """An epoll(7) instance, also where gevent or eventlet have taken `select.epoll` away: we never block in it."""
    made: Any = getattr(select, "epoll", None)
    if made is None and "gevent.monkey" in sys.modules:
        made = sys.modules["gevent.monkey"].get_original("select", "epoll")
    elif made is None and "eventlet.patcher" in sys.modules:
        made = sys.modules["eventlet.patcher"].original("select").epoll
    return made()


class Epoll:
    """An epoll(7) instance that is kept for long: `close`, and its collection, close no file that the program has under its number."""

    __slots__ = ("_held", "it")

    def __init__(self) -> None:
        self.it = new_epoll()
        self._held = Held(self.it.fileno())

    def fileno(self) -> int:
        """Its descriptor."""
        return self._held.number

    def close(self) -> None:
        """Close it, if it is still ours. Idempotent."""
        if self._held.is_ours():
            self.it.close()
        elif self._held.is_lost:
            _never_closed.append(self.it)
        self._held.lose()

    def __del__(self) -> None:
        if hasattr(self, "_held"):
            self.close()


# Whose finalizer would close a file of the program's.
_never_closed: list[Any] = []


# The default capacity of a pipe: pipe(7).
READ_SIZE = 1 << 16


def read_from(descriptor: int, size: int) -> bytes:
    """The bytes at hand, at most `size`; the end of a terminal, which is an error (EIO, pty(7)), is b"" like that of a pipe."""
    try:
        return os.read(descriptor, size)
    except OSError as error:
        if error.errno != EIO:
            raise
        return b""


def read_all(descriptor: int) -> bytes:
    """All bytes up to the end of a pipe or a terminal that has no writer any more."""
    parts: list[bytes] = []
    while True:
        part = read_from(descriptor, READ_SIZE)
        if not part:
            return b"".join(parts)
        parts.append(part)
