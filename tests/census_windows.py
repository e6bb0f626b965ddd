"""Who and what is there, on Windows: every process below this one, this process's handles and threads."""

import ctypes
import gc
import os
import time

from processkit._abi import windows
from processkit._os.windows.handles import Handles
from processkit._os.windows.identity import program_of
from processkit._os.windows.job import Job

MECHANISMS = ("job_object",)

# Wine starts its desktop (explorer.exe) for the first who asks for a window or a console, and it stays: not in our job.
ctypes.WinDLL("user32").GetDesktopWindow()
# All that this process starts lives in it; it is closed by our end, and takes what is left with it.
_everybody = Job()
_everybody.assign(windows.GetCurrentProcess())


def why_not(mechanism):
    """Why this machine cannot use `mechanism`; None: it can."""
    return None if mechanism == "job_object" else "this is Windows"


def use(mechanism):
    """There is nothing to choose."""


def current():
    return None


def processes(token):
    """Live processes below this one."""
    del token
    found = {pid: program_of(pid) for pid in _everybody.members() if pid != os.getpid()}
    # Whoever is killed while it makes a process may leave one under Wine that never begins, has no program, and cannot be ended.
    return {pid: program for pid, program in found.items() if program is not None}


def open_handles():
    """How many handles this process has."""
    import programs  # which imports this module

    return programs.open_handles()


class Before:
    """What was there before a test, and that nothing more is there after it."""

    def __init__(self):
        gc.collect()
        self.processes = set(processes(""))
        self.handles = open_handles()

    def check(self):
        deadline = time.monotonic() + 10
        while set(processes("")) - self.processes or open_handles() > self.handles + SLACK:
            assert time.monotonic() < deadline, (
                f"left: {processes('')} beside {self.processes}, handles {self.handles} -> {open_handles()}"
            )
            time.sleep(0.01)


def nothing_is_left():
    """After all tests: a job has no directory, and processes are looked at after each test."""


# The interpreter, and the loader, keep some of what they open: only a leak grows without end, which test_leaks.py looks at.
SLACK = 24


def kill(pid):
    """End a process from outside."""
    with Handles() as owned:
        windows.TerminateProcess(owned.own(windows.OpenProcess(windows.PROCESS_TERMINATE, False, pid)), 1)


def settle():
    """Return when what is kept for life has come to rest: there is no guardian."""
