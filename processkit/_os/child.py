"""A child on Linux: noticed by its pidfd, waited for without reaping, reaped once."""

from __future__ import annotations

import _thread
import os
import sys

from .descriptors import pipe_above
from .launching import Launched
from .procfs import start_time
from .waiting import any_ended

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .port import Tree
    from .stdio import Streams

#: Status of a child that somebody else reaped (SIGCHLD ignored, a stray waitpid(-1)): it ended, nobody knows how.
STATUS_UNKNOWN = -1


class LinuxChild:
    """One process of ours. It owns the pidfd and our ends of the pipes until `reap`."""

    __slots__ = ("_lock", "_reaped", "_start", "_status", "_streams", "ended", "pid", "tree")

    def __init__(self, launched: Launched, streams: Streams, tree: Tree) -> None:
        self.pid = launched.pid
        self.tree = tree
        self._streams = [-1, -1, -1]
        self._lock = _thread.allocate_lock()
        self._status: int | None = None
        self._reaped = False
        self._start: int | None = None
        # Handed over last: until here a failure leaves both to whoever holds `launched`.
        self.ended = launched.pidfd if launched.pidfd >= 0 else _watch(launched.pid)
        self._streams = streams.release_ours()
        launched.pid = launched.pidfd = -1

    def start(self) -> int | None:
        """Its identity token, read once while the pid is certainly its own."""
        if self._start is None and not self._reaped:
            self._start = start_time(self.pid)
        return self._start

    def status(self) -> int | None:
        """waitpid's status once the process has ended, without reaping it; None before."""
        if self._status is None:
            with self._lock:
                if self._status is None and not self._reaped:
                    self._status = _peek(self.pid)
        return self._status

    def wait_killed(self, patience: float = 10.0) -> None:
        """Wait until the process that was just killed has ended; one that hangs in the kernel is given up on."""
        any_ended([self.ended], patience)

    def send(self, number: int) -> bool:
        """Signal this one process; False when it has been reaped. The lock keeps the pid its own meanwhile."""
        with self._lock:
            if self._reaped:
                return False
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return False
            return True

    def reap(self) -> None:
        """Give the pid back and close the descriptors that are still open. Idempotent."""
        with self._lock:
            if self._reaped:
                return
            self._reaped = True
            self.tree.release(self.pid)
            self.close_streams()
            os.close(self.ended)
            self.ended = -1

    def stream(self, number: int) -> int:
        """Our end of stream 0, 1 or 2; -1 where it is no pipe, or closed."""
        return self._streams[number]

    def close_stream(self, number: int) -> None:
        """Close our end; a child that reads finds end-of-file, one that writes EPIPE. Idempotent."""
        descriptor, self._streams[number] = self._streams[number], -1
        if descriptor >= 0:
            os.close(descriptor)

    def close_streams(self) -> None:
        """Close all our ends. Idempotent."""
        for number in (0, 1, 2):
            self.close_stream(number)


def _peek(pid: int) -> int | None:
    """The wait status of an ended child, which stays a zombie and so keeps its pid. waitid(2), WNOWAIT"""
    try:
        info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:
        return STATUS_UNKNOWN
    if info is None:
        return None
    if info.si_code == os.CLD_EXITED:
        return info.si_status << 8
    return info.si_status | (0x80 if info.si_code == os.CLD_DUMPED else 0)


def _watch(pid: int) -> int:
    """Where the kernel has no pidfd (before 5.3): a descriptor that a waiting thread of ours makes readable."""
    read, write = pipe_above()

    def wait() -> None:
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass
        finally:
            os.close(write)

    try:
        _thread.start_new_thread(wait, ())
    except BaseException:
        os.close(read)
        os.close(write)
        raise
    return read
