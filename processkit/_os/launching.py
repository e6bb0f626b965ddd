"""What every way of running a script shares: the error, the place of the result, the numbers of this machine."""

from __future__ import annotations

import os
import sys

from .._abi import linux, syscalls
from .errors import LaunchError

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

EPERM, ENOENT, ESRCH, E2BIG, EBADF, EAGAIN, EINVAL, ENOSYS = 1, 2, 3, 7, 9, 11, 22, 38
CHILD_FAILED = 127

__all__ = ["Architecture", "LaunchError", "Launched", "reap", "resettable_signals"]

# How the kernel or its policy (an old release, a seccomp profile) says "never"; anything else means "ask again".
REFUSALS = (ENOSYS, EPERM, EINVAL, E2BIG)


#: Status of a child that somebody else reaped (SIGCHLD ignored, a stray waitpid(-1)): it ended, nobody knows how.
STATUS_UNKNOWN = -1
_LOOK = os.WEXITED | os.WNOWAIT | os.WNOHANG


def peek(pid: int) -> int | None:
    """The wait status of an ended child, which stays a zombie and so keeps its pid; None while it runs. waitid(2), WNOWAIT"""
    try:
        info = os.waitid(os.P_PID, pid, _LOOK)
    except ChildProcessError:
        return STATUS_UNKNOWN
    if info is None:
        return None
    if info.si_code == os.CLD_EXITED:
        return info.si_status << 8
    return info.si_status | (0x80 if info.si_code == os.CLD_DUMPED else 0)


def reap(pid: int) -> int:
    """Take an ended child's zombie away, for its wait status; one that still hangs in the kernel is left to init."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return STATUS_UNKNOWN  # SIGCHLD is ignored in this process and the kernel reaped it: wait(2)
    return status if found else STATUS_UNKNOWN


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
        #: What becomes the child's standard streams, and the cgroup it is born in, instead of what its script says: script.py.
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


class Architecture:
    """System call numbers of this process's kind of machine."""

    __slots__ = ("name", "numbers")

    def __init__(self) -> None:
        machine = os.uname().machine
        name = syscalls.architecture(machine, sys.maxsize > 2**32)
        if name is None:
            raise NotImplementedError(f"no system call numbers are known for a {machine} machine")
        self.name = name
        self.numbers = syscalls.numbers(name)


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


def raw_syscall(architecture: Architecture, name: str, *arguments: int) -> int:
    """A system call by name; OSError under that name."""
    try:
        result: int = linux.syscall(architecture.numbers[name], *arguments, *(0,) * (6 - len(arguments)))
    except OSError as error:
        raise LaunchError.of(name, error.errno or 0) from None
    return result


def open_pidfd(architecture: Architecture, pid: int) -> int:
    """A close-on-exec pidfd of our unreaped child `pid`, or -1 where the kernel has none: pidfd_open(2), Linux 5.3."""
    try:
        return raw_syscall(architecture, "pidfd_open", pid, 0)
    except OSError as error:
        if error.errno in REFUSALS:
            return -1
        raise
