"""A Job Object: a tree of processes that dies with its last handle, and the completion port it reports to.

Closing its handle kills every job here, and the system closes the handle however we die. No job allows a breakaway.
"""

from __future__ import annotations

import os
import sys
import time

from ..._abi import windows
from ..._abi.foreign import ALL_BITS, address, bytes_at, last_error, memory, reference, size_of, windows_error
from .handles import SLICE, Handles, close, milliseconds
from .identity import console_host, is_running, open_process, parent_of, program_of

if sys.platform != "win32":
    raise ImportError("this room is for Windows")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: The exit code of a terminated job: 128 + SIGKILL, as shells report it. A member that ended so after our kill was killed by us.
KILLED = 137
#: Completion key of a job's messages; streams use their numbers.
JOB = 8
KILL_PATIENCE = 10.0
FIRST_LOOK, LAST_LOOK = 0.001, 0.02
MOST_PASSES = 200
#: JOBOBJECT_CPU_RATE_CONTROL_INFORMATION counts hundredths of a percent of all processors.
FULL_RATE = 10000


class Port:
    """An I/O completion port. It owns its handle until `close`."""

    __slots__ = ("_waited_out", "handle")

    def __init__(self) -> None:
        # Finished transfers whose completion has not been taken yet, by address: kept so that no other gets that address.
        self._waited_out: dict[int, object] = {}
        self.handle: int = windows.CreateIoCompletionPort(ALL_BITS, None, 0, 0)

    def watch(self, handle: int, key: int) -> None:
        """Have completions on `handle` reported with `key`, for the life of the handle: a file has one port."""
        windows.CreateIoCompletionPort(handle, self.handle, key, 0)

    def take(self, seconds: float) -> tuple[int, int, int, int] | None:
        """(key, bytes or message, address of the OVERLAPPED or pid, error) of the next report; None after `seconds`."""
        count, key, where = windows.DWORD(), windows.ULONG_PTR(), windows.HANDLE()
        while True:
            found = self._take(count, key, where, seconds)
            if found is None or self._waited_out.pop(found[2], None) is None:
                return found

    def was_waited_out(self, where: int, transfer: object) -> None:
        """The transfer whose OVERLAPPED lies at `where` is over; `take` drops its completion, which is still to come."""
        self._waited_out[where] = transfer

    def _take(self, count: Any, key: Any, where: Any, seconds: float) -> tuple[int, int, int, int] | None:
        done = windows.GetQueuedCompletionStatus(
            self.handle, reference(count), reference(key), reference(where), milliseconds(seconds)
        )
        code = 0 if done else last_error()
        if done or where.value:
            return int(key.value), int(count.value), where.value or 0, code
        if code == windows.WAIT_TIMEOUT:
            return None
        raise windows_error("GetQueuedCompletionStatus", code)

    def wake(self) -> None:
        """Make a waiting `take` return with key 0."""
        try:
            windows.PostQueuedCompletionStatus(self.handle, 0, 0, None)
        except OSError:
            pass  # the port is closed, so no thread waits at it

    def close(self) -> None:
        """Close the handle. Idempotent."""
        handle, self.handle = self.handle, 0
        if handle:
            close(handle)


class LimitNotTaken(Exception):
    """The job did not take a limit: it was set, and read back with another value."""


class Job:
    """A Tree that is a job with its port. It owns both until `close`."""

    __slots__ = ("_fate", "_graceful", "handle", "killed", "port")

    def __init__(self, *, dies_with_us: bool = True) -> None:
        self.killed = False
        # The limit flags that every job has, and JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE unless its members outlive us.
        self._fate = 0
        # Pids of the leaders of console groups, which CTRL_BREAK reaches.
        self._graceful: set[int] = set()
        self.port = Port()
        self.handle = 0
        try:
            self.handle = windows.CreateJobObjectW(None, None)
            self.die_with_us(dies_with_us)
            link = windows.JOBOBJECT_ASSOCIATE_COMPLETION_PORT(CompletionKey=JOB, CompletionPort=self.port.handle)
            self._set(windows.JobObjectAssociateCompletionPortInformation, link)
        except BaseException:
            self.close()
            raise

    def die_with_us(self, on: bool) -> None:
        """Set whether closing the handle kills the members."""
        # A member that crashes ends at once: a dialogue that nobody sees would keep it, and its caller, for ever.
        fate = windows.JOB_OBJECT_LIMIT_DIE_ON_UNHANDLED_EXCEPTION
        if on:
            fate |= windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE
        limits = self._limits()
        limits.BasicLimitInformation.LimitFlags = limits.BasicLimitInformation.LimitFlags & ~self._fate | fate
        self._fate = fate
        self._set(windows.JobObjectExtendedLimitInformation, limits)

    def limit(self, max_memory: int | None, max_processes: int | None, cpu_share: float | None) -> None:
        """Set these limits and remove the others; `cpu_share` is a share of all processors. LimitNotTaken: the first refused."""
        limits = windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION()
        basic = limits.BasicLimitInformation
        basic.LimitFlags = self._fate
        if max_memory is not None:
            basic.LimitFlags |= windows.JOB_OBJECT_LIMIT_JOB_MEMORY
            limits.JobMemoryLimit = max_memory
        if max_processes is not None:
            basic.LimitFlags |= windows.JOB_OBJECT_LIMIT_ACTIVE_PROCESS
            basic.ActiveProcessLimit = max_processes
        self._set(windows.JobObjectExtendedLimitInformation, limits)
        taken = self._limits()
        if max_memory is not None and taken.JobMemoryLimit != max_memory:
            raise LimitNotTaken("max_memory")
        if max_processes is not None and taken.BasicLimitInformation.ActiveProcessLimit != max_processes:
            raise LimitNotTaken("max_processes")
        if cpu_share is not None:
            self._limit_cpu(max(1, min(FULL_RATE, round(cpu_share * FULL_RATE))))

    def _limit_cpu(self, rate: int) -> None:
        flags = windows.JOB_OBJECT_CPU_RATE_CONTROL_ENABLE | windows.JOB_OBJECT_CPU_RATE_CONTROL_HARD_CAP
        wanted = windows.JOBOBJECT_CPU_RATE_CONTROL_INFORMATION(ControlFlags=flags, CpuRate=rate)
        try:
            self._set(windows.JobObjectCpuRateControlInformation, wanted)
            taken = self._get(windows.JobObjectCpuRateControlInformation, windows.JOBOBJECT_CPU_RATE_CONTROL_INFORMATION())
        except OSError as error:
            raise LimitNotTaken("cpu_quota") from error
        if (taken.ControlFlags, taken.CpuRate) != (flags, rate):
            raise LimitNotTaken("cpu_quota")

    def _limits(self) -> Any:
        return self._get(windows.JobObjectExtendedLimitInformation, windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION())

    def _set(self, kind: int, data: Any) -> None:
        windows.SetInformationJobObject(self.handle, kind, reference(data), size_of(data))

    def _get(self, kind: int, data: Any) -> Any:
        windows.QueryInformationJobObject(self.handle, kind, reference(data), size_of(data), None)
        return data

    def born(self, pid: int) -> None:
        """Nothing to do: the child was born in the job."""

    def may_be_asked(self, pid: int) -> None:
        """Note that `pid` leads a console group of its own, so that `ask` can reach it."""
        self._graceful.add(pid)

    def members(self) -> list[int]:
        """Pids of the live members, in nested jobs too.

        Processes that host a console for a member are left out: they end by themselves a moment after their program.
        """
        return [pid for pid, program in self._programs() if program]

    def _programs(self) -> list[tuple[int, str]]:
        """Each live process, except console hosts, and its program: "" before it has one, "?" where it is unknown."""
        everybody = self._everybody()
        found = [(pid, program_of(pid)) for pid in everybody]
        return [(pid, "?" if program is None else program) for pid, program in found if not self._hosts(pid, program, everybody)]

    def _hosts(self, pid: int, program: str | None, everybody: list[int]) -> bool:
        """Whether a process hosts the console of a member: it is the system's program for that, and no child of a live stranger."""
        if program is None or program.lower() != console_host():
            return False
        parent = parent_of(pid)
        return parent is None or parent in everybody or parent == os.getpid() or not is_running(parent)

    def _everybody(self) -> list[int]:
        if not self.handle:
            return []
        room = 64
        word = size_of(windows.ULONG_PTR)
        head = size_of(windows.JOBOBJECT_BASIC_PROCESS_ID_LIST) - word
        while True:
            data = memory(head + room * word)
            try:
                self._get(windows.JobObjectBasicProcessIdList, data)
            except OSError as error:
                if error.winerror != windows.ERROR_MORE_DATA:
                    raise
                room *= 4
                continue
            count = int.from_bytes(data.raw[4:8], sys.byteorder)
            listed = bytes_at(address(data) + head, count * word)
            return sorted(int.from_bytes(listed[at : at + word], sys.byteorder) for at in range(0, len(listed), word))

    def accounting(self) -> Any:
        """JOBOBJECT_BASIC_ACCOUNTING_INFORMATION"""
        return self._get(windows.JobObjectBasicAccountingInformation, windows.JOBOBJECT_BASIC_ACCOUNTING_INFORMATION())

    def input_output(self) -> Any | None:
        """IO_COUNTERS of all members, dead ones included; None where the system does not count."""
        try:
            kind = windows.JobObjectBasicAndIoAccountingInformation
            return self._get(kind, windows.JOBOBJECT_BASIC_AND_IO_ACCOUNTING_INFORMATION()).IoInfo
        except OSError:
            return None

    def peak_memory(self) -> int | None:
        """Most bytes that all members together had committed; None where the system does not count."""
        return int(self._limits().PeakJobMemoryUsed) or None

    def empty(self) -> bool:
        """Whether no live member is left."""
        return self.handle == 0 or int(self.accounting().ActiveProcesses) == 0 or not self._programs()

    def ask(self, signal: int) -> int:  # noqa: ARG002
        """Send CTRL_BREAK to the members that lead a console group; the others cannot be asked."""
        reached = 0
        for pid in set(self.members()) & self._graceful:
            try:
                windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, pid)
            except OSError:
                continue  # the member has no console, or another one than ours
            reached += 1
        return reached

    def send(self, signal: int) -> int:
        """NotImplementedError: Windows has no signals."""
        raise NotImplementedError(f"Windows has no signal {signal}; only `kill` ends a process from outside")

    def kill(self) -> None:
        """Terminate every member, including those that are being born."""
        self.killed = True
        if self.handle:
            windows.TerminateJobObject(self.handle, KILLED)

    def unkillable(self) -> dict[int, float]:
        """Nobody: the job may end every process in it."""
        return {}

    def give_up(self) -> None:
        """Nothing to note: the end of the job is waited for once more."""

    def changed(self) -> int:
        """-1: no handle tells of changes; use `wait_change`."""
        return -1

    def wait_change(self, seconds: float, pause: float) -> None:  # noqa: ARG002
        """Block until the job reports anything, at most `seconds`; in slices, so that Ctrl+C is handled."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.port.take(max(0.0, min(SLICE, deadline - time.monotonic()))) is not None or self.empty():
                return

    def release(self, pid: int) -> int:  # noqa: ARG002
        """-1: there is nothing to reap; an open process handle keeps the pid."""
        return -1

    def wait_empty(self, patience: float = KILL_PATIENCE) -> bool:
        """Wait until no live member is left; False when the patience ran out."""
        deadline, pause = time.monotonic() + patience, FIRST_LOOK
        while not self.empty():
            if time.monotonic() > deadline:
                return False
            time.sleep(pause)
            pause = min(2 * pause, LAST_LOOK)
        return True

    def assign(self, process: int) -> None:
        """Put a process into the job: a child that has not begun, or one that is adopted."""
        windows.AssignProcessToJobObject(self.handle, process)

    def freeze(self) -> None:
        """Suspend every member, pass after pass until one finds no new member."""
        self._for_each(windows.NtSuspendProcess)

    def thaw(self) -> None:
        """Let every member run again."""
        self._for_each(windows.NtResumeProcess)

    def _for_each(self, act: Any) -> None:
        done: set[int] = set()
        for _ in range(MOST_PASSES):
            fresh = {pid for pid, _ in self._programs()} - done
            if not fresh:
                return
            for pid in fresh:
                done.add(pid)
                with Handles() as owned:
                    try:
                        act(owned.own(open_process(windows.PROCESS_SUSPEND_RESUME, pid)))
                    except OSError:
                        continue  # the member has ended since

    def end(self) -> None:
        """Close the job, which kills the members unless they were let go; the open port still reports that. Idempotent."""
        handle, self.handle = self.handle, 0
        if handle:
            close(handle)

    def close(self) -> None:
        """Close the job and its port. Idempotent."""
        try:
            self.end()
        finally:
            self.port.close()
