"""Containers on process groups, for systems where no cgroup is available: every child leads a group of its own.

A container holds the groups, and everything that descends from a member, found by walking /proc. It cannot hold a process that
leaves the group by setsid(2) and loses the parent that led to it. A leader is not reaped while others of its group live:
the zombie keeps the number from being given to a stranger's group (credentials(7)).
"""

from __future__ import annotations

import os
import sys
import time
from errno import EPIPE, ESRCH, ESTALE

from ..._abi.linux_signals import SIGCONT, SIGSTOP
from ..errors import LaunchError
from ..lock import Lock
from ..members import Members
from ..posix.guardian import NONE_STAYS, Guardian
from ..posix.reaping import STATUS_UNKNOWN, peek, reap
from ..posix.reserve import NONE_LEFT, with_reserve
from ..posix.terminal import take_terminal_back
from ..terms import Plan, Usage
from ..unreaped import reap_ended
from . import proctree
from .birth import Placement
from .child import NO_VIGIL, spawn_child, vigil_for
from .identity import peak_memory
from .procfs import is_blind, is_gone, living, noted, read_stat, start_time
from .script import registration
from .younger import younger

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..._core.proctext import Stat
    from .child import LinuxChild


#: Guardians that may end in a row while a child is being born.
MOST_GUARDIANS = 4


class Groups:
    """A Tree of process groups and single adopted processes."""

    __slots__ = (
        "_guarded",
        "_guardian",
        "_let_go",
        "_lock",
        "_refused",
        "_settled",
        "_since",
        "_starts",
        "_waiting",
        "adopted",
        "lent_terminal",
        "pgids",
    )

    def __init__(self, guardian: Guardian, guarded: bool = True) -> None:
        self._guardian = guardian
        # Whether processes that are found outside the groups are registered with the guardian.
        self._guarded = guarded
        # Reentrant: a signal handler may end the tree while its own thread holds it. So nothing below is iterated over but copies,
        # and what was found in one of them may be gone from the next line on.
        self._lock = Lock()
        self.pgids: set[int] = set()
        #: Whether a child has our terminal, which we take back at the child's release.
        self.lent_terminal = False
        # Whether the groups were let go: they are not killed any more, so their numbers need not stay taken.
        self._let_go = False
        #: pid → start time of processes that were adopted, or that were found outside the groups they came from.
        self.adopted: dict[int, int] = {}
        # Ended leaders whose zombie keeps the number of a group that still has members, and one of those: (pid, start).
        self._waiting: dict[int, tuple[int, int] | None] = {}
        # Leader → a moment before its birth (monotonic time).
        self._since: dict[int, float] = {}
        # Leader → its start time; none for one that had ended before anybody could read it.
        self._starts: dict[int, int] = {}
        # No member lived when all leaders had ended, and none has been born or adopted since: then none can appear any more.
        self._settled = False
        # Members that we may not kill, and until when (monotonic time) they are waited for.
        self._refused: dict[int, float] = {}

    def _scope(self) -> tuple[set[int], set[int]]:
        """Our groups, and the live processes outside them that were adopted or found."""
        with self._lock:
            self._dismiss([pid for pid, start in [*self.adopted.items()] if is_gone(pid, start)])
            for pid in [pid for pid in [*self.pgids] if not self._is_theirs(pid)]:
                self._disown(pid)
            return set(self.pgids), set(self.adopted)

    def _is_theirs(self, pid: int) -> bool:
        """Whether a group's number still stands for our group. Somebody else may have reaped the leader, and left the number free."""
        if peek(pid) != STATUS_UNKNOWN:
            return True
        witness = self._waiting.get(pid)
        if witness is not None and _is_in(pid, witness):
            return True
        start = start_time(pid)
        # Nobody has the number, so it is given to nobody while our group has members: free_pid in kernel/pid.c.
        return not is_blind() if start is None else start == self._starts.get(pid)

    def _disown(self, pid: int) -> None:
        """Our group has ended, and its number is somebody else's."""
        self.pgids.discard(pid)
        self._waiting.pop(pid, None)
        self._since.pop(pid, None)
        self._starts.pop(pid, None)
        self._guardian.drop(pid)

    def adopt(self, joined: dict[int, int]) -> None:
        """Remember processes, pid → start time, that are in none of our groups."""
        with self._lock:
            fresh = {pid: start for pid, start in joined.items() if self.adopted.get(pid) != start}
            self.adopted.update(fresh)
            self._settled = False
        if self._guarded:
            for pid, start in fresh.items():
                self._guardian.announce_process(pid, start)

    def _dismiss(self, pids: list[int]) -> None:
        for pid in pids:
            if self.adopted.pop(pid, None) is not None and self._guarded:
                self._guardian.leave_process(pid)

    def _reach(self) -> dict[int, Stat]:
        """All live members that can be found; those outside our groups are remembered: the parent that led there may die."""
        groups, roots = self._scope()
        if not groups and not roots:
            return {}
        found = proctree.reachable(groups, roots)
        outside = {pid: stat.start for pid, stat in found.items() if stat.pgrp not in groups}
        if outside:
            self.adopt(outside)
        return found

    def members(self) -> list[int]:
        """The pids of all live members that can be found. OSError where /proc does not show processes."""
        found = sorted(self._reach())
        if not found and self.pgids and is_blind():
            raise OSError(ESTALE, "/proc does not show the processes of this pid namespace")
        return found

    def empty(self) -> bool:
        """Whether no live member is found."""
        if self._settled:
            return True
        with self._lock:
            groups = set(self.pgids)
        ended = all(peek(pid) is not None for pid in groups)
        if is_blind():
            return not groups  # a zombie leader is still in its group, kill(2): who else is there nobody can tell
        if not (ended and not self.adopted and self._is_alone(groups)) and self.members():
            return False
        with self._lock:
            self._settled = ended and groups == self.pgids and not self.adopted
        return True

    def _is_alone(self, leaders: set[int]) -> bool:
        """Whether these ended leaders certainly left no process in their groups, and none that descends from one there."""
        for leader in leaders:
            found = self._left_by(leader)
            if found is None or found:
                return False
        return True

    def _left_by(self, leader: int) -> list[Stat] | None:
        """The live processes in the group of an ended leader, and all that descend from one there; None: that takes a walk."""
        moment = self._since.get(leader)
        table = None if moment is None else younger(leader, moment)
        return None if table is None else [*proctree.reachable({leader}, set(), table).values()]

    def send(self, number: int) -> int:
        """Signal every member that is found, pass after pass until one finds no new member."""
        if is_blind():
            return proctree.send_to_groups(self._scope()[0], number)
        self._reach()
        groups, roots = self._scope()
        return proctree.send_all(groups, roots, number) if groups or roots else 0

    def ask(self, signal: int) -> int:
        """Send it."""
        return self.send(signal)

    def kill(self) -> None:
        """Stop, list and kill all members that are found."""
        with_reserve(self._kill)

    def _kill(self) -> None:
        try:
            groups, roots = self._scope()
            refused = proctree.kill_all(groups, roots) if groups or roots else set()
            if is_blind():
                # The groups are dead. Who has left them, or was adopted, is out of reach.
                refused |= proctree.kill_groups(groups) | roots
                self._settled = not refused
        except OSError as error:
            if error.errno not in NONE_LEFT:
                raise
            # No member can be found without a descriptor, but this needs none.
            refused = proctree.kill_groups({pid for pid in [*self.pgids] if peek(pid) != STATUS_UNKNOWN})
        self._refused = noted(self._refused, refused)

    def unkillable(self) -> dict[int, float]:
        """The members that we may not kill, and until when (monotonic time) they are waited for."""
        return living(self._refused)

    def give_up(self) -> None:
        """Wait no longer for those who live."""
        self._refused = dict.fromkeys(self._reach(), time.monotonic())

    def kill_held(self) -> None:
        """Kill the groups whose number is certainly ours: the leader is a child of ours that is not reaped."""
        proctree.kill_groups({pid for pid in [*self.pgids] if peek(pid) != STATUS_UNKNOWN})

    def changed(self) -> int:
        """-1: the kernel does not tell when a process group becomes empty."""
        return -1

    def wait_change(self, seconds: float, pause: float) -> None:
        """Sleep for `pause`."""
        time.sleep(min(seconds, pause))

    def born(self, pid: int) -> None:
        """The child leads a group of its own, which belongs to the tree from now on."""
        with self._lock:
            self._settled = False
            self.pgids.add(pid)

    def born_after(self, pid: int, moment: float, start: int | None) -> None:
        """The leader `pid` was born after `moment` (monotonic time), at `start` if that is known."""
        self._since[pid] = moment
        if start is not None:
            self._starts[pid] = start

    def release(self, pid: int) -> int:
        """Reap the leader; while others of its group live, its zombie stays and keeps the number."""
        if self.lent_terminal:
            self.lent_terminal = False
            take_terminal_back(pid)
        if self._let_go:
            return reap(pid)
        status = peek(pid)
        with self._lock:
            self._waiting.setdefault(pid, None)
        self.prune()
        return STATUS_UNKNOWN if status is None else status

    def wait_stopped(self) -> None:
        """Wait until every member has stopped, at most two seconds: one may hang in the kernel."""
        deadline = time.monotonic() + 2.0
        groups, roots = self._scope()
        while any(stat.state not in "Tt" for stat in proctree.reachable(groups, roots).values()):
            if time.monotonic() > deadline:
                return
            time.sleep(0.001)

    def prune(self) -> None:
        """Reap the leaders whose group has ended, after unregistering each group from the guardian; nobody while that is unknown."""
        if not self._settled and is_blind():
            return
        with self._lock:
            waiting = {pid for pid, witness in [*self._waiting.items()] if witness is None or not _is_in(pid, witness)}
        if not waiting:
            return
        held: dict[int, tuple[int, int]] = {}
        unknown: set[int] = set()
        for pid in waiting:
            found = [] if self._settled else self._left_by(pid)
            if found is None:
                unknown.add(pid)
            else:
                held.update((pid, (stat.pid, stat.start)) for stat in found if stat.pgrp == pid)
        if unknown:
            held.update((stat.pgrp, (stat.pid, stat.start)) for stat in proctree.reachable(unknown, set()).values())
        for pid in waiting:
            if pid in held:
                with self._lock:
                    if pid in self._waiting:
                        self._waiting[pid] = held[pid]
            else:
                self._free(pid)

    def _free(self, pid: int) -> None:
        """Reap a leader whose group has ended."""
        with self._lock:
            if pid not in self._waiting:
                return
            del self._waiting[pid]
            self.pgids.discard(pid)
            self._since.pop(pid, None)
            self._starts.pop(pid, None)
        try:
            self._guardian.drop(pid)
        finally:
            reap(pid)
        # A number stays taken as long as a group has it, with or without its leader (free_pid in kernel/pid.c). So this tells: the
        # group has a zombie that its parent has not reaped yet, or a process was hidden from the reading of /proc, by a number of its
        # own choice. That one is held by its start time: from now on nothing of ours keeps the number of the group.
        if not self._let_go and _has_members(pid):
            hidden = {stat.pid: stat.start for stat in proctree.reachable({pid}, set()).values()}
            if hidden:
                self.adopt(hidden)

    def dismiss_dead(self) -> None:
        """Forget the adopted processes that have ended."""
        if self.adopted:
            self._scope()

    def let_go(self) -> None:
        """Let all members live on: neither we nor the guardian touch them again."""
        self._let_go = True
        self._dismiss([*self.adopted])
        for pgid in [*self.pgids]:
            self._guardian.drop(pgid)
            self.pgids.discard(pgid)
        for pid in [*self._waiting]:
            if self._waiting.pop(pid, self) is not self:
                reap(pid)


class OneGroup(Groups):
    """The tree of one child inside a group's tree, which it keeps informed of its members."""

    __slots__ = ("_whole",)

    def __init__(self, guardian: Guardian, whole: Groups) -> None:
        super().__init__(guardian, guarded=False)  # the group's tree tells the guardian
        self._whole = whole

    def adopt(self, joined: dict[int, int]) -> None:
        """Remember the processes in this tree and in the group's."""
        super().adopt(joined)
        self._whole.adopt(joined)

    def born(self, pid: int) -> None:
        """Note the child in this tree and in the group's."""
        super().born(pid)
        self._whole.born(pid)

    def born_after(self, pid: int, moment: float, start: int | None) -> None:
        """Note that in this tree and in the group's."""
        super().born_after(pid, moment, start)
        self._whole.born_after(pid, moment, start)

    def release(self, pid: int) -> int:
        """Let the group's tree reap the child, once its number need not stay taken."""
        self._whole.lent_terminal = self.lent_terminal
        return self._whole.release(pid)


def _is_in(group: int, witness: tuple[int, int]) -> bool:
    """Whether the process (pid, start) still lives in this group."""
    stat = read_stat(witness[0])
    return stat is not None and stat.start == witness[1] and stat.pgrp == group and not stat.gone


def _has_members(group: int) -> bool:
    """Whether any process is in this group, a zombie included. kill(2)"""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it has, and none that we may signal
    return True


def _spawn_in(guardian: Guardian, tree: Groups, plan: Plan, guarded: bool) -> LinuxChild:
    """A child that leads its own group; if `guarded`, it registers with the guardian before its program begins."""
    last: LaunchError | None = None
    for _ in range(MOST_GUARDIANS):
        try:
            return _spawn_told(guardian, tree, plan, guarded)
        except LaunchError as error:
            if error.errno != EPIPE or error.call != "write":
                raise
            last = error  # the guardian ended between our look and the child's registration
    raise LaunchError(EPIPE, NONE_STAYS) from last


def _spawn_told(guardian: Guardian, tree: Groups, plan: Plan, guarded: bool) -> LinuxChild:
    placement = Placement()
    generation = 0
    if guarded:
        placement.register_fd, generation = guardian.expect()
    placement.registration = registration(b"new ")
    placement.take_terminal = tree.lent_terminal = plan.terminal
    placement.linger = plan.linger and placement.register_fd >= 0
    child: LinuxChild | None = None
    moment = time.monotonic()
    try:
        child = spawn_child(plan, placement, tree)
        tree.born_after(child.pid, moment, None if child.events_at_end is not None else child.start())
        if guarded and child.events_at_end is not None:
            guardian.registered(child.pid, generation)
        elif guarded:
            guardian.announce(child.pid, child.start())
        if guarded and plan.unattended:
            guardian.confirm()
        return child
    except BaseException:
        if child is not None:
            child.end()
        if guarded and placement.registration[1] > 0:
            guardian.retract(placement.registration[1])  # the child may have registered itself before its start failed
        raise
    finally:
        if guarded:
            guardian.settled(placement.register_fd)


class GroupsContainer(Members):
    """A container of process groups: one group for a private tree, one per child for a group."""

    __slots__ = ("_guardian", "_private", "_vigil", "tree")

    mechanism = "process_group"
    soft_stop_scope = "whole_tree"

    def __init__(self, guardian: Guardian, private: bool, outlives: bool = False) -> None:
        super().__init__(outlives)
        self._guardian = guardian
        self._private = private
        self._vigil = NO_VIGIL
        self.tree = Groups(guardian, guarded=not outlives)

    def spawn(self, plan: Plan) -> LinuxChild:
        """Start a child inside; on an exception nothing of it is alive."""
        if not self.outlives:
            self._vigil = vigil_for(plan, self._vigil)
        tree = self.tree if self._private else OneGroup(self._guardian, self.tree)
        return self._bear(lambda: _spawn_in(self._guardian, tree, plan, not self.outlives))

    def slay(self) -> None:
        """Kill every member, also a stopped one, and wait for a limited time until they are gone."""
        with self._spawning:
            self.tree.kill()
            self._frozen = False
        proctree.wait_gone(self.tree, self._patience)
        reap_ended()

    def freeze(self) -> None:
        """Send SIGSTOP to every member that is found. Idempotent."""
        with self._spawning:
            self._check_no_birth()
            self._frozen = True
            self.tree.send(SIGSTOP)
            self.tree.wait_stopped()

    def thaw(self) -> None:
        """Send SIGCONT to every member that is found. Idempotent."""
        with self._spawning:
            if self._frozen:
                self._frozen = False
                self.tree.send(SIGCONT)

    def adopt(self, pid: int) -> None:
        """Adopt one process, and everything that descends from it while it lives."""
        start = start_time(pid)
        if start is None:
            raise ProcessLookupError(ESRCH, "adopt: no such process")
        self.tree.adopt({pid: start})

    def usage(self) -> Usage:
        """The sums over the live members; the consumption of dead ones is lost."""
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
            return False  # no descriptor is left to look with

    def close(self, *, leave: bool = False) -> None:
        """Kill the remaining members and wait until they are gone; with `leave`, let them live. Idempotent.

        One that was interrupted is taken up again by the next.
        """
        self.seal()
        if self._closed:
            return
        if leave:
            self.tree.let_go()
        elif self._seems_empty():
            self.tree.kill_held()  # reaches a process that was hidden from the reading of /proc
        else:
            self.tree.kill()
            proctree.wait_gone(self.tree)
        reap_ended()
        self.tree.prune()
        self.tree.dismiss_dead()
        self._closed = True
        self._vigil.end()
