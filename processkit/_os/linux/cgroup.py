"""Containers on cgroup v2: a child is born in its cgroup, and all processes of a cgroup are killed together.

A home (home.py) holds everything of this process. In it, a private tree has a leaf to itself, taken from a small pool if its
last user left it as new; a group is a directory with one leaf per child, so that one child's tree can be killed without its
siblings.
"""

from __future__ import annotations

import _thread
import os
import select
import sys
from errno import E2BIG, EINVAL

from ..._core.proctext import flat_keyed
from ..errors import LaunchError
from ..members import Members
from ..posix.descriptors import Held
from ..posix.reaping import any_ended, reap
from ..terms import Usage
from ..unreaped import reap_ended
from . import cgroupfs
from .birth import Placement
from .cgroupfs import Directory
from .child import spawn_child
from .guardian import new_guardian
from .home import home_name, make_left, note_left, sweep, sweep_dead, sweep_left
from .launch import launcher

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..terms import Plan
    from .child import LinuxChild

#: Leaves that a home, and a group, keep for their next child: two descriptors each.
MOST_SPARE_LEAVES, MOST_SPARE_IN_GROUP = 16, 4
MOST_SIGNAL_PASSES = 50

# CLONE_INTO_CGROUP came with Linux 5.7; before that, the child's first step is to write itself into cgroup.procs.
_clone_into = True


class Cgroup:
    """A cgroup's directory and the tree of processes in it. It owns its descriptors and the directory until `destroy`."""

    __slots__ = ("_events", "_notice", "directory", "settled", "touched")

    def __init__(self, path: str, above: Directory) -> None:
        #: The directory; its descriptor serves CLONE_INTO_CGROUP too.
        self.directory = Directory(path, above)
        #: The cgroup was killed, signalled or frozen, so it is not as new any more.
        self.touched = False
        #: The cgroup was seen empty, and no child has been born in it since.
        self.settled = False
        self._notice: Any = None
        self._events: Held | None = None
        self.directory.make()
        try:
            self._open_events()
        except BaseException:
            self.directory.remove()
            raise

    @property
    def path(self) -> str:
        """Where its directory was made; for people."""
        return self.directory.path

    def _open_events(self) -> Held:
        self._events = events = Held(cgroupfs.open_file(self.directory.at(), "cgroup.events", os.O_RDONLY))
        return events

    def born(self, pid: int) -> None:  # noqa: ARG002
        """The child was cloned into the cgroup."""
        self.settled = False

    def empty(self) -> bool:
        """Whether no process is in it. Since Linux 6.19 this may come a moment after the last death is seen."""
        try:
            self.settled = b"populated 0" in self._news()
        except OSError as error:
            if error.errno not in cgroupfs.REMOVED:
                raise
            self.settled = True  # the directory was removed, as only an empty one can be
        return self.settled

    def _news(self) -> bytes:
        """The content of cgroup.events."""
        events = self._events
        if events is not None:
            try:
                said = os.pread(events.number, 256, 0)
                if b"populated " in said:
                    return said
            except OSError:
                if events.is_ours():
                    raise
        return os.pread(self._open_events().number, 256, 0)

    def members(self) -> list[int]:
        """Pids of the live processes in this cgroup and in those that its members made below it."""
        try:
            return cgroupfs.live_processes(self.directory.at())
        except FileNotFoundError:
            return []

    def send(self, signal: int) -> int:
        """Signal every member, pass after pass until one finds no new member."""
        self.touched = True
        reached: set[int] = set()
        for _ in range(MOST_SIGNAL_PASSES):
            fresh = set(self.members()) - reached
            if not fresh:
                break
            reached |= fresh
            cgroupfs.signal(self.directory.at(), [*fresh], signal)
        return len(reached)

    def ask(self, signal: int) -> int:
        """Send `signal` to every member."""
        return self.send(signal)

    def kill(self) -> None:
        """Kill every member, including those that are being forked."""
        self.touched = True
        try:
            cgroupfs.kill(self.directory.at())
        except FileNotFoundError:
            pass  # only an empty one can be removed

    def changed(self) -> int:
        """An epoll descriptor that is readable when cgroup.events has changed.

        The file itself always polls as readable; a change is POLLPRI (cgroup-v2.rst), which event loops do not ask for.
        """
        if self._notice is None:
            self.empty()  # opens the file again, if the program has closed it
            notice = select.epoll()
            if self._events is not None:
                notice.register(self._events.number, select.EPOLLPRI)
            self._notice = notice
        return int(self._notice.fileno())

    def wait_killed(self, patience: float) -> None:
        """Wait until nobody is left after a kill, at most `patience` seconds."""
        try:
            cgroupfs.wait_killed(self.directory.at(), patience)
        except FileNotFoundError:
            pass

    def wait_change(self, seconds: float, pause: float) -> None:  # noqa: ARG002
        """Block until cgroup.events has changed, at most `seconds`."""
        any_ended([self.changed()], seconds)

    def release(self, pid: int) -> int:
        """Reap the child: other processes in the cgroup do not need its number."""
        return reap(pid)

    def is_as_new(self) -> bool:
        """Whether the cgroup is like a fresh one: no process in it, no cgroup made below it, never acted upon."""
        if self.touched or os.fstat(self.directory.at()).st_nlink > 2:
            return False
        return self.settled or self.empty() or not self.members()

    def destroy(self) -> bool:
        """Kill the remaining processes and remove the directory; False when one of them hangs in the kernel. Idempotent."""
        self.touched = True
        try:
            return self.directory.destroy()
        finally:
            self.close_descriptors()

    def forget_news(self) -> None:
        """Close the descriptor that `changed` opened. Idempotent."""
        notice, self._notice = self._notice, None
        if notice is not None:
            notice.close()

    def close_descriptors(self) -> None:
        """Close all descriptors; the directory stays. Idempotent."""
        self.forget_news()
        events, self._events = self._events, None
        if events is not None:
            events.close()
        self.directory.close()


class Pool:
    """Leaves that are as new, kept for their next child. It owns them from `keep` until `take`, or until `close_descriptors`."""

    __slots__ = ("_lock", "_most", "_spare")

    def __init__(self, most: int) -> None:
        self._most = most
        # Reentrant: a garbage collection while it is held may find a handle that gives a leaf back.
        self._lock = _thread.RLock()
        self._spare: list[Cgroup] = []

    def take(self) -> Cgroup | None:
        """A leaf that is new, as far as its user can tell; None: there is none."""
        with self._lock:
            for leaf in [*self._spare]:
                if (leaf.settled or leaf.empty()) and leaf in self._spare:  # a signal handler may have taken it meanwhile
                    self._spare.remove(leaf)
                    return leaf
        return None

    def wants(self, leaf: Cgroup) -> bool:
        """Whether the leaf is as new, and there is room for it."""
        return len(self._spare) < self._most and leaf.is_as_new()

    def keep(self, leaf: Cgroup) -> bool:
        """Keep a leaf that it `wants`; False: there is no room any more, and it is still the caller's."""
        with self._lock:
            if len(self._spare) >= self._most:
                return False
            leaf.forget_news()
            self._spare.append(leaf)
            if not self._most:  # a signal handler closed the pool meanwhile
                self._spare.remove(leaf)
                return False
        return True

    def discard(self, leaf: Cgroup) -> None:
        """Give a leaf back to the caller, if it is here."""
        if leaf in self._spare:
            self._spare.remove(leaf)

    def after_fork(self) -> None:
        """In a forked child: close the descriptors of all leaves. The lock may be held by a thread that does not exist here."""
        self._lock = _thread.RLock()
        self.close_descriptors()

    def close_descriptors(self) -> None:
        """Forget all leaves; their directories stay. Keeps none from now on. Idempotent."""
        self._most = 0
        with self._lock:
            spare, self._spare = self._spare, []
        for leaf in spare:
            leaf.close_descriptors()


class Home:
    """This process's directory of containers, its guardian, and the leaves that are kept for their next user."""

    __slots__ = ("_base", "_dead", "_directory", "_guardian", "_lock", "_made", "_number", "_pool")

    def __init__(self, base: str) -> None:
        self._base = Directory(base)
        self._directory = Directory(f"{base}/{home_name()}", self._base)
        # Reentrant: a garbage collection while it is held may find a handle that gives a leaf back.
        self._lock = _thread.RLock()
        self._number = 0
        self._pool = Pool(MOST_SPARE_LEAVES)
        self._guardian = new_guardian(self.path)
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
        """Make sure that a guardian runs to clean up after us; called before every spawn."""
        self._guardian.ensure()

    def take_leaf(self) -> Cgroup:
        """A cgroup that is new, as far as its user can tell."""
        return self._pool.take() or self.new("r")

    def wants(self, leaf: Cgroup) -> bool:
        """Whether a private tree's leaf is as new, and kept if it is given back."""
        return self._pool.wants(leaf)

    def give_back(self, leaf: Cgroup) -> None:
        """Take back a leaf that it `wants`, for the next private tree."""
        if not self._pool.keep(leaf):
            leaf.destroy()

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


class PrivateContainer:
    """The container of one run: its own tree, in one leaf."""

    __slots__ = ("_closed", "_home", "tree")

    mechanism = "cgroup_v2"

    def __init__(self, home: Home) -> None:
        self._home = home
        self._closed = False
        self.tree = home.take_leaf()

    def spawn(self, plan: Plan) -> LinuxChild:
        """Start a child inside; on an exception nothing of it is alive."""
        self._home.guarded()
        return _spawn_in(self.tree, plan)

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


class GroupContainer(Members):
    """A group: its directory is the tree; each child has a leaf in it."""

    __slots__ = ("_home", "_number", "_pool", "tree")

    mechanism = "cgroup_v2"
    soft_stop_scope = "whole_tree"

    def __init__(self, home: Home, outlives: bool) -> None:
        super().__init__(outlives)
        self._home = home
        self._number = 0
        self._pool = Pool(MOST_SPARE_IN_GROUP)
        self.tree = home.new_left() if outlives else home.new("g")

    def spawn(self, plan: Plan) -> LinuxChild:
        """Start a child inside; on an exception nothing of it is alive."""
        return self._bear(lambda: self._spawn(plan))

    def _spawn(self, plan: Plan) -> LinuxChild:
        if not self.outlives:
            self._home.guarded()
        leaf = self._pool.take()
        if leaf is None:
            self._number += 1
            leaf = MemberLeaf(f"{self.tree.path}/c{self._number}", self)
        try:
            return _spawn_in(leaf, plan)
        except BaseException:
            self._pool.discard(leaf)  # its child was reaped
            leaf.destroy()
            raise

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


class MemberLeaf(Cgroup):
    """The leaf of one child of a group: kept for the next one or removed as soon as the child is reaped and it is empty."""

    __slots__ = ("_group",)

    def __init__(self, path: str, group: GroupContainer) -> None:
        super().__init__(path, group.tree.directory)
        self._group = group

    def release(self, pid: int) -> int:
        """Reap the child and give the leaf back; while descendants are in it, the leaf stays until the group's end removes it."""
        status = reap(pid)
        if not self._group.keeps(self):
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
