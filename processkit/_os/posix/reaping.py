"""Waits for the end of a child, reads its status without reaping it, and reaps it. waitid(2), waitpid(2)"""

from __future__ import annotations

import os
import select
import sys
import time

from ..._abi import linux, syscalls
from ..._abi.foreign import Cells

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

#: Status of a child that was not reaped by us (SIGCHLD ignored, a stray waitpid(-1)): it ended, and it is unknown how.
STATUS_UNKNOWN = -1
# 1. CPython checks for signals for the last time. 2. A signal arrives; its C handler only sets a flag. 3. poll(2) blocks, and
# nothing interrupts it any more. A signal that the kernel gave to another thread does not interrupt it either: signal(7). So no
# wait on a user's thread is longer than this many seconds, after which the Python handler runs.
SLICE = 1.0


def any_ended(descriptors: list[int], seconds: float | None) -> None:
    """Block until one of the children has ended, each given by its `ended` descriptor, for at most `seconds`."""
    deadline = None if seconds is None else time.monotonic() + seconds
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    while True:
        left = SLICE if deadline is None else min(SLICE, max(0.0, deadline - time.monotonic()))
        if poller.poll(-int(-left * 1000 // 1)) or (deadline is not None and time.monotonic() >= deadline):
            return


def look(pid: int, flags: int = 0) -> tuple[int, int] | None:
    """Wait for the end of a child and leave its zombie: si_code and si_status; None if it runs, with WNOHANG. waitid(2), WNOWAIT"""
    flags |= linux.WEXITED | linux.WNOWAIT
    if hasattr(os, "waitid"):
        found = os.waitid(linux.P_PID, pid, flags)
        return None if found is None else (found.si_code, found.si_status)
    return _look_by_system_call(pid, flags)  # PyPy


def _look_by_system_call(pid: int, flags: int) -> tuple[int, int] | None:
    is_wide = sys.maxsize > 2**32
    number = syscalls.numbers(syscalls.architecture(os.uname().machine, is_wide) or "")["waitid"]
    info = Cells(bytes(linux.SI_MAX_SIZE), "i")
    while True:
        try:
            linux.syscall(number, linux.P_PID, pid, info.address, flags, 0, 0)
        except InterruptedError:
            continue  # a signal handler of ours has run; it may have raised
        status_at = linux.SIGINFO_STATUS_AT_64 if is_wide else linux.SIGINFO_STATUS_AT_32
        return (info[linux.SIGINFO_CODE_AT], info[status_at]) if info[0] else None


def peek(pid: int) -> int | None:
    """The wait status of an ended child, which stays a zombie and so keeps its pid; None while it runs. waitid(2), WNOWAIT"""
    try:
        found = look(pid, linux.WNOHANG)
    except ChildProcessError:
        return STATUS_UNKNOWN
    if found is None:
        return None
    code, status = found
    if code == linux.CLD_EXITED:
        return status << 8
    return status | (0x80 if code == linux.CLD_DUMPED else 0)


def reap(pid: int) -> int:
    """Reap an ended child; returns its wait status. A child that still hangs in the kernel is left to init."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return STATUS_UNKNOWN  # SIGCHLD is ignored in this process and the kernel reaped it: wait(2)
    return status if found else STATUS_UNKNOWN


def status_by_pidfd(pidfd: int) -> int:
    """The wait status of a process that somebody else has reaped, told by its pidfd; STATUS_UNKNOWN where the kernel cannot.

    PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15: include/uapi/linux/pidfd.h
    """
    try:
        import fcntl
    except ImportError:
        return STATUS_UNKNOWN  # in a finalizer, at the end of the interpreter

    info = linux.pidfd_info(mask=linux.PIDFD_INFO_EXIT)
    try:
        fcntl.ioctl(pidfd, linux.PIDFD_GET_INFO, info)
    except OSError:
        return STATUS_UNKNOWN
    return int(info.exit_code) if info.mask & linux.PIDFD_INFO_EXIT else STATUS_UNKNOWN
