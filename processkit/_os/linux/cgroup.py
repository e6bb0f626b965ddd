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
from errno import E2BIG, EINVAL, ESRCH

from ..._core.proctext import flat_keyed
from ..errors import LaunchError
from ..members import Members
from ..posix.reaping import reap
from ..terms import Usage
from ..unreaped import reap_ended
from . import cgroupfs
from .birth import Placement
from .calls import architecture, open_pidfd, raw_syscall
from .child import spawn_child
from .guardian import new_guardian
from .home import home_name, make_home, make_left, note_left, sweep_left
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

    __slots__ = ("_directory", "_events", "_notice", "path", "settled", "touched")

    def __init__(self, path: str) -> None:
        self.path = path
        #: The cgroup was killed, signalled or frozen, so it is not as new any more.
        self.touched = False
        #: The cgroup was seen empty, and no child has been born in it since.
        self.settled = False
        self._notice: Any = None
        self._directory = self._events = -1
        os.mkdir(path, 0o755)
        try:
            self._events = os.open(f"{path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            cgroupfs.remove(path)
            raise

    def directory(self) -> int:
        """A descriptor of the directory, for CLONE_INTO_CGROUP."""
        if self._directory < 0:
            self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self._directory

    def born(self, pid: int) -> None:  # noqa: ARG002
        """The child was cloned into the cgroup."""
        self.settled = False

    def empty(self) -> bool:
        """Whether no process is in it. Since Linux 6.19 this may come a moment after the last death is seen."""
        if self._events < 0:
            return not cgroupfs.populated(self.path)
        try:
            self.settled = b"populated 0" in os.pread(self._events, 256, 0)
        except OSError:
            self.settled = True  # ENODEV: the directory was removed, as only an empty one can be
        return self.settled

    def members(self) -> list[int]:
        """Pids of the live processes in this cgroup and in those that its members made below it."""
        return cgroupfs.live_processes(self.path)

    def send(self, signal: int) -> int:
        """Signal every member, pass after pass until one finds no new member."""
        self.touched = True
        reached: set[int] = set()
        for _ in range(MOST_SIGNAL_PASSES):
            fresh = set(self.members()) - reached
            if not fresh:
                break
            for pid in fresh:
                reached.add(pid)
                self._signal(pid, signal)
        return len(reached)

    def _signal(self, pid: int, signal: int) -> None:
        """Signal a process through its pidfd after a check that it is still a member, so that no recycled pid is ever hit."""
        try:
            pidfd = open_pidfd(architecture(), pid)
        except OSError:
            pidfd = -1
        try:
            if pid in cgroupfs.processes(self.path):
                _send(pid, pidfd, signal)
        finally:
            if pidfd >= 0:
                os.close(pidfd)

    def ask(self, signal: int) -> int:
        """Send `signal` to every member."""
        return self.send(signal)

    def kill(self) -> None:
        """Kill every member, including those that are being forked."""
        self.touched = True
        cgroupfs.kill(self.path)

    def changed(self) -> int:
        """An epoll descriptor that is readable when cgroup.events has changed.

        The file itself always polls as readable; a change is POLLPRI (cgroup-v2.rst), which event loops do not ask for.
        """
        if self._notice is None:
            notice = select.epoll()
            notice.register(self._events, select.EPOLLPRI)
            self._notice = notice
        return int(self._notice.fileno())

    def wait_change(self, seconds: float, pause: float) -> None:  # noqa: ARG002
        """Block until cgroup.events has changed, at most `seconds`."""
        from ..posix.waiting import any_ended

        any_ended([self.changed()], seconds)

    def release(self, pid: int) -> int:
        """Reap the child: other processes in the cgroup do not need its number."""
        return reap(pid)

    def is_as_new(self) -> bool:
        """Whether the cgroup is like a fresh one: no process in it, no cgroup made below it, never acted upon."""
        if self.touched or os.fstat(self.directory()).st_nlink > 2:
            return False
        return self.settled or self.empty() or not self.members()

    def destroy(self) -> bool:
        """Kill the remaining processes and remove the directory; False when one of them hangs in the kernel. Idempotent."""
        self.touched = True
        self.close_descriptors()
        return cgroupfs.destroy(self.path)

    def forget_news(self) -> None:
        """Close the descriptor that `changed` opened. Idempotent."""
        notice, self._notice = self._notice, None
        if notice is not None:
            notice.close()

    def close_descriptors(self) -> None:
        """Close all descriptors; the directory stays. Idempotent."""
        self.forget_news()
        descriptors = (self._events, self._directory)
        self._events = self._directory = -1
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)


def _send(pid: int, pidfd: int, signal: int) -> None:
    try:
        if pidfd >= 0:
            raw_syscall(architecture(), "pidfd_send_signal", pidfd, signal, 0, 0)
        else:
            os.kill(pid, signal)
    except OSError as error:
        if error.errno != ESRCH:
            raise


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

    __slots__ = ("_base", "_dead", "_guardian", "_lock", "_made", "_number", "_pool", "path")

    def __init__(self, base: str) -> None:
        self._base = base
        # Reentrant: a garbage collection while it is held may find a handle that gives a leaf back.
        self._lock = _thread.RLock()
        self._number = 0
        self._pool = Pool(MOST_SPARE_LEAVES)
        self.path = f"{base}/{home_name()}"
        self._guardian = new_guardian(self.path)
        self._made = False
        # Homes of dead owners in which something was still dying; each is killed again until it is empty.
        self._dead: list[str] = []

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
            self._dead += make_home(self._base, self.path)
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
                return Cgroup(name)
            except FileNotFoundError:
                os.mkdir(self.path, 0o755)
                return Cgroup(name)

    def new_left(self) -> Cgroup:
        """A cgroup outside the home, for processes that outlive this one on purpose."""
        return Cgroup(f"{make_left(self._base)}/g")

    def _sweep_dead(self) -> None:
        for path in [*self._dead]:
            cgroupfs.kill(path, 0.0)
            if cgroupfs.remove(path) and path in self._dead:
                self._dead.remove(path)

    def let_go(self, path: str) -> None:
        """Move all processes in `path` out of the home, so that they outlive it; pass after pass until none is left."""
        left = make_left(self._base)
        try:
            for _ in range(MOST_SIGNAL_PASSES):
                pids = cgroupfs.processes(path)
                if not pids:
                    break
                for pid in pids:
                    try:
                        cgroupfs.write_file(left, "cgroup.procs", b"%d" % pid)
                    except ProcessLookupError:
                        pass
        finally:
            note_left(left)  # not before: another thread's sweep would find it empty

    def forget(self) -> None:
        """In a forked child: close the descriptors; the directories and the guardian are the parent's."""
        self._guardian.after_fork()
        self._pool.after_fork()

    def close(self) -> None:
        """At exit: kill and remove everything, then end the guardian; if a process hangs, the guardian goes on with that."""
        self._sweep_dead()
        self._pool.close_descriptors()
        if cgroupfs.destroy(self.path, 2.0):
            self._guardian.end()
        else:
            self._guardian.forget()


def _placement(cgroup: Cgroup, plan: Plan) -> Placement:
    placement = Placement()
    # A background process group cannot read from the terminal (SIGTTIN), and the cgroup holds the tree without a group.
    placement.own_group = not plan.terminal
    placement.linger = plan.linger
    if _clone_into:
        placement.cgroup_fd = cgroup.directory()
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
    placement.procs_fd = os.open(f"{cgroup.path}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
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
            self._home.let_go(self.tree.path)
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
        cgroupfs.wait_empty(self.tree.path, self._patience)
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
        if not cgroupfs.freeze(self.tree.path, on):
            raise NotImplementedError("this kernel has no cgroup.freeze (Linux 5.2)")
        self._frozen = on

    def adopt(self, pid: int) -> None:
        """Move a process into the group; its future children are born in it. OSError when it may not be moved."""
        path = f"{self.tree.path}/adopted"
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            pass
        cgroupfs.write_file(path, "cgroup.procs", b"%d" % pid)

    def usage(self) -> Usage:
        """The consumption that the kernel accounted to the group, dead members included."""
        path = self.tree.path
        usage = Usage(len(self.tree.members()))
        usage.peak_memory = _number_in(path, "memory.peak")
        usage.peak_processes = _number_in(path, "pids.peak")
        try:
            usage.cpu_seconds = flat_keyed(cgroupfs.read_file(path, "cpu.stat"))["usage_usec"] / 1e6
        except (OSError, KeyError):
            pass
        try:
            text = cgroupfs.read_file(path, "io.stat")
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
        if leave and not self.tree.empty():
            if self.outlives:
                self.tree.close_descriptors()
                self._closed = True
                note_left(os.path.dirname(self.tree.path))
                return
            self._home.let_go(self.tree.path)
        self.tree.destroy()
        if self.outlives:
            cgroupfs.remove(os.path.dirname(self.tree.path))
        reap_ended()
        self._closed = True


class MemberLeaf(Cgroup):
    """The leaf of one child of a group: kept for the next one or removed as soon as the child is reaped and it is empty."""

    __slots__ = ("_group",)

    def __init__(self, path: str, group: GroupContainer) -> None:
        super().__init__(path)
        self._group = group

    def release(self, pid: int) -> int:
        """Reap the child and give the leaf back; while descendants are in it, the leaf stays until the group's end removes it."""
        status = reap(pid)
        if not self._group.keeps(self):
            self.close_descriptors()
            cgroupfs.remove(self.path)
        return status


def _number_in(path: str, name: str) -> int | None:
    try:
        return int(cgroupfs.read_file(path, name))
    except (OSError, ValueError):
        return None


def _sum_of(text: bytes, key: bytes) -> int:
    """Sum of one key of io.stat over all devices."""
    return sum(int(word[len(key) :]) for word in text.split() if word.startswith(key))
