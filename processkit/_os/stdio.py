"""The three standard streams of a child: what it gets, and our ends of its pipes."""

from __future__ import annotations

import os
import stat
from errno import EISDIR

from .descriptors import Descriptors, open_above, pipe_above
from .errors import StreamError
from .port import INHERIT, NULL, PIPE, File, Plan

KEEP = -1


class Streams:
    """The child's ends (closed as soon as the spawn returned or raised) and ours (handed to the child object)."""

    __slots__ = ("_ours", "_theirs", "child", "ours")

    def __init__(self, plan: Plan) -> None:
        self._theirs = Descriptors()
        self._ours = Descriptors()
        #: What becomes descriptor 0, 1, 2 in the child; KEEP: what ours is.
        self.child = [KEEP, KEEP, KEEP]
        #: Our ends, -1 where the stream is no pipe.
        self.ours = [-1, -1, -1]
        try:
            for number, kind in enumerate((plan.stdin, plan.stdout, plan.stderr)):
                self._open(number, kind)
        except BaseException:
            self.close()
            raise

    def _open(self, number: int, kind: str | File) -> None:
        if kind == PIPE:
            read, write = pipe_above()
            mine, theirs = (write, read) if number == 0 else (read, write)
            self.ours[number] = self._ours.own(mine)
            self.child[number] = self._theirs.own(theirs)
            os.set_blocking(mine, False)
        elif kind == NULL:
            self.child[number] = self._theirs.own(open_above(os.devnull, os.O_RDWR))
        elif kind != INHERIT:
            assert isinstance(kind, File)
            self.child[number] = self._theirs.own(_open_file(kind, number))

    def close_theirs(self) -> None:
        """After the spawn, whatever came of it: the child has its copies."""
        self._theirs.close()

    def release_ours(self) -> list[int]:
        """Hand our ends to their new owner."""
        return [descriptor if descriptor < 0 else self._ours.release(descriptor) for descriptor in self.ours]

    def close(self) -> None:
        """Close both sides. Idempotent."""
        self._theirs.close()
        self._ours.close()


def _open_file(file: File, number: int) -> int:
    try:
        if number != 0:
            return open_above(file.path, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if file.append else os.O_TRUNC), 0o666)
        # Without O_NONBLOCK a fifo that nobody writes to would hold up the launch for ever. open(2)
        descriptor = open_above(file.path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
            os.set_blocking(descriptor, True)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor
    except OSError as error:
        opened = StreamError(error.errno, f"open: {error.strerror}")
        opened.path = file.path
        raise opened from error
