"""The liveness and identity of a process, through /proc."""

from __future__ import annotations

import os
import sys
from errno import ENOENT

from .procfs import at, open_proc, read_stat

MOST_PID = 2**31 - 1


class Identity:
    """The identity of one live process, read from /proc."""

    __slots__ = ("name", "pid", "ppid", "start")

    def __init__(self, pid: int, ppid: int, name: str, start: int) -> None:
        self.pid = pid
        self.ppid = ppid
        self.name = name
        self.start = start


if sys.platform != "linux":
    raise ImportError("this room is for Linux")


def identify(pid: int) -> Identity | None:
    """The live process `pid`; None when there is none, zombies included. OSError where /proc is not mounted."""
    if not 0 < pid <= MOST_PID:
        return None
    stat = read_stat(pid)
    if stat is None:
        if read_stat(os.getpid()) is None:
            raise OSError(ENOENT, "/proc is not mounted")
        return None
    # /proc/PID exists for a thread's id as well, but its stat then describes the thread, which is not a process.
    if stat.gone or not _is_process(pid):
        return None
    return Identity(pid, stat.ppid, _program_name(pid) or os.fsdecode(stat.name), stat.start)


def _is_process(pid: int) -> bool:
    try:
        with open(open_proc(f"{pid}/status"), "rb") as status:
            for line in status:
                if line.startswith(b"Tgid:"):
                    return int(line.split()[1]) == pid
    except OSError:
        pass
    return False


def _program_name(pid: int) -> str | None:
    """The base name of the executable, else None: /proc/PID/exe is readable for our own processes only."""
    try:
        path, directory = at(f"{pid}/exe")
        return os.path.basename(os.readlink(path, dir_fd=directory))
    except OSError:
        return None


def cpu_seconds(pid: int) -> float | None:
    """User and system time that the process has used."""
    stat = read_stat(pid)
    return None if stat is None else stat.cpu_ticks / os.sysconf("SC_CLK_TCK")


def peak_memory(pid: int) -> int | None:
    """Peak resident bytes (VmHWM), None once its memory is gone. proc_pid_status(5)"""
    try:
        with open(open_proc(f"{pid}/status"), "rb") as status:
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
