"""The liveness, identity (time of creation), parent and program of a process on Windows."""

from __future__ import annotations

import ntpath
import sys

from ..._abi import windows
from ..._abi.foreign import reference, size_of, wide_buffer, windows_error
from .handles import Handles, close, is_signalled

if sys.platform != "win32":
    raise ImportError("this room is for Windows")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MOST_PID = 2**32 - 1
LONGEST_PATH = 32768


class Identity:
    """The identity of one live process, as the system tells it."""

    __slots__ = ("name", "pid", "ppid", "start")

    def __init__(self, pid: int, ppid: int | None, name: str | None, start: int) -> None:
        self.pid = pid
        self.ppid = ppid
        self.name = name
        self.start = start


def identify(pid: int) -> Identity | None:
    """The live process `pid`; None when there is none. PermissionError where we may not even query it."""
    if not 0 < pid <= MOST_PID:
        return None
    with Handles() as owned:
        try:
            process = owned.own(open_process(windows.SYNCHRONIZE, pid))
        except OSError as error:
            if error.winerror == windows.ERROR_INVALID_PARAMETER:
                return None
            raise
        if is_signalled(process):
            return None
        name = _program_name(process)
        return Identity(pid, parent_of(pid), name or None, times(process)[0])


def open_process(access: int, pid: int) -> int:
    """A handle of the process `pid`, by which it may be queried as well. OSError, ERROR_INVALID_PARAMETER for a number that none has.

    OpenProcess leaves the lowest two bits of the number out of account: it would open a neighbour's process.
    """
    process = int(windows.OpenProcess(access | windows.PROCESS_QUERY_LIMITED_INFORMATION, False, pid))
    try:
        found = int(windows.GetProcessId(process))
    except OSError:
        found = 0
    if found != pid:
        close(process)
        raise windows_error("OpenProcess", windows.ERROR_INVALID_PARAMETER)
    return process


def times(process: int) -> tuple[int, int]:
    """(creation, CPU time used), in units of 100 ns. GetProcessTimes"""
    created, ended, kernel, user = (windows.FILETIME() for _ in range(4))
    windows.GetProcessTimes(process, reference(created), reference(ended), reference(kernel), reference(user))
    return _ticks(created), _ticks(kernel) + _ticks(user)


def _ticks(time: Any) -> int:
    return int(time.dwHighDateTime) << 32 | int(time.dwLowDateTime)


def _program_name(process: int) -> str | None:
    path = _program_path(process)
    return None if path is None else ntpath.basename(path)


def _program_path(process: int) -> str | None:
    name = wide_buffer(LONGEST_PATH)
    length = windows.DWORD(LONGEST_PATH)
    try:
        windows.QueryFullProcessImageNameW(process, 0, reference(name), reference(length))
    except OSError as error:
        # Wine's answer for a process that has no image yet; its handle is valid all the same.
        return "" if error.winerror == windows.ERROR_INVALID_HANDLE else None
    return str(name.value)


_console_host = ""


def console_host() -> str:
    """The path of the program that hosts consoles, in lower case."""
    global _console_host
    if not _console_host:
        place = wide_buffer(LONGEST_PATH)
        windows.GetSystemDirectoryW(reference(place), LONGEST_PATH)
        _console_host = ntpath.join(str(place.value), "conhost.exe").lower()
    return _console_host


def program_of(pid: int) -> str | None:
    """The path of the program that `pid` runs; "" for a process that is being born or gone; None where it is not visible."""
    try:
        process = open_process(0, pid)
    except OSError as error:
        return "" if error.winerror == windows.ERROR_INVALID_PARAMETER else None
    with Handles() as owned:
        return _program_path(owned.own(process))


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it has not ended, as far as it is visible: True where it is not."""
    try:
        process = open_process(windows.SYNCHRONIZE, pid)
    except OSError as error:
        return error.winerror != windows.ERROR_INVALID_PARAMETER
    with Handles() as owned:
        return not is_signalled(owned.own(process))


def parent_of(pid: int) -> int | None:
    """The parent's pid, from a snapshot of all processes: only an undocumented call tells it for a single process."""
    entry = windows.PROCESSENTRY32W()
    entry.dwSize = size_of(entry)
    with Handles() as owned:
        snapshot = owned.own(windows.CreateToolhelp32Snapshot(windows.TH32CS_SNAPPROCESS, 0))
        more = windows.Process32FirstW(snapshot, reference(entry))
        while more:
            if entry.th32ProcessID == pid:
                return int(entry.th32ParentProcessID)
            more = windows.Process32NextW(snapshot, reference(entry))
    return None


def _opened(pid: int) -> int | None:
    try:
        return open_process(windows.PROCESS_VM_READ, pid)
    except OSError:
        return None


def cpu_seconds(pid: int) -> float | None:
    """User and system time that the process has used."""
    process = _opened(pid)
    if process is None:
        return None
    with Handles() as owned:
        return times(owned.own(process))[1] / 1e7


def peak_memory(pid: int) -> int | None:
    """Peak bytes in its working set. K32GetProcessMemoryInfo"""
    process = _opened(pid)
    if process is None:
        return None
    with Handles() as owned:
        counters = windows.PROCESS_MEMORY_COUNTERS()
        counters.cb = size_of(counters)
        try:
            windows.K32GetProcessMemoryInfo(owned.own(process), reference(counters), counters.cb)
        except OSError:
            return None
        return int(counters.PeakWorkingSetSize)
