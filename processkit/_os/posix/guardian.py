"""The half of the guardian's owner that talks: it registers what dies with us, and ends the guardian when nothing is left to guard.

How the guardian is started is each system's own.
"""

from __future__ import annotations

import os
import select
import sys
from errno import EIO, EPIPE

from ..lock import Lock
from ..terms import guardian_given_up
from .descriptors import Held, losses, set_witness
from .reserve import opened

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable, Protocol

    class Running(Protocol):
        """A guardian's process."""

        @property
        def pidfd(self) -> int:
            """A descriptor that is readable once it has ended; -1: there is none."""

        def end(self, is_alive: bool) -> None:
            """Kill it, and nobody who has got its number since; `is_alive`: it certainly has not ended, so the number is its own."""

        def forget(self) -> None:
            """Close our descriptor of it. Idempotent."""


NONE_STAYS = "no guardian can be started: one after the other ends"
#: Seconds within which a guardian has begun, on the slowest machine.
PATIENCE = 20.0
# The guardian that runs, or should. (Before the functions that set it: PyPy refuses an annotation behind them.)
_current: Guardian | None = None
#: Called with every guardian that has been started.
when_started: list[Callable[[], None]] = []


class Guardian:
    """The guardian of this process: started by the first `ensure`. Owns the pipe's write end until `end`."""

    __slots__ = (
        "_backlog", "_best", "_births", "_deaf", "_groups", "_lock", "_pipe", "_processes", "_running", "_start", "_word", "generation", "kind", "mend",
    )  # fmt: skip

    def __init__(self, kind: str, start: Callable[[Guardian], None]) -> None:
        self._start = start
        # What the guardian that is being started has not been told yet.
        self._backlog: list[bytes] = []
        self._groups: dict[int, int | None] = {}
        self._processes: dict[int, int] = {}
        # Number of children that may have registered themselves while their owner's thread does not know of them yet.
        self._births = 0
        #: How often a guardian has been started: a child has told the one that lived at its birth.
        self.generation = 0
        #: The language it is written in: `python`, `sh` or `none`.
        self.kind = self._best = kind
        self._running: Running | None = None
        self._pipe: Held | None = None
        # On which it says that it is up; None once it has.
        self._word: Held | None = None
        self._deaf = select.poll()
        #: What replaces it when a wait sees its end.
        self.mend: Callable[[], None] = self.ensure
        # Reentrant: a garbage collection inside one of these methods may run a finalizer that drops a group.
        self._lock = Lock()

    def is_up(self) -> bool:
        """Whether it was started, reads what it is told, and has its pipe."""
        with self._lock:
            pipe = self._pipe
            if pipe is not None and pipe.is_ours():
                # POLLERR: the pipe has no reader any more.
                return not self._deaf.poll(0) and (self._word is None or self._is_beginning(self._word))
        if pipe is not None:
            losses()
        return False

    def _is_beginning(self, word: Held) -> bool:
        """Whether the guardian has said that it is up, or still may; else it could not begin."""
        if word.is_ours():
            if not _is_readable(word.number, 0.0):
                return True
            if not os.read(word.number, 16):
                return False
        self._word = None
        word.close()
        return True

    def _give_up_kind(self) -> None:
        given_up, self.kind = self.kind, "sh" if self.kind == "python" else "none"
        for tell in guardian_given_up:
            tell(given_up, self.kind)

    def _begin(self) -> None:
        """Start one. If none can be started, the next attempt tries all kinds again: somebody may have killed them."""
        try:
            self._start(self)
        except OSError:
            if self.kind == "none":
                self.kind = self._best
            raise

    def confirm(self) -> None:
        """Return when the guardian is up. OSError: none can begin here, whatever it is written in."""
        while True:
            self.ensure()
            with self._lock:
                word = self._word
                if word is None or not word.is_ours():
                    return
                # A copy: another thread that hears the word closes the descriptor, and the number may be another file's.
                ours = opened(lambda: os.dup(word.number))  # noqa: B023
            try:
                told = _is_readable(ours, PATIENCE)
            finally:
                os.close(ours)
            with self._lock:
                if not told and word is self._word:  # it does not get so far
                    self._give_up_kind()
                    self.end()

    def ensure(self) -> None:
        """Start the guardian, or a new one if it was killed, and register everything that still lives with it."""
        with self._lock:
            if self.is_up():
                return
            if self._word is not None and self._word.is_ours() and not _is_readable(self._word.number, 0.0, select.POLLIN):
                self._give_up_kind()  # it has ended before it was up
            self._close()
            # Copies, and what is gone afterwards is taken back: a signal handler on this thread may drop one in the midst of it.
            groups, processes = [*self._groups.items()], [*self._processes.items()]
            self._backlog = [_messages().group_message(*group) for group in groups]
            self._backlog += [_messages().process_message(*process) for process in processes]
            self._begin()
            for message in self._backlog:
                self._say(message, again=False)
            for pgid, _ in groups:
                if pgid not in self._groups:
                    self._say(_messages().drop_message(pgid), again=False)
            for pid, _ in processes:
                if pid not in self._processes:
                    self._say(_messages().leave_message(pid), again=False)

    def foretell(self, pipe: int) -> None:
        """Write what the next guardian is to know into its pipe, as far as there is room. Called by `start`, before it begins.

        1. It begins. 2. The owner is killed before it has said a word. 3. Then it knows already.
        """
        try:
            while self._backlog:
                os.write(pipe, self._backlog[0])
                del self._backlog[0]
        except BlockingIOError:
            pass  # the rest is said when it reads

    def renew(self, seen: object) -> None:
        """Replace the guardian `seen` because its pidfd is readable; None: one is missing.

        Not one that has been replaced, nor if that is another file's descriptor by now.
        """
        with self._lock:
            if seen is not self._running:
                return
            if self._running is not None and self.is_up():
                self._running.forget()  # the program has closed the pidfd and opened a file of its own: nothing is watched any more
                return
        # Without the lock: a home, which may be what mends, takes its own before this one.
        if _current is self:
            self.mend()

    def sight(self) -> tuple[int, object]:
        """A descriptor of the caller's own that is readable once the guardian has ended, -1: there is none; and which one that is."""
        with self._lock:
            running = self._running
            pidfd = -1 if running is None else running.pidfd
            return (-1 if pidfd < 0 else os.dup(pidfd)), running

    @property
    def is_lost(self) -> bool:
        """Whether the program has closed the pipe, so that the guardian has read its end and kills what it guards."""
        return self._pipe is not None and not self._pipe.is_ours()

    def started(self, running: Running, pipe: int, word: int = -1) -> None:
        """The guardian runs: take it over with the write end of its pipe, and the read end of that on which it says that it is up.

        Called by `start`.
        """
        held = Held(pipe)
        told = None if word < 0 else Held(word)
        if self._pipe is not None:  # a signal handler started another one in the midst of this start
            running.end(True)
            held.close()
            running.forget()
            if told is not None:
                told.close()
            return
        global _current
        self._running = running
        self._word = told
        _current = self
        self.generation += 1
        self._deaf = select.poll()
        self._deaf.register(pipe, 0)
        self._pipe = held
        set_witness(held)
        for tell in when_started:
            tell()

    def expect(self) -> tuple[int, int]:
        """Note that a child will register itself, until `settled`; returns the pipe that it writes to, -1 if it cannot, and the
        generation of the guardian that reads it.

        The pipe is a copy: if the guardian is replaced before the clone, the number of its pipe may be another file's.
        """
        self.ensure()
        _messages()
        with self._lock:
            # sh cannot read the binary pid that the kernel writes.
            pipe = os.dup(self._pipe.number) if self.kind == "python" and self._pipe is not None else -1
            self._births += 1
            return pipe, self.generation

    def settled(self, pipe: int) -> None:
        """The child of the `expect` that returned `pipe` has been announced, or there is none."""
        with self._lock:
            self._births -= 1
        if pipe >= 0:
            os.close(pipe)

    def announce(self, pgid: int, start: int | None) -> None:
        """Register a process group that dies with us."""
        with self._lock:
            self._groups[pgid] = start
            self._say(_messages().group_message(pgid, start))

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
            if self._groups.pop(pgid, self) is not self:
                self.retract(pgid)

    def retract(self, pgid: int) -> None:
        """Unregister a process group that has registered itself, and of which its owner knows nothing: its start failed."""
        with self._lock:
            self._groups.pop(pgid, None)
            self._tell(_messages().drop_message(pgid))

    def announce_process(self, pid: int, start: int) -> None:
        """Register a process that is in none of our groups and dies with us."""
        with self._lock:
            if self._processes.get(pid) != start:
                self._processes[pid] = start
                self.ensure()
                self._say(_messages().process_message(pid, start))

    def leave_process(self, pid: int) -> None:
        """Unregister a process that has ended, or that lives on without us."""
        with self._lock:
            if self._processes.pop(pid, None) is not None:
                self._tell(_messages().leave_message(pid))

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
        """Kill the guardian now: nothing is left to guard, or another one is to guard it."""
        with self._lock:
            running, pipe = self._running, self._pipe
            if running is not None:
                # Who reads our pipe is the guardian. If it cannot be killed, end-of-file ends it as well.
                running.end(pipe is not None and pipe.is_ours() and not self._deaf.poll(0))
            self.forget()

    def forget(self) -> None:
        """Close our descriptors; the guardian reads end-of-file and does its work, and is not replaced. Idempotent."""
        global _current
        with self._lock:
            if _current is self:
                _current = None
            self._close()

    def _close(self) -> None:
        with self._lock:
            pipe, self._pipe = self._pipe, None
            running, self._running = self._running, None
            word, self._word = self._word, None
            if word is not None:
                word.close()
            if pipe is not None:
                losses()  # the last moment at which it can tell
                set_witness(None)
                pipe.close()
            if running is not None:
                running.forget()

    def after_fork(self) -> None:
        """In a forked child: the guardian is the parent's, and so is the thread that may have held the lock."""
        self._lock = Lock()
        self._births = 0
        self.forget()

    def _tell(self, message: bytes) -> None:
        """Say what a guardian that was killed, or whose pipe is lost, need not know: the next one is told what still lives."""
        try:
            if self._pipe is not None and self._pipe.is_ours() and not self._write(self._pipe, message):
                self.ensure()
        except BrokenPipeError:
            pass

    def _say(self, message: bytes, again: bool = True) -> None:
        """Tell the guardian; one that has ended, or does not read, is replaced, and the next one is told everything."""
        try:
            if self._pipe is not None and self._pipe.is_ours() and self._write(self._pipe, message):
                return
        except BrokenPipeError:
            pass
        if not again:
            raise OSError(EPIPE, NONE_STAYS)
        self.ensure()

    def _write(self, pipe: Held, message: bytes) -> bool:
        """Whether it went into the pipe; else the guardian was ended, for it does not read."""
        try:
            if os.write(pipe.number, message) != len(message):
                raise OSError(EIO, "write: the guardian's pipe took half a message")
        except BlockingIOError:
            self.end()  # it was stopped, or gets no time to run, and thousands of messages wait for it
            return False
        return True


def watched() -> tuple[int, object]:
    """(a descriptor that is readable once the guardian has ended, -1: there is none; which guardian that is).

    The descriptor is closed when the guardian is replaced: `mend` is told which one was seen, and does nothing for another one.
    """
    running = which()
    return (-1 if running is None else running.pidfd), running


def which() -> Running | None:
    """Something that is another one for every guardian; None: there is none."""
    return None if _current is None else _current._running


def sight() -> tuple[int, object]:
    """As `watched`, with a descriptor of the caller's own."""
    return (-1, None) if _current is None else _current.sight()


def is_missing() -> bool:
    """Whether there should be a guardian, but the last attempt to replace one failed."""
    return _current is not None and _current._running is None


def mend(seen: object) -> None:
    """Replace the guardian `seen`, which has ended; None: one is missing. If that fails, the next attempt is the watcher's."""
    if _current is not None:
        try:
            _current.renew(seen)
        except OSError:
            pass


_protocol: ModuleType | None = None


def _messages() -> Any:
    """The module of the messages: loaded by the first start that says something, for a finalizer at the end can load nothing."""
    global _protocol
    if _protocol is None:
        from ..._core import guardian

        _protocol = guardian
    return _protocol


def _is_readable(descriptor: int, seconds: float, wanted: int = select.POLLIN | select.POLLHUP) -> bool:
    """Whether there is something to read, or an end if that counts, within so many seconds."""
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return any(events & wanted for _, events in poller.poll(max(0, int(seconds * 1000))))
