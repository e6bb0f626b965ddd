"""Reads /proc: the live processes and their parents. proc(5)

Once a process starts children it is held by descriptor: a program that calls chroot(2), or unmounts it, sees no less for that.
"""

from __future__ import annotations

import os
import sys
import time

from ..._core.proctext import Stat, parse_stat
from ..lock import Lock
from ..posix.descriptors import Held, above_standard
from ..posix.reserve import NONE_LEFT, opened

if sys.platform != "linux":
    raise ImportError("this room is for Linux")


#: Seconds that a process which we may not kill is waited for after the first attempt: it may end by itself.
REFUSED_PATIENCE = 1.0
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_held: Held | None = None
_lock = Lock()


def hold_proc() -> None:
    """Keep a descriptor of /proc for the life of the process, if it is mounted and shows us."""
    global _held
    with _lock:
        if (_held is None or not _held.is_ours()) and not is_blind():
            _held = Held(above_standard(opened(lambda: os.open("/proc", DIRECTORY))))


def at(name: str) -> tuple[str, int | None]:
    """A path for `name` in /proc, and the directory that it is relative to."""
    held = _held
    if held is None:
        return f"/proc/{name}", None
    if not held.is_ours():
        forget_proc()  # the program has closed it
        hold_proc()
        return at(name) if _held is not None else (f"/proc/{name}", None)
    return name, held.number


def forget_proc() -> None:
    """In a forked child, which may be in another pid namespace: the next look opens what is there."""
    global _held, _lock
    _lock = Lock()
    held, _held = _held, None
    if held is not None:
        held.close()


def open_proc(name: str) -> int:
    """A descriptor of a file in /proc."""
    path, directory = at(name)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)


def read_stat(pid: int) -> Stat | None:
    """/proc/PID/stat, or None when there is no such process (or /proc does not show it). OSError when no descriptor is left."""
    try:
        descriptor = open_proc(f"{pid}/stat")
    except OSError as error:
        if error.errno not in NONE_LEFT:
            return None
        # This must not be mistaken for a process that is gone.
        descriptor = opened(lambda: open_proc(f"{pid}/stat"))
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


def living(refused: dict[int, float]) -> dict[int, float]:
    """Those of `refused` that live, as far as /proc shows them."""
    found = {pid: read_stat(pid) for pid in refused}
    return {pid: refused[pid] for pid, stat in found.items() if (is_blind() if stat is None else not stat.gone)}


def noted(known: dict[int, float], refused: set[int]) -> dict[int, float]:
    """`known` and `refused` together, as far as they live: each with the moment (monotonic time) until which it is waited for."""
    known = living(known)
    moment = time.monotonic() + REFUSED_PATIENCE
    return {pid: known.get(pid, moment) for pid in refused | known.keys()}


def is_blind() -> bool:
    """Whether /proc does not show the processes of our pid namespace: it is not mounted, or it is another one's."""
    held = _held
    if held is not None and held.is_ours():
        return False  # else it would not have been held
    try:
        path, directory = at("self")
        return os.readlink(path, dir_fd=directory) != str(os.getpid())
    except OSError as error:
        if error.errno in NONE_LEFT:
            raise
        return True


def snapshot() -> dict[int, Stat]:
    """Every process that /proc shows; empty where it is not mounted."""
    found: dict[int, Stat] = {}
    try:
        names = opened(_names)
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


def _names() -> list[str]:
    path, directory = at(".")
    own = os.open(path, DIRECTORY, dir_fd=directory)  # whose offset no other thread moves
    try:
        return os.listdir(own)
    finally:
        os.close(own)


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
        path, directory = at(f"self/ns/{kind}")
        return os.stat(path, dir_fd=directory).st_ino
    except OSError:
        return 0
