"""Containers on Job Objects: a child is born in its job, and all members of a job die together, at the latest with us.

Every child has a job to itself, so that its own tree can be killed. The jobs of a group's children lie inside the group's job,
and that of a leashed child lies inside a job that lives as long as this process.
"""

from __future__ import annotations

import sys

from ..._abi import windows
from ..._core.unraisable import take_all
from ..lock import Lock
from ..members import Members
from ..terms import Usage
from ..unreaped import reap_ended
from .child import WindowsChild
from .handles import Handles, close
from .identity import open_process
from .job import Job
from .spawn import spawn
from .stdio import Streams

if sys.platform != "win32":
    raise ImportError("this room is for Windows")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..terms import Plan


def spawn_in(plan: Plan, tree: Job, outer: list[int]) -> WindowsChild:
    """A child in `tree`, which lies in the jobs `outer`; on an exception nothing of it is alive."""
    streams = Streams(plan)
    try:
        process, pid = spawn(plan, [*outer, tree.handle], streams)
        try:
            streams.close_theirs()
            if plan.console == "break":
                tree.may_be_asked(pid)
            return WindowsChild(process, pid, streams, tree)
        except BaseException:
            tree.kill()
            close(process)
            raise
    finally:
        streams.close()


class PrivateContainer:
    """The container of one run: its own tree, in one job."""

    __slots__ = ("_closed", "_outer", "mechanism", "tree")

    def __init__(self, outer: list[int] | None = None, mechanism: str = "job_object") -> None:
        reap_ended()
        self.mechanism = mechanism
        self._outer = outer or []
        self._closed = False
        self.tree = Job()

    def spawn(self, plan: Plan) -> WindowsChild:
        """Start a child inside; on an exception nothing of it is alive."""
        return spawn_in(plan, self.tree, self._outer)

    def close(self, *, leave: bool = False) -> None:
        """Kill the remaining processes and wait until they are gone; with `leave`, let them live. Idempotent."""
        if self._closed:
            return
        try:
            if leave and self.tree.handle:
                self.tree.die_with_us(False)
            elif not self.tree.empty():
                self.tree.kill()
                self.tree.wait_empty()
        finally:
            self.tree.close()
        self._closed = True


class GroupContainer(Members):
    """A group: its job is the tree; each child has a job in it."""

    __slots__ = ("tree",)

    mechanism = "job_object"
    soft_stop_scope = "opt_in_members"

    def __init__(self, outlives: bool) -> None:
        super().__init__(outlives)
        self.tree = GroupJob(dies_with_us=not outlives)

    def spawn(self, plan: Plan) -> WindowsChild:
        """Start a child inside; on an exception nothing of it is alive."""
        return self._bear(lambda: self._spawn(plan))

    def _spawn(self, plan: Plan) -> WindowsChild:
        self.tree.forget_closed()
        job = MemberJob(dies_with_us=not self.outlives)
        try:
            child = spawn_in(plan, job, [self.tree.handle])
        except BaseException:
            job.close()
            raise
        self.tree.parts.append(job)
        if plan.console == "break":
            self.tree.may_be_asked(child.pid)
        return child

    def slay(self) -> None:
        """Terminate every member, also a suspended one, and wait for a limited time until they are gone."""
        with self._spawning:
            self.tree.kill()
            self._frozen = False
        self.tree.wait_empty(self._patience)
        reap_ended()

    def freeze(self) -> None:
        """Suspend every member. Idempotent, though the system counts suspensions."""
        with self._spawning:
            self._check_no_birth()
            if not self._frozen:
                self._frozen = True
                self.tree.freeze()

    def thaw(self) -> None:
        """Let every member run again. Idempotent."""
        with self._spawning:
            if self._frozen:
                self._frozen = False
                self.tree.thaw()

    def adopt(self, pid: int) -> None:
        """Move a process into the job, and everything it starts from now on. OSError when it may not be moved."""
        with Handles() as owned:
            access = windows.PROCESS_SET_QUOTA | windows.PROCESS_TERMINATE
            self.tree.assign(owned.own(open_process(access, pid)))

    def usage(self) -> Usage:
        """The consumption that the system accounted to the job, dead members included."""
        counted = self.tree.accounting()
        usage = Usage(len(self.tree.members()))
        usage.cpu_seconds = (int(counted.TotalUserTime) + int(counted.TotalKernelTime)) / 1e7
        usage.peak_memory = self.tree.peak_memory()
        counters = self.tree.input_output()
        if counters is not None:
            usage.io_read, usage.io_written = int(counters.ReadTransferCount), int(counters.WriteTransferCount)
        return usage

    def close(self, *, leave: bool = False) -> None:
        """Kill the remaining members and wait until they are gone; with `leave`, let them live. Idempotent."""
        self.seal()
        if self._closed:
            return
        parts = self.tree.parts
        jobs: list[Job] = [*parts, self.tree]
        try:
            if leave:
                for job in jobs:
                    if job.handle:
                        job.die_with_us(False)
            elif not self.tree.empty():
                self.tree.kill()
                self.tree.wait_empty()
        finally:
            # A part's port is closed with the handle of its child.
            take_all(*(part.end for part in parts), self.tree.close)
        self.tree.parts = []
        reap_ended()
        self._closed = True


class GroupJob(Job):
    """The job of a group, and the jobs of its children inside it."""

    __slots__ = ("parts",)

    def __init__(self, *, dies_with_us: bool = True) -> None:
        super().__init__(dies_with_us=dies_with_us)
        self.parts: list[MemberJob] = []

    def forget_closed(self) -> None:
        """Forget the jobs that are closed: their child and its whole tree have ended."""
        for part in [*self.parts]:
            if not part.handle and part in self.parts:
                self.parts.remove(part)

    def kill(self) -> None:
        """Terminate every member, and note in each child's job that we killed it."""
        for part in [*self.parts]:
            part.killed = True
        super().kill()


class MemberJob(Job):
    """The job of one child of a group: closed with the child's handle, unless descendants still live in it."""

    __slots__ = ()

    def release(self, pid: int) -> int:
        """Close the port, and the job if it is empty; else the group closes it later, which kills the remaining members."""
        self.port.close()
        if self.empty():
            self.end()
        return super().release(pid)


# Kept for the life of this process: only our death closes its handle, which kills the leashed children.
_leash: Job | None = None
_lock = Lock()


def leash_container() -> PrivateContainer:
    """A job for one child, inside the job that dies with us; nothing is promised for grandchildren."""
    global _leash
    with _lock:
        if _leash is None:
            _leash = Job()
    return PrivateContainer([_leash.handle], "leash")
