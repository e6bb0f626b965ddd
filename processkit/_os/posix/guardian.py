"""The half of the guardian's owner that talks: it registers what dies with us, and ends the guardian when nothing is left to guard.

How the guardian is started is each system's own.
"""

from __future__ import annotations

import _thread
import os
import select
import sys

from ..._abi.signals import SIGKILL

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


class Guardian:
    """The guardian of this process: started by the first `ensure`. Owns the pipe's write end until `end`."""

    __slots__ = ("_births", "_deaf", "_groups", "_lock", "_pid", "_pidfd", "_pipe", "_processes", "_start", "generation", "kind")

    def __init__(self, kind: str, start: Callable[[Guardian], None]) -> None:
        self._start = start
        self._groups: dict[int, int | None] = {}
        self._processes: dict[int, int] = {}
        # Number of children that may have registered themselves while their owner's thread does not know of them yet.
        self._births = 0
        #: How often a guardian has been started: a child has told the one that lived at its birth.
        self.generation = 0
        #: The language it is written in: `python`, `sh` or `none`.
        self.kind = kind
        self._pipe = self._pid = self._pidfd = -1
        self._deaf = select.poll()
        # Reentrant: a garbage collection inside one of these methods may run a finalizer that drops a group.
        self._lock = _thread.RLock()

    def ensure(self) -> None:
        """Start the guardian, or a new one if it was killed, and register everything that still lives with it."""
        with self._lock:
            # POLLERR: the pipe has no reader any more.
            if self._pipe >= 0 and not self._deaf.poll(0):
                return
            self.forget()
            self._start(self)
            if not self._groups and not self._processes:
                return
            from ..._core.guardian import drop_message, group_message, leave_message, process_message

            # Copies, and what is gone afterwards is taken back: a signal handler on this thread may drop one in the midst of it.
            groups, processes = [*self._groups.items()], [*self._processes.items()]
            for pgid, start in groups:
                self._say(group_message(pgid, start))
            for pid, begun in processes:
                self._say(process_message(pid, begun))
            for pgid, _ in groups:
                if pgid not in self._groups:
                    self._say(drop_message(pgid))
            for pid, _ in processes:
                if pid not in self._processes:
                    self._say(leave_message(pid))

    def started(self, pid: int, pidfd: int, pipe: int) -> None:
        """The guardian runs: take over its pidfd and the write end of its pipe. Called by `start`."""
        self._pid = pid
        self._pidfd = pidfd
        self._pipe = pipe
        self.generation += 1
        self._deaf = select.poll()
        self._deaf.register(pipe, 0)

    def expect(self) -> int:
        """Note that a child will register itself, until `settled`; returns the pipe that it writes to, -1 if it cannot."""
        self.ensure()
        with self._lock:
            self._births += 1
            # sh cannot read the binary pid that the kernel writes.
            return self._pipe if self.kind == "python" else -1

    def settled(self) -> None:
        """The child of one `expect` has been announced, or there is none."""
        with self._lock:
            self._births -= 1

    def announce(self, pgid: int, start: int | None) -> None:
        """Register a process group that dies with us."""
        from ..._core.guardian import group_message

        with self._lock:
            self._groups[pgid] = start
            self._say(group_message(pgid, start))

    def registered(self, pgid: int, generation: int) -> None:
        """Note a process group that has registered itself with the guardian of `generation`, and whose leader has ended."""
        with self._lock:
            if generation == self.generation:
                self._groups[pgid] = None  # it needs no start time to be told apart
            else:
                self.announce(pgid, None)

    def drop(self, pgid: int) -> None:
        """Unregister a process group that has ended, or that lives on without us."""
        with self._lock:
            if self._groups.pop(pgid, self) is self or self._pipe < 0:
                return
            from ..._core.guardian import drop_message

            try:
                self._say(drop_message(pgid))
            except BrokenPipeError:
                pass  # the guardian was killed, and the next one is told only of groups that still live

    def announce_process(self, pid: int, start: int) -> None:
        """Register a process that is in none of our groups and dies with us."""
        from ..._core.guardian import process_message

        with self._lock:
            if self._processes.get(pid) != start:
                self._processes[pid] = start
                self.ensure()
                self._say(process_message(pid, start))

    def leave_process(self, pid: int) -> None:
        """Unregister a process that has ended, or that lives on without us."""
        with self._lock:
            if self._processes.pop(pid, None) is None or self._pipe < 0:
                return
            from ..._core.guardian import leave_message

            try:
                self._say(leave_message(pid))
            except BrokenPipeError:
                pass  # as in `drop`

    def end_when_nothing_left(self) -> None:
        """At exit: end the guardian, unless a registered process still lives; the guardian then kills it."""
        if self._births:
            # 1. A thread starts a child, which runs. 2. The main thread returns. 3. The other thread never learns what it
            # started. So the pipe stays open, and ends with us.
            return
        if self._groups or self._processes:
            self.forget()
        else:
            self.end()

    def end(self) -> None:
        """Kill the guardian now; called only when nothing is left to guard."""
        pidfd = self._pidfd
        if pidfd >= 0:
            try:
                os.kill(self._pid, SIGKILL)  # its pid is its own: the pidfd was opened right after its birth
            except (ProcessLookupError, PermissionError):
                pass  # it is gone, or we gave up the right to kill it: end-of-file ends it as well
        self.forget()

    def forget(self) -> None:
        """Close our descriptors; the guardian reads end-of-file and does its work. Idempotent."""
        with self._lock:
            descriptors = (self._pipe, self._pidfd)
            self._pipe = self._pidfd = -1
            for descriptor in descriptors:
                if descriptor >= 0:
                    os.close(descriptor)

    def after_fork(self) -> None:
        """In a forked child: the guardian is the parent's, and so is the thread that may have held the lock."""
        self._lock = _thread.RLock()
        self._births = 0
        self.forget()

    def _say(self, message: bytes) -> None:
        if os.write(self._pipe, message) != len(message):
            raise OSError("write: the guardian's pipe took half a message")
