"""Containers on cgroup v2: a child is born in its cgroup, and all processes of a cgroup are killed together.

A home (home.py) holds everything of this process. In it, a private tree has a leaf to itself, taken from a small pool if its
last user left it as new; a group is a directory with one leaf per child, so that one child's tree can be killed without its
siblings.
"""

from __future__ import annotations

import os
import sys
from _weakref import ref  # not weakref, whose import costs more than it gives here
from errno import E2BIG, EINVAL

from ..._core.proctext import flat_keyed
from ..._core.unraisable import first_error
from ..errors import LaunchError
from ..lock import Lock
from ..members import Members
from ..posix.reaping import reap
from ..terms import Usage
from ..unreaped import reap_ended
from . import cgroupfs
from .birth import Placement
from .cgroupfs import Directory
from .child import NO_VIGIL, spawn_child, vigil_for
from .guardian import new_guardian
from .home import home_name, make_left, note_left, sweep, sweep_dead, sweep_left
from .launch import launcher
from .leaf import MOST_SIGNAL_PASSES, Cgroup, Pool

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..terms import Plan
    from .child import LinuxChild

#: Leaves that a home, and a group, keep for their next child: two descriptors each.
MOST_SPARE_LEAVES, MOST_SPARE_IN_GROUP = 16, 4

# CLONE_INTO_CGROUP came with Linux 5.7; before that, the child's first step is to write itself into cgroup.procs.
_clone_into = True


class Home:
    """This process's directory of containers, its guardian, and the leaves that are kept for their next user."""

    __slots__ = ("_base", "_dead", "_directory", "_guardian", "_lock", "_made", "_number", "_pool")

    def __init__(self, base: str) -> None:
        self._base = Directory(base)
        self._directory = Directory(f"{base}/{home_name()}", self._base)
        # Reentrant: a garbage collection while it is held may find a handle that gives a leaf back.
        self._lock = Lock()
        self._number = 0
        self._pool = Pool(MOST_SPARE_LEAVES)
        self._guardian = new_guardian(self.path)
        self._guardian.mend = self.guarded
        self._made = False
        # Homes of dead owners in which something was still dying; each is killed again until it is empty.
        self._dead: list[Directory] = []

    @property
    def path(self) -> str:
        """Where its directory is made; for people."""
        return self._directory.path

    @property
    def guardian_kind(self) -> str:
        """The language of the guardian: `python`, `sh` or `none`."""
        return self._guardian.kind

    def private(self) -> PrivateContainer:
        """A container for one run."""
        return PrivateContainer(self)

    def group(self, outlives: bool) -> GroupContainer:
        """A container for a group; one that `outlives` this process is not in the home."""
        return GroupContainer(self, outlives)

    def _make(self) -> None:
        """Create the directory, under the lock. The guardian is started first, so that it can remove the directory if we die."""
        if not self._made:
            self._guardian.ensure()
            self._dead += sweep_dead(self._base)
            self._directory.make()
            self._made = True

    def guarded(self) -> None:
        """Make sure that a guardian runs to clean up after us; called before a leaf is taken and before a member is born."""
        if not self._guardian.is_up():
            self._renew_if_lost()
            self._guardian.ensure()

    def confirmed(self, plan: Plan, child: LinuxChild) -> LinuxChild:
        """`child`, once the guardian is up if its handle may be left alone; on an exception nothing of it is alive."""
        if plan.unattended:
            try:
                self._guardian.confirm()
            except BaseException:
                child.end()
                raise
        return child

    def _renew_if_lost(self) -> None:
        """If the program has closed the guardian's pipe, all that lives in the home is being ended: have another home."""
        if not self._guardian.is_lost:
            return
        with self._lock:
            if self._guardian.is_lost:
                lost, pool = self._directory, self._pool
                self._directory = Directory(f"{self._base.path}/{home_name()}", self._base)
                self._guardian.forget()
                self._guardian = new_guardian(self.path)
                self._guardian.mend = self.guarded
                self._pool = Pool(MOST_SPARE_LEAVES)
                self._made = False
                self._dead.append(lost)
                pool.close_descriptors()

    def take_leaf(self) -> Cgroup:
        """A cgroup that is new, as far as its user can tell."""
        self.guarded()
        return self._pool.take() or self.new("r")

    def wants(self, leaf: Cgroup) -> bool:
        """Whether a private tree's leaf is as new, and kept if it is given back."""
        return self._pool.wants(leaf)

    def give_back(self, leaf: Cgroup) -> None:
        """Take back a leaf that it `wants`, for the next private tree."""
        if not self._pool.keep(leaf):
            leaf.destroy()

    def new_group(self) -> Cgroup:
        """The cgroup of a group that ends with us."""
        self.guarded()
        return self.new("g")

    def new(self, prefix: str) -> Cgroup:
        """A fresh cgroup in the home, which is created again if it was removed from outside."""
        with self._lock:
            sweep_left()
            self._sweep_dead()
            self._make()
            self._number += 1
            name = f"{self.path}/{prefix}{self._number}"
            try:
                return Cgroup(name, self._directory)
            except FileNotFoundError:
                self._directory.make()
                return Cgroup(name, self._directory)

    def new_left(self) -> Cgroup:
        """A cgroup outside the home, for processes that outlive this one on purpose."""
        left = make_left(self._base)
        return Cgroup(f"{left.path}/g", left)

    def _sweep_dead(self) -> None:
        for directory in [*self._dead]:
            if sweep(directory) and directory in self._dead:
                self._dead.remove(directory)

    def let_go(self, directory: Directory) -> None:
        """Move all processes in `directory` out of the home, so that they outlive it; pass after pass until none is left."""
        left = make_left(self._base)
        try:
            for _ in range(MOST_SIGNAL_PASSES):
                pids = cgroupfs.processes(directory.at())
                if not pids:
                    break
                for pid in pids:
                    try:
                        cgroupfs.write_file(left.at(), "cgroup.procs", b"%d" % pid)
                    except ProcessLookupError:
                        pass
        finally:
            note_left(left)  # not before: another thread's sweep would find it empty

    def forget(self) -> None:
        """In a forked child: close the descriptors; the directories and the guardian are the parent's."""
        self._guardian.after_fork()
        self._pool.after_fork()
        self._directory.close()
        self._base.close()

    def close(self) -> None:
        """At exit: kill and remove everything, then end the guardian; if a process hangs, the guardian goes on with that."""
        self._sweep_dead()
        self._pool.close_descriptors()
        if self._directory.destroy(2.0):
            self._guardian.end()
        else:
            self._guardian.forget()
        self._directory.close()
        self._base.close()


def _placement(cgroup: Cgroup, plan: Plan) -> Placement:
    placement = Placement()
    # A background process group cannot read from the terminal (SIGTTIN), and the cgroup holds the tree without a group.
    placement.own_group = not plan.terminal
    placement.linger = plan.linger
    if _clone_into:
        placement.cgroup_fd = cgroup.directory.at()
    return placement


def _spawn_in(cgroup: Cgroup, plan: Plan) -> LinuxChild:
    """A child born in `cgroup`, on any kernel."""
    global _clone_into
    if _clone_into and launcher().name == "clone3":
        placement = _placement(cgroup, plan)
        try:
            return spawn_child(plan, placement, cgroup)
        except LaunchError as error:
            if error.call != "clone3" or error.errno not in (E2BIG, EINVAL):
                raise
            _clone_into = False
    _clone_into = False
    placement = _placement(cgroup, plan)
    placement.procs_fd = cgroupfs.open_file(cgroup.directory.at(), "cgroup.procs", os.O_WRONLY)
    try:
        return spawn_child(plan, placement, cgroup)
    finally:
        os.close(placement.procs_fd)


def _is_removed(error: OSError) -> bool:
    """Whether a spare cgroup was removed from outside, by somebody who sweeps what is empty."""
    if isinstance(error, LaunchError):
        return error.errno in cgroupfs.REMOVED and error.call in ("clone3", "write")
    return error.errno in cgroupfs.REMOVED and error.filename == "cgroup.procs"  # where the child writes itself into it


class PrivateContainer:
    """The container of one run: its own tree, in one leaf."""

    __slots__ = ("_closed", "_home", "_vigil", "tree")

    mechanism = "cgroup_v2"

    def __init__(self, home: Home) -> None:
        self._home = home
        self._closed = False
        self._vigil = NO_VIGIL
        self.tree = home.take_leaf()

    def spawn(self, plan: Plan) -> LinuxChild:
        """Start a child inside; on an exception nothing of it is alive."""
        self._vigil = vigil_for(plan, self._vigil)
        try:
            child = _spawn_in(self.tree, plan)
        except OSError as error:
            if not _is_removed(error):
                raise
            self.tree.destroy()
            self.tree = self._home.new("r")
            child = _spawn_in(self.tree, plan)
        return self._home.confirmed(plan, child)

    def close(self, *, leave: bool = False) -> None:
        """Give the leaf back; remaining processes are killed first or, with `leave`, moved out alive. Idempotent.

        One that was interrupted is taken up again by the next.
        """
        if self._closed:
            return
        if leave and not self.tree.empty():
            self._home.let_go(self.tree.directory)
        if self._home.wants(self.tree):
            self._closed = True  # from here on it may be another tree's
            self._home.give_back(self.tree)
        else:
            self.tree.destroy()
            self._closed = True
        self._vigil.end()


class GroupContainer(Members):
    """A group: its directory is the tree; each child has a leaf in it."""

    __slots__ = ("_home", "_number", "_pool", "_vigil", "tree")

    mechanism = "cgroup_v2"
    soft_stop_scope = "whole_tree"

    def __init__(self, home: Home, outlives: bool) -> None:
        super().__init__(outlives)
        self._home = home
        self._number = 0
        self._pool = Pool(MOST_SPARE_IN_GROUP)
        self._vigil = NO_VIGIL
        self.tree = home.new_left() if outlives else home.new_group()

    def spawn(self, plan: Plan) -> LinuxChild:
        """Start a child inside; on an exception nothing of it is alive."""
        return self._bear(lambda: self._spawn(plan))

    def _spawn(self, plan: Plan) -> LinuxChild:
        if not self.outlives:
            self._home.guarded()
            self._vigil = vigil_for(plan, self._vigil)
        leaf = self._pool.take() or self._new_leaf()
        try:
            try:
                child = _spawn_in(leaf, plan)
            except OSError as error:
                if not _is_removed(error):
                    raise
                leaf.destroy()
                leaf = self._new_leaf()
                child = _spawn_in(leaf, plan)
            return child if self.outlives else self._home.confirmed(plan, child)
        except BaseException:
            first_error(lambda: self._pool.discard(leaf), leaf.destroy)  # its child was reaped
            raise

    def _new_leaf(self) -> Cgroup:
        self._number += 1
        return MemberLeaf(f"{self.tree.path}/c{self._number}", self)

    def keeps(self, leaf: Cgroup) -> bool:
        """Keep the leaf of a child that has been reaped for the next one; False where nothing may be left of it."""
        # A group that was signalled or frozen may have left that on any leaf.
        return not self.tree.touched and not self._frozen and self._pool.wants(leaf) and self._pool.keep(leaf)

    def slay(self) -> None:
        """Kill every member, also a frozen one, and wait for a limited time until they are gone."""
        with self._spawning:
            self.tree.kill()
            if self._frozen:
                self._set_frozen(False)
        self.tree.wait_killed(self._patience)
        reap_ended()

    def freeze(self) -> None:
        """Stop every member from running. Idempotent."""
        with self._spawning:
            self._check_no_birth()
            self._set_frozen(True)

    def thaw(self) -> None:
        """Let every member run again. Idempotent."""
        with self._spawning:
            if self._frozen:
                self._set_frozen(False)

    def _set_frozen(self, on: bool) -> None:
        self.tree.touched = True
        if not cgroupfs.freeze(self.tree.directory.at(), on):
            raise NotImplementedError("this kernel has no cgroup.freeze (Linux 5.2)")
        self._frozen = on

    def adopt(self, pid: int) -> None:
        """Move a process into the group; its future children are born in it. OSError when it may not be moved."""
        adopted = Directory(f"{self.tree.path}/adopted", self.tree.directory)
        try:
            adopted.make()
        except FileExistsError:
            pass
        try:
            cgroupfs.write_file(adopted.at(), "cgroup.procs", b"%d" % pid)
        finally:
            adopted.close()

    def usage(self) -> Usage:
        """The consumption that the kernel accounted to the group, dead members included."""
        at = self.tree.directory.at()
        usage = Usage(len(self.tree.members()))
        usage.peak_memory = _number_in(at, "memory.peak")
        usage.peak_processes = _number_in(at, "pids.peak")
        try:
            usage.cpu_seconds = flat_keyed(cgroupfs.read_file(at, "cpu.stat"))["usage_usec"] / 1e6
        except (OSError, KeyError):
            pass
        try:
            text = cgroupfs.read_file(at, "io.stat")
        except OSError:
            return usage
        usage.io_read = _sum_of(text, b"rbytes=")
        usage.io_written = _sum_of(text, b"wbytes=")
        return usage

    def close(self, *, leave: bool = False) -> None:
        """Kill the remaining members and remove the directory; with `leave`, move them out of the home alive instead. Idempotent.

        One that was interrupted is taken up again by the next.
        """
        self.seal()
        if self._closed:
            return
        self._pool.close_descriptors()
        above = self.tree.directory.above
        assert above is not None
        if leave and not self.tree.empty():
            if self.outlives:
                self.tree.close_descriptors()
                self._closed = True
                note_left(above)
                return
            self._home.let_go(self.tree.directory)
        self.tree.destroy()
        if self.outlives:
            above.remove()
            above.close()
        reap_ended()
        self._closed = True
        self._vigil.end()


class MemberLeaf(Cgroup):
    """The leaf of one child of a group: kept for the next one or removed as soon as the child is reaped and it is empty."""

    __slots__ = ("_group",)

    def __init__(self, path: str, group: GroupContainer) -> None:
        super().__init__(path, group.tree.directory)
        # A child that waits to be reaped must not keep a group alive that nobody has any more.
        self._group = ref(group)

    def release(self, pid: int) -> int:
        """Reap the child and give the leaf back; while descendants are in it, the leaf stays until the group's end removes it."""
        status = reap(pid)
        group = self._group()
        if group is None or not group.keeps(self):
            self.directory.remove()
            self.close_descriptors()
        return status


def _number_in(at: int, name: str) -> int | None:
    try:
        return int(cgroupfs.read_file(at, name))
    except (OSError, ValueError):
        return None


def _sum_of(text: bytes, key: bytes) -> int:
    """Sum of one key of io.stat over all devices."""
    return sum(int(word[len(key) :]) for word in text.split() if word.startswith(key))
