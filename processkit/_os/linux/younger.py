"""Finds the processes that are younger than a given one from the numbers given since its birth, instead of a walk over /proc.

Every descendant of a process has a number that was given after its own. The kernel gives numbers in ascending order and begins
again at the lowest when it has reached the highest (alloc_pid in kernel/pid.c). So the descendants of an ended process lie between
its number and the one that was given last.

Why nobody is missed, when the processes in between are read in ascending order and none has been born when that is done:
1. The first descendant was born before the process ended, and so before all reading: it is seen, alive or gone.
2. A descendant that is seen alive answers the question.
3. One that is gone had all its children before it ended, and so before they are read: they are seen too.
"""

from __future__ import annotations

import os
import sys
import time

from .procfs import read_stat

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._core.proctext import Stat

#: More numbers than this are not read one by one: a walk over /proc is as fast then.
MOST = 64
#: More births in a second than any machine has: each takes the kernel's tasklist_lock for writing (copy_process in kernel/fork.c).
MOST_BIRTHS = 1_000_000
#: The numbers begin here again: RESERVED_PIDS in kernel/pid.c.
LOWEST = 300


def younger(pid: int, since: float) -> dict[int, Stat] | None:
    """The processes whose number was given after `pid`, a child of ours born after `since` (monotonic time).

    None where that cannot be told, or where there are too many. A process that somebody gave a number of his choice is not found:
    clone3(2), set_tid, needs CAP_CHECKPOINT_RESTORE.
    """
    last = _last_given()
    if last is None or not pid <= last <= pid + MOST or _may_have_begun_again(since):
        return None
    found: dict[int, Stat] = {}
    read = pid
    while read < last:
        for number in range(read + 1, last + 1):
            stat = read_stat(number)
            if stat is not None:
                found[number] = stat
        read = last
        last = _last_given()
        if last is None or not read <= last <= pid + MOST:
            return None
    return found


def _may_have_begun_again(since: float) -> bool:
    """Whether so much time has passed that the numbers may have reached the highest one."""
    text = _content("/proc/sys/kernel/pid_max")
    return text is None or (time.monotonic() - since) * MOST_BIRTHS >= int(text) - LOWEST


def _last_given() -> int | None:
    """The number that was given last in our pid namespace, the last field of /proc/loadavg (proc_loadavg(5)).

    None where the file is not the kernel's own of our namespace: lxcfs mounts one of its own over it, a /proc of another namespace
    shows other numbers. (gVisor writes 0, which is below every number.)
    """
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return None
        here = os.lstat("/proc/self").st_dev
    except OSError:
        return None
    text = _content("/proc/loadavg", here)
    return None if text is None else int(text.rsplit(None, 1)[1])


def _content(path: str, device: int | None = None) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if device not in (None, os.fstat(descriptor).st_dev) else os.read(descriptor, 256)
    except OSError:
        return None
    finally:
        os.close(descriptor)
