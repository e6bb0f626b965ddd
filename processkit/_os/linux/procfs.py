"""Reads /proc: the live processes and their parents. proc(5)"""

from __future__ import annotations

import os
import sys

from ..._core.proctext import Stat, parse_stat
from ..posix.reserve import NONE_LEFT, opened

if sys.platform != "linux":
    raise ImportError("this room is for Linux")


def read_stat(pid: int) -> Stat | None:
    """/proc/PID/stat, or None when there is no such process (or /proc does not show it). OSError when no descriptor is left."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in NONE_LEFT:
            return None
        # This must not be mistaken for a process that is gone.
        descriptor = opened(lambda: os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC))
    try:
        return parse_stat(os.read(descriptor, 1024))
    except (OSError, ValueError, IndexError):
        return None  # ESRCH: the process went between the open and the read
    finally:
        os.close(descriptor)


def start_time(pid: int) -> int | None:
    """A process's identity token beside its pid: clock ticks from boot to its start; None when there is no such process."""
    stat = read_stat(pid)
    return None if stat is None else stat.start


def is_same(pid: int, start: int | None) -> bool:
    """Whether `pid` is still the process that started at `start`, zombies included; False if that is unknown."""
    return start is not None and start_time(pid) == start


def is_gone(pid: int, start: int) -> bool:
    """Whether the process that started at `start` has certainly ended and been reaped; False if that is unknown."""
    found = start_time(pid)
    return not exists(pid) if found is None else found != start


def exists(pid: int) -> bool:
    """Whether any process has this pid, a zombie included, whether or not /proc shows it. kill(2)"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it has, and is another user's
    return True


def is_blind() -> bool:
    """Whether /proc does not show the processes of our pid namespace: it is not mounted, or it is another one's."""
    try:
        return os.readlink("/proc/self") != str(os.getpid())
    except OSError as error:
        if error.errno in NONE_LEFT:
            raise
        return True


def snapshot() -> dict[int, Stat]:
    """Every process that /proc shows; empty where it is not mounted."""
    found: dict[int, Stat] = {}
    try:
        names = opened(lambda: os.listdir("/proc"))
    except OSError as error:
        if error.errno in NONE_LEFT:
            raise
        return found
    for name in names:
        if name.isdigit():
            stat = read_stat(int(name))
            if stat is not None:
                found[stat.pid] = stat
    return found


def namespaces() -> int:
    """A number that identifies our pid and time namespaces; 0 where /proc is not mounted.

    Our pids mean nothing outside the one, and start times, which /proc shows as its reader's clock has them, outside the other.
    """
    pid = _namespace("pid")
    return pid and pid << 32 | time_namespace()


def time_namespace() -> int:
    """An inode number that identifies our time namespace; 0 where there are none (before Linux 5.6). time_namespaces(7)"""
    return _namespace("time")


def _namespace(kind: str) -> int:
    try:
        return os.stat(f"/proc/self/ns/{kind}").st_ino
    except OSError:
        return 0
