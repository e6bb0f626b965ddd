"""Reads the status of an ended child without reaping it, and reaps it. waitid(2), waitpid(2)"""

from __future__ import annotations

import os
import sys

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

#: Status of a child that was not reaped by us (SIGCHLD ignored, a stray waitpid(-1)): it ended, and it is unknown how.
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
    """Reap an ended child; returns its wait status. A child that still hangs in the kernel is left to init."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return STATUS_UNKNOWN  # SIGCHLD is ignored in this process and the kernel reaped it: wait(2)
    return status if found else STATUS_UNKNOWN
