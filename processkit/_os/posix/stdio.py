"""The three standard streams of a child: the child's ends, and our ends of its pipes."""

from __future__ import annotations

import os
import stat
import sys
from errno import EISDIR

from ..errors import StreamError
from ..terms import INHERIT, NULL, PIPE, Data, File, Handed, Plan
from .descriptors import above_standard, never_waits, null_device, open_above, pipe_above

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

KEEP = -1


class Streams:
    """The child's ends, closed as soon as the spawn has returned or raised, and ours, which the child object takes over."""

    __slots__ = ("child", "end_of_input", "ours", "theirs")

    def __init__(self, plan: Plan) -> None:
        #: Those of the child's ends that this object must close.
        self.theirs: list[int] = []
        #: The sources of descriptors 0, 1 and 2 in the child; KEEP: the same as ours.
        self.child = [KEEP, KEEP, KEEP]
        #: Our ends, -1 where the stream is no pipe.
        self.ours = [-1, -1, -1]
        #: The bytes that end the input of a terminal when typed.
        self.end_of_input = b""
        try:
            if plan.pty is not None:
                from .terminal import END_OF_INPUT, open_terminal

                self.end_of_input = END_OF_INPUT
                theirs, *self.ours[:2] = open_terminal(*plan.pty)
                self.theirs.append(theirs)
                self.child = [theirs] * 3
                if isinstance(plan.stdin, Handed):
                    self.child[0] = plan.stdin.handle  # a pipeline stage reads the output of the stage before it
                return
            for number, kind in enumerate((plan.stdin, plan.stdout, plan.stderr)):
                if kind == PIPE:
                    self._pipe(number)
                elif kind != INHERIT:
                    self.child[number] = null_device() if kind == NULL else self._open(number, kind)
        except BaseException:
            self.close()
            raise

    def _pipe(self, number: int) -> None:
        read, write = pipe_above()
        mine, theirs = (read, write) if number else (write, read)
        self.ours[number] = mine
        self.theirs.append(theirs)
        self.child[number] = theirs
        if number == 0:
            never_waits(mine)  # a write must not wait for a reader; a read happens only after a poll

    def _open(self, number: int, kind: str | File | Data | Handed) -> int:
        assert not isinstance(kind, str)
        if isinstance(kind, Handed):
            return kind.handle
        theirs = _memory_file(kind.content) if isinstance(kind, Data) else _open_file(kind, number)
        self.theirs.append(theirs)
        return theirs

    def close_theirs(self) -> None:
        """Close the child's ends after the spawn, also a failed one: the child has its copies. Idempotent."""
        while self.theirs:
            os.close(self.theirs.pop())

    def __del__(self) -> None:
        if getattr(self, "ours", None) is not None and (self.ours or self.theirs):
            self.close()

    def close(self) -> None:
        """Close both sides, ours unless the child object owns them now. Idempotent."""
        if self.theirs:
            self.close_theirs()
        ours = self.ours
        for number, descriptor in enumerate(ours):
            if descriptor >= 0:
                ours[number] = -1
                os.close(descriptor)
        self.ours = []


def pipe_between() -> tuple[int, int]:
    """(read end, write end) of a pipe between two children; both are the caller's to close."""
    return pipe_above()


def close_end(descriptor: int) -> None:
    """Close our copy of one end of a pipe."""
    os.close(descriptor)


def _memory_file(content: bytes) -> int:
    """A file without a name that holds `content`, read from its beginning. memfd_create(2)"""
    descriptor = above_standard(os.memfd_create("processkit-stdin", os.MFD_CLOEXEC))
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _open_file(file: File, number: int) -> int:
    try:
        # Without O_NONBLOCK a fifo without a writer would block the launch for ever; one without a reader is ENXIO. open(2)
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if file.append else os.O_TRUNC) if number else os.O_RDONLY
        descriptor = open_above(file.path, flags | os.O_NONBLOCK, 0o666)
        try:
            if not number and stat.S_ISDIR(os.fstat(descriptor).st_mode):
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
