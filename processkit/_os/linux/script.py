"""A child's life before execve, written down as records of system calls, and what every way of running them shares.

The runners (native.py, forked.py) execute a script, launch.py chooses one; what each call is for is decided in birth.py. The words of a record
are laid out as the machine code wants them: see machine_code.py.
"""

from __future__ import annotations

import os
import sys
from array import array

from ..._abi.foreign import address
from ..._abi.machine_code import HIGHEST, LOWEST, WORDS

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


class Script:
    """The calls in their order, and the memory they point into, which lives as long as the script."""

    __slots__ = ("close_from", "into_cgroup", "kept", "memory", "names", "numbers", "orphan", "registration", "sources", "words")

    def __init__(self, numbers: dict[str, int]) -> None:
        self.numbers = numbers
        #: The records, one behind the other, and the name of each one's call.
        self.words = array("q")
        self.names: list[str] = []
        self.memory: list[Any] = []
        #: Descriptor of the cgroup that the clone itself joins; -1: the child stays where its parent is.
        self.into_cgroup = -1
        #: Two ints whose second the kernel sets to the child's pid before it runs (CLONE_CHILD_SETTID).
        self.registration: array[int] | None = None
        #: The program is to be nobody's child: no wait(2) of the caller's sees it, and init reaps it.
        self.orphan = False
        #: Index of the record that closes every descriptor but the standard three, for runners that need one more.
        self.close_from = -1
        #: Where in `words` the descriptors are that become the standard streams; -1: a stream is not set. A launch of its own
        #: streams and its own cgroup puts those there, so that one script does for many.
        self.sources = [-1, -1, -1]
        #: What a launcher keeps of a launch of this script, for the next one.
        self.kept: list[Any] = []

    def call(self, name: str, *arguments: int, low: int = 0, high: int = ANY) -> None:
        """Append a call that must return `low`..`high`, or the child ends unexecuted and reports it."""
        self.names.append(name)
        self.words.extend((self.numbers[name], *arguments, *_PADDING[len(arguments)], NOT_RUN, low, high, 0))

    def extend(self, more: Script) -> None:
        """Append the calls of another script."""
        self.names += more.names
        self.words.extend(more.words)

    def with_streams(self, streams: list[int]) -> Script:
        """The same with other streams. It shares everything else with this one, and neither changes any more."""
        copy = Script.__new__(Script)
        for name in self.__slots__:
            setattr(copy, name, getattr(self, name))
        copy.words = words = self.words[:]
        for index, descriptor in zip(self.sources, streams):
            if index >= 0:
                words[index] = descriptor
        return copy

    def keep(self, memory: Any) -> int:
        """Hold on to an array, or to memory of ctypes; returns its address for a call's argument."""
        self.memory.append(memory)
        return memory.buffer_info()[0] if isinstance(memory, array) else address(memory)

    def text(self, text: bytes) -> int:
        """The address of a NUL-terminated copy."""
        return self.keep(array("b", text + b"\0"))

    def strings(self, strings: Strings) -> int:
        """The address of an argument list or an environment."""
        self.memory.append(strings)
        return strings.address

    def accepts(self, index: int, result: int) -> bool:
        """Whether the call at `index` may have returned `result`."""
        start = index * WORDS
        return self.words[start + LOWEST] <= result <= self.words[start + HIGHEST]


class Launched:
    """One launch: what is to be done beside it, and where it stores what it made, so that an exception at any moment finds it."""

    __slots__ = ("cgroup", "closing", "events", "linger", "pid", "pidfd", "streams")

    def __init__(
        self,
        closing: list[int] | None = None,
        linger: tuple[int, int] | None = None,
        streams: list[int] | None = None,
        cgroup: int = -1,
    ) -> None:
        #: What becomes the child's standard streams, and the cgroup it is born in, instead of what its script says.
        self.streams = streams
        self.cgroup = cgroup
        #: Descriptors of ours that only the child needs: the launch may close and remove them.
        self.closing: list[int] = [] if closing is None else closing
        #: The launch may wait some milliseconds for the end of a child that lives no longer, and then poll these two.
        self.linger = linger
        #: -1: there is none.
        self.pid = -1
        self.pidfd = -1
        #: The child was seen to end; then there was this to be read from the two: poll(2).
        self.events: tuple[int, int] | None = None

    def wait(self) -> None:
        """Wait for the end of a child that has been killed, without reaping it, and close its pidfd."""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
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
    """Signals whose action a child without CLONE_CLEAR_SIGHAND sets to default: all but those that are ignored.

    The kernel says which are ignored (proc_pid_status(5), SigIgn); where /proc is not mounted it is Python's own view.
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
