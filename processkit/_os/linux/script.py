"""A child's steps before execve, as records of system calls, and the parts that all ways of running them share.

The runners (native.py, forked.py) execute a script; launch.py chooses one of them. birth.py decides what each call is for. The
words of a record have the layout of the machine code: see machine_code.py.
"""

from __future__ import annotations

import os
import sys

from ..._abi.foreign import Cells, address
from ..._abi.machine_code import HIGHEST, LOWEST, WORDS
from ..posix.reaping import look

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..posix.environ import Strings

CHILD_FAILED = 127


ANY = (1 << 62) - 1
NOT_RUN = 1 << 62
_PADDING = tuple((0,) * (6 - count) for count in range(7))


def registration(word: bytes = bytes(4)) -> Cells:
    """Two ints: a word, and the place into which the kernel writes a child's pid; -1 until then."""
    return Cells(word + (-1).to_bytes(4, sys.byteorder, signed=True), "i")


class Script:
    """The calls in order, and the memory that they point into, which lives as long as the script."""

    __slots__ = ("close_from", "into_cgroup", "kept", "memory", "names", "numbers", "orphan", "registration", "sources", "words")

    def __init__(self, numbers: dict[str, int]) -> None:
        self.numbers = numbers
        #: The records, one after the other, and the name of each record's call.
        self.words: list[int] = []
        self.names: list[str] = []
        self.memory: list[Any] = []
        #: Descriptor of the cgroup in which the clone places the child; -1: the child stays where its parent is.
        self.into_cgroup = -1
        #: Two ints; the kernel sets the second to the child's pid before the child runs (CLONE_CHILD_SETTID).
        self.registration: Cells | None = None
        #: The program becomes an orphan: no wait(2) of the caller returns it, and init reaps it.
        self.orphan = False
        #: Index of the record that closes every descriptor except the standard three, for runners that need one more.
        self.close_from = -1
        #: Where in `words` the descriptors for the standard streams are; -1: that stream is not set. A launch with streams and a
        #: cgroup of its own puts them there, so that one script serves many launches.
        self.sources = [-1, -1, -1]
        #: State that a launcher keeps from one launch of this script for the next one.
        self.kept: dict[Any, Any] = {}

    def call(self, name: str, *arguments: int, low: int = 0, high: int = ANY) -> None:
        """Append a call that must return `low`..`high`; otherwise the child reports it and ends without execve."""
        self.names.append(name)
        self.words.extend((self.numbers[name], *arguments, *_PADDING[len(arguments)], NOT_RUN, low, high, 0))

    def extend(self, more: Script) -> None:
        """Append the calls of another script."""
        self.names += more.names
        self.words.extend(more.words)

    def with_streams(self, streams: list[int]) -> Script:
        """The same script with other streams. It shares everything else with this one, and neither may be changed any more."""
        copy = Script.__new__(Script)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.words = words = self.words[:]
        for index, descriptor in zip(self.sources, streams):
            if index >= 0:
                words[index] = descriptor
        return copy

    def keep(self, memory: Any) -> int:
        """Keep cells, or a ctypes object, alive; returns its address for a call's argument."""
        self.memory.append(memory)
        return memory.address if isinstance(memory, Cells) else address(memory)

    def text(self, text: bytes) -> int:
        """The address of a NUL-terminated copy."""
        return self.keep(Cells(text + b"\0"))

    def strings(self, strings: Strings) -> int:
        """The address of an argument list or an environment."""
        self.memory.append(strings)
        return strings.address

    def accepts(self, index: int, result: int) -> bool:
        """Whether the call at `index` may have returned `result`."""
        start = index * WORDS
        return self.words[start + LOWEST] <= result <= self.words[start + HIGHEST]


class Launched:
    """One launch: its side tasks, and the place for the child that it makes, so that an exception at any moment finds it."""

    __slots__ = ("cgroup", "closing", "events", "linger", "pid", "pidfd", "streams")

    def __init__(
        self,
        closing: list[int] | None = None,
        linger: tuple[int, int] | None = None,
        streams: list[int] | None = None,
        cgroup: int = -1,
    ) -> None:
        #: The child's standard streams, and the cgroup it is born in, which replace those in its script.
        self.streams = streams
        self.cgroup = cgroup
        #: Descriptors of ours that only the child needs: the launch may close them and remove them from the list.
        self.closing: list[int] = [] if closing is None else closing
        #: The launch may wait some milliseconds for the end of a short-lived child, and then poll these two.
        self.linger = linger
        #: The child's pid and pidfd; -1: there is none.
        self.pid = -1
        self.pidfd = -1
        #: The poll(2) events of the two `linger` descriptors after the child's end, if the launch saw that end.
        self.events: tuple[int, int] | None = None

    def wait(self) -> None:
        """Wait for the end of a child that has been killed, without reaping it, and close its pidfd."""
        try:
            look(self.pid)
        except ChildProcessError:
            pass
        pidfd, self.pidfd = self.pidfd, -1
        if pidfd >= 0:
            os.close(pidfd)

    def discard(self) -> None:
        """Reap a child that has ended and close its pidfd."""
        pid, self.pid = self.pid, -1
        pidfd, self.pidfd = self.pidfd, -1
        try:
            if pid > 0:
                os.waitpid(pid, 0)
        except ChildProcessError:
            pass
        finally:
            if pidfd >= 0:
                os.close(pidfd)


def resettable_signals() -> list[int]:
    """Signals whose action a child without CLONE_CLEAR_SIGHAND sets to default: all except the ignored ones.

    The kernel tells which are ignored (proc_pid_status(5), SigIgn); where /proc is not mounted, Python's own view is used.
    """
    ignored = 0
    try:
        with open("/proc/self/status", "rb") as status:
            for line in status:
                if line.startswith(b"SigIgn:"):
                    ignored = int(line[7:], 16)
    except OSError:
        import signal

        for number in signal.valid_signals():
            if signal.getsignal(number) is signal.SIG_IGN:
                ignored |= 1 << (number - 1)
    return [number for number in range(1, 65) if not ignored >> (number - 1) & 1]
