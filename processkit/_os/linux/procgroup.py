"""Containers on process groups, for where no cgroup is to be had: every child leads a group of its own.

What it holds: the groups, and everything that descends from a member, found by walking /proc. What it cannot hold: who
leaves the group by setsid(2) and loses the parent that led to it. A leader is not reaped while others of its group live:
the zombie keeps the number from being given to a stranger's group (credentials(7)).
"""

from __future__ import annotations

import _thread
import os
import sys
import time
from array import array
from errno import ESRCH

from ..._abi.signals import SIGCONT, SIGSTOP
from ..members import Members
from ..port import Plan, Usage
from ..posix.reaping import STATUS_UNKNOWN, peek, reap
from ..posix.reserve import NONE_LEFT
from ..posix.terminal import take_terminal_back
from ..unreaped import reap_ended
from . import proctree
from .birth import Placement
from .child import spawn_child
from .guardian import Guardian
from .identity import peak_memory
from .procfs import is_same, read_stat, start_time

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._core.proctext import Stat
    from .child import LinuxChild


class Groups:
    """Process groups and single adopted processes: a Tree."""

    __slots__ = ("_guarded", "_guardian", "_let_go", "_lock", "_waiting", "adopted", "lent_terminal", "pgids")

    def __init__(self, guardian: Guardian, guarded: bool = True) -> None:
        self._guardian = guardian
        # The guardian hears of who is found outside the groups.
        self._guarded = guarded
        # Reentrant: a signal handler may end the tree in the midst of it.
        self._lock = _thread.RLock()
        self.pgids: set[int] = set()
        #: A child has our terminal; it comes back with the child's release.
        self.lent_terminal = False
        # Nobody kills these groups any more, so nobody needs their numbers kept.
        self._let_go = False
        #: pid → start time of processes that joined later, or that were found outside the groups they came from.
        self.adopted: dict[int, int] = {}
        # Ended leaders whose zombie keeps the number of a group that still has members.
        self._waiting: set[int] = set()

    def _scope(self) -> tuple[set[int], set[int]]:
        """Our groups, and those beside them that joined or were seen once and still live."""
        with self._lock:
            self._dismiss([pid for pid, start in self.adopted.items() if not is_same(pid, start)])
            return set(self.pgids), set(self.adopted)

    def adopt(self, joined: dict[int, int]) -> None:
        """Remember these, pid → start time, who are in none of our groups."""
        with self._lock:
            fresh = {pid: start for pid, start in joined.items() if self.adopted.get(pid) != start}
            self.adopted.update(fresh)
        if self._guarded:
            for pid, start in fresh.items():
                self._guardian.announce_process(pid, start)

    def _dismiss(self, pids: list[int]) -> None:
        for pid in pids:
            del self.adopted[pid]
            if self._guarded:
                self._guardian.leave_process(pid)

    def _reach(self) -> dict[int, Stat]:
        """Everybody who can be found; who left our groups is remembered, for the parent that leads there may die."""
        groups, roots = self._scope()
        if not groups and not roots:
            return {}
        found = proctree.reachable(groups, roots)
        outside = {pid: stat.start for pid, stat in found.items() if stat.pgrp not in groups}
        if outside:
            self.adopt(outside)
        return found

    def members(self) -> list[int]:
        """Pids of all live members that can be found."""
        return sorted(self._reach())

    def empty(self) -> bool:
        """Whether nobody is found alive."""
        return not self.members()

    def send(self, number: int) -> int:
        """Signal everybody who is found, again until a pass finds nobody new."""
        self._reach()
        groups, roots = self._scope()
        return proctree.send_all(groups, roots, number) if groups or roots else 0

    def ask(self, signal: int) -> int:
        """Send it."""
        return self.send(signal)

    def kill(self) -> None:
        """Stop, list and kill all that is found."""
        try:
            groups, roots = self._scope()
            if groups or roots:
                proctree.kill_all(groups, roots)
        except OSError as error:
            if error.errno not in NONE_LEFT:
                raise
            proctree.kill_groups(self.pgids)  # nobody can be found, but that takes no descriptor

    def changed(self) -> int:
        """Nothing tells when a process group becomes empty."""
        return -1

    def wait_change(self, seconds: float, pause: float) -> None:
        """Sleep for `pause`."""
        time.sleep(min(seconds, pause))

    def born(self, pid: int) -> None:
        """The child leads a group of its own, which is ours from now on."""
        with self._lock:
            self.pgids.add(pid)

    def release(self, pid: int) -> int:
        """Reap the leader, or let its zombie hold the number while others of its group live."""
        if self.lent_terminal:
            self.lent_terminal = False
            take_terminal_back()
        if self._let_go:
            return reap(pid)
        status = peek(pid)
        with self._lock:
            self._waiting.add(pid)
        self.prune()
        return STATUS_UNKNOWN if status is None else status

    def wait_stopped(self, patience: float = 2.0) -> None:
        """Wait until every member stands still; one that hangs in the kernel is not waited for longer."""
        deadline = time.monotonic() + patience
        groups, roots = self._scope()
        while any(stat.state not in "Tt" for stat in proctree.reachable(groups, roots).values()):
            if time.monotonic() > deadline:
                return
            time.sleep(0.001)

    def prune(self) -> None:
        """Reap the leaders whose group has ended, and take the groups back from the guardian first."""
        with self._lock:
            waiting = set(self._waiting)
        if not waiting:
            return
        held = {stat.pgrp for stat in proctree.reachable(waiting, set()).values()}
        for pid in waiting - held:
            with self._lock:
                if pid not in self._waiting:
                    continue
                self._waiting.discard(pid)
                self.pgids.discard(pid)
            try:
                self._guardian.drop(pid)
            finally:
                reap(pid)

    def dismiss_dead(self) -> None:
        """Forget who was adopted and has ended."""
        if self.adopted:
            self._scope()

    def let_go(self) -> None:
        """Forget all groups alive: neither we nor the guardian touch them again."""
        self._let_go = True
        with self._lock:
            pgids, self.pgids = self.pgids, set()
            waiting, self._waiting = self._waiting, set()
            self._dismiss([*self.adopted])
        for pgid in pgids:
            self._guardian.drop(pgid)
        for pid in waiting:
            reap(pid)


class OneGroup(Groups):
    """The tree of one child inside a group's: what it does to itself the group hears of."""

    __slots__ = ("_whole",)

    def __init__(self, guardian: Guardian, whole: Groups) -> None:
        super().__init__(guardian, guarded=False)  # the group tells it
        self._whole = whole

    def adopt(self, joined: dict[int, int]) -> None:
        """Ours, and the group's."""
        super().adopt(joined)
        self._whole.adopt(joined)

    def born(self, pid: int) -> None:
        """Ours, and the group's."""
        super().born(pid)
        self._whole.born(pid)

    def release(self, pid: int) -> int:
        """The whole group decides when the number is free."""
        self._whole.lent_terminal = self.lent_terminal
        return self._whole.release(pid)


def _spawn_in(guardian: Guardian, tree: Groups, plan: Plan, guarded: bool) -> LinuxChild:
    """A child that leads its own group and has told the guardian of itself before its program begins."""
    placement = Placement()
    if guarded:
        placement.register_fd = guardian.expect()
    placement.registration = array("i", [int.from_bytes(b"new ", sys.byteorder), 0])
    placement.take_terminal = tree.lent_terminal = plan.terminal
    placement.linger = plan.linger and placement.register_fd >= 0
    child: LinuxChild | None = None
    try:
        child = spawn_child(plan, placement, tree)
        if guarded:
            guardian.announce(child.pid, child.start())
        return child
    except BaseException:
        if child is not None:
            child.end()
        raise
    finally:
        if guarded:
            guardian.settled()


class GroupsContainer(Members):
    """A container of process groups: one for a private tree, one a child for a group."""

    __slots__ = ("_guardian", "_private", "tree")

    mechanism = "process_group"
    soft_stop_scope = "whole_tree"

    def __init__(self, guardian: Guardian, private: bool, outlives: bool = False) -> None:
        super().__init__(outlives)
        self._guardian = guardian
        self._private = private
        self.tree = Groups(guardian, guarded=not outlives)

    def spawn(self, plan: Plan) -> LinuxChild:
        """Start a child inside; on an exception nothing of it is alive."""
        tree = self.tree if self._private else OneGroup(self._guardian, self.tree)
        return self._bear(lambda: _spawn_in(self._guardian, tree, plan, not self.outlives))

    def slay(self) -> None:
        """Kill every member, also a stopped one, and wait within reason until they are gone."""
        with self._spawning:
            self.tree.kill()
            self._frozen = False
        # In a group that takes new members meanwhile, emptiness may never come.
        proctree.wait_gone(self.tree, 10.0 if self._sealed else 1.0)
        reap_ended()

    def freeze(self) -> None:
        """SIGSTOP for everybody who is found. Idempotent."""
        with self._spawning:
            self._check_no_birth()
            self._frozen = True
            self.tree.send(SIGSTOP)
            self.tree.wait_stopped()

    def thaw(self) -> None:
        """SIGCONT for everybody who is found. Idempotent."""
        with self._spawning:
            if self._frozen:
                self._frozen = False
                self.tree.send(SIGCONT)

    def adopt(self, pid: int) -> None:
        """Take in one process and what descends from it while it lives."""
        start = start_time(pid)
        if start is None:
            raise ProcessLookupError(ESRCH, "adopt: no such process")
        self.tree.adopt({pid: start})

    def usage(self) -> Usage:
        """Sums over the living: the dead took their share with them."""
        members = self.tree.members()
        usage = Usage(len(members))
        ticks = peak = 0
        for pid in members:
            stat = read_stat(pid)
            ticks += 0 if stat is None else stat.cpu_ticks
            peak += peak_memory(pid) or 0
        if members:
            usage.cpu_seconds = ticks / os.sysconf("SC_CLK_TCK")
            usage.peak_memory = peak
        return usage

    def _seems_empty(self) -> bool:
        try:
            return self.tree.empty()
        except OSError:
            return False  # nobody can look

    def close(self, *, leave: bool = False) -> None:
        """Kill what is left, wait until it is gone; with `leave`, forget it alive. Idempotent."""
        with self._spawning:
            if self._closed:
                return
            self._closed = self._sealed = True
        if leave:
            self.tree.let_go()
        elif not self._seems_empty():
            self.tree.kill()
            proctree.wait_gone(self.tree)
        reap_ended()
        self.tree.prune()
        self.tree.dismiss_dead()
