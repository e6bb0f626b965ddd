"""One cgroup as a tree of processes, and the leaves that are kept as good as new for the next child. cgroups(7)"""

from __future__ import annotations

import os
import select
import sys
import time

from ..lock import Lock
from ..posix.descriptors import Epoll, Held
from ..posix.reaping import SLICE, any_ended, reap
from ..posix.reserve import with_reserve
from . import cgroupfs
from .cgroupfs import Directory
from .procfs import living, noted

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

MOST_SIGNAL_PASSES = 50


class Cgroup:
    """A cgroup's directory and the tree of processes in it. It owns its descriptors and the directory until `destroy`."""

    __slots__ = ("_events", "_notice", "_refused", "directory", "settled", "touched")

    def __init__(self, path: str, above: Directory) -> None:
        #: The directory; its descriptor serves CLONE_INTO_CGROUP too.
        self.directory = Directory(path, above)
        #: The cgroup was killed, signalled or frozen, so it is not as new any more.
        self.touched = False
        #: The cgroup was seen empty, and no child has been born in it since.
        self.settled = False
        self._notice: Epoll | None = None
        # Members that we may not kill, and until when (monotonic time) they are waited for.
        self._refused: dict[int, float] = {}
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
        if events is not None and events.is_ours():
            return os.pread(events.number, 256, 0)
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
            refused = with_reserve(lambda: cgroupfs.kill(self.directory.at()))
        except FileNotFoundError:
            return  # only an empty one can be removed
        if refused or self._refused:
            self._refused = noted(self._refused, refused)

    def unkillable(self) -> dict[int, float]:
        """The members that we may not kill, and until when they are waited for: only before Linux 5.14, see cgroupfs.kill."""
        return living(self._refused)

    def give_up(self) -> None:
        """Wait no longer for those who live."""
        self._refused = dict.fromkeys(self.members(), time.monotonic())

    def changed(self) -> int:
        """An epoll descriptor that is readable when cgroup.events has changed.

        The file itself always polls as readable; a change is POLLPRI (cgroup-v2.rst), which event loops do not ask for. A read
        takes it back (kernfs_generic_poll in fs/kernfs/file.c), so nothing is read here: 1. The caller has seen a member. 2. The
        last one ends. 3. A read whose answer nobody looks at would be the last news.
        """
        if self._notice is None:
            events = self._events
            if events is None or not events.is_ours():
                events = self._open_events()
            notice = Epoll()
            notice.it.register(events.number, select.EPOLLPRI)
            self._notice = notice
        return self._notice.fileno()

    def wait_killed(self, patience: float) -> None:
        """Wait until nobody is left after a kill, at most `patience` seconds."""
        try:
            cgroupfs.wait_killed(self.directory.at(), patience)
        except FileNotFoundError:
            pass

    def wait_change(self, seconds: float, pause: float) -> None:  # noqa: ARG002
        """Block until cgroup.events has changed, at most `seconds`, and never long: another thread may have read the change."""
        any_ended([self.changed()], min(seconds, SLICE))

    def release(self, pid: int) -> int:
        """Reap the child: other processes in the cgroup do not need its number."""
        return reap(pid)

    def is_as_new(self) -> bool:
        """Whether the cgroup is like a fresh one: no process in it, no cgroup made below it, never acted upon."""
        try:
            if self.touched or self.directory.has_below():
                return False
            return self.settled or self.empty() or not self.members()
        except OSError:
            return False  # it was removed, or nobody knows

    def destroy(self) -> bool:
        """Kill the remaining processes and remove the directory; False when one of them hangs in the kernel. Idempotent."""
        self.touched = True
        try:
            until = max(self.unkillable().values(), default=None)
            return self.directory.destroy(None if until is None else max(0.0, until - time.monotonic()))
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
        self._lock = Lock()
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
            if not self._most:  # a signal handler closed the pool meanwhile, perhaps with this leaf in it
                self.discard(leaf)
                return False
        return True

    def discard(self, leaf: Cgroup) -> None:
        """Give a leaf back to the caller, if it is here."""
        if leaf in self._spare:
            self._spare.remove(leaf)

    def after_fork(self) -> None:
        """In a forked child: close the descriptors of all leaves. The lock may be held by a thread that does not exist here."""
        self._lock = Lock()
        self.close_descriptors()

    def close_descriptors(self) -> None:
        """Forget all leaves; their directories stay. Keeps none from now on. Idempotent."""
        self._most = 0
        with self._lock:
            spare, self._spare = self._spare, []
        for leaf in spare:
            leaf.close_descriptors()
