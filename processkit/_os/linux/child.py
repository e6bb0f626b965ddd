"""A child on Linux: started by its plan or not at all, watched by its pidfd, waited for without reaping, reaped once."""

from __future__ import annotations

import _thread
import os
import select
import sys
import time

from ..._abi.signals import SIGKILL
from ..._core.unraisable import first_error
from ..lock import Lock
from ..posix.descriptors import losses, losses_so_far, need_witness, pipe_above, read_all
from ..posix.reaping import STATUS_UNKNOWN, any_ended, look, peek, status_by_pidfd
from ..posix.stdio import Streams
from ..unreaped import leave_behind
from ..worker import all_signals_blocked
from .birth import Placement, compile_script, script_for
from .launch import launcher
from .procfs import start_time
from .script import Launched

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from ..port import Tree
    from ..terms import Plan
    from .script import Script

POLLIN, POLLHUP = select.POLLIN, select.POLLHUP


class LinuxChild:
    """One child of this process. It owns the pidfd and our ends of the pipes until `reap`."""

    __slots__ = (
        "_end_of_input",
        "_kept",
        "_lock",
        "_losses",
        "_owner",
        "_reaped",
        "_start",
        "_status",
        "_streams",
        "ended",
        "events_at_end",
        "pid",
        "stays",
        "tree",
    )

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self._reaped = False
        #: It is a member of a group and lives on without its handle; else collecting it ends it.
        self.stays = False
        # Pid of the process whose child it is; 0 before it has been born.
        self._owner = 0
        self.pid = -1
        #: The poll(2) events of stdout and stderr after the child's end, once a spawn that lingered or `is_over` saw it.
        self.events_at_end: tuple[int, int] | None = None
        self._streams = [-1, -1, -1]
        # Our side of a terminal whose streams have been closed by the caller.
        self._kept: list[int] = []
        self._end_of_input = b""
        # `losses_so_far` when our descriptors were opened.
        self._losses = 0
        self._lock = Lock()
        self._status: int | None = None
        self._start: int | None = None
        self.ended = -1

    def take(self, launched: Launched, streams: Streams) -> None:
        """Take over the process and the pipe ends; after an exception, `born` says whether the process is ours."""
        owner = os.getpid()
        self.pid = launched.pid
        self.events_at_end = launched.events
        self._end_of_input = streams.end_of_input
        self.ended = launched.pidfd if launched.pidfd >= 0 else _watch(launched.pid)
        # 1. From here on this object must end the process. 2. Then it takes over the pipe ends and the pidfd. If a signal
        # handler raises in between, both owners hold one list, and who closes an end takes it out of that list.
        self._owner = owner
        self._losses = losses_so_far()
        self._streams = streams.ours
        streams.ours = []
        launched.pid = launched.pidfd = -1

    def take_bare(self, launched: Launched) -> None:
        """Take over a process that is not wanted any more: from here on this object must end it, also if that is interrupted."""
        self.pid, self.ended = launched.pid, launched.pidfd
        self._owner = os.getpid()
        launched.pid = launched.pidfd = -1

    @property
    def born(self) -> bool:
        """Whether this object must end the process, and not the holder of the `Launched`."""
        return self._owner != 0

    def __del__(self) -> None:
        # 1. The child has been born. 2. A signal handler raises before its handle exists, or at the first instruction of the
        # handle's own finalizer. 3. Only this finalizer can end it.
        owner = getattr(self, "_owner", 0)
        if not owner or owner != os.getpid():
            return
        if self._reaped:
            self._close_all()
        elif self.stays:
            leave_behind(self)
        else:
            self.end()

    def end(self) -> None:
        """Kill its tree, wait and reap, unless it has been reaped."""
        raised = None
        if not self._reaped and self.status() is None:  # else its tree may already be in use for another child
            raised = first_error(self.tree.kill, lambda: self.send(SIGKILL), self.wait_killed)
        raised = first_error(self.reap) or raised
        if raised is not None:
            raise raised

    def start(self) -> int | None:
        """The child's identity token, read once, while the pid is certainly its own."""
        if self._start is None and not self._reaped:
            self._start = start_time(self.pid)
        return self._start

    def status(self) -> int | None:
        """The wait status once the process has ended, without reaping it; None before."""
        if self._status is None:
            with self._lock:
                if self._status is None and not self._reaped:
                    self._status = self._found(peek(self.pid))
        return self._status

    def _found(self, status: int | None) -> int | None:
        """`status`, or what the pidfd tells of a child that somebody else has reaped."""
        return status_by_pidfd(self.ended) if status == STATUS_UNKNOWN and self.ended >= 0 else status

    def linger(self, seconds: float) -> None:
        """Wait for the child's end, at most `seconds`."""
        any_ended([self.ended], seconds)

    def is_over(self) -> bool:
        """Whether the child has ended, no process holds its pipes and none is left in its tree."""
        if self.events_at_end is None and self.status() is not None:
            poller = select.poll()
            for descriptor in self._streams[1:]:
                if descriptor >= 0:
                    poller.register(descriptor, POLLIN)
            found = dict(poller.poll(0))
            self.events_at_end = found.get(self._streams[1], 0), found.get(self._streams[2], 0)
        events = self.events_at_end
        if events is None:
            return False
        out, err = self._streams[1], self._streams[2]
        # A hang-up is the end of a pipe: no process holds its other end.
        held = (out >= 0 and not events[0] & POLLHUP) or (err >= 0 and not events[1] & POLLHUP)
        return not held and self.tree.empty()

    def left_at_end(self) -> list[bytes] | None:
        """The bytes left in the pipes if a spawn that lingered saw the child's end and it `is_over`; else None, unread."""
        return None if self.events_at_end is None or not self.is_over() else self.take_left()

    def take_left(self) -> list[bytes]:
        """The bytes left in the pipes, once the child `is_over`."""
        events = self.events_at_end
        assert events is not None
        out, err = self._streams[1], self._streams[2]
        return [read_all(out) if events[0] & POLLIN else b"", read_all(err) if events[1] & POLLIN else b""]

    def wait_killed(self) -> None:
        """Wait until the process that was just killed has ended; give up on one that hangs in the kernel, or may not be killed."""
        if self.ended < 0:
            look(self.pid)
            return
        until = self.tree.unkillable().get(self.pid)
        self.linger(10.0 if until is None else max(0.0, until - time.monotonic()))

    def send(self, number: int) -> bool:
        """Signal this one process; False when it has been reaped, or is another user's. The lock keeps it from being reaped."""
        with self._lock:
            if self._reaped:
                return False
            try:
                os.kill(self.pid, number)
            except (ProcessLookupError, PermissionError):
                return False
            return True

    def reap(self) -> None:
        """Reap the process, later if it hangs in the kernel, and close the descriptors that are still open. Idempotent."""
        with self._lock:
            # If a signal handler raises in here, the next call does the rest.
            try:
                # Its end may have been seen already.
                if not self._reaped and self.events_at_end is None and self.status() is None:
                    leave_behind(self)
                elif not self._reaped:
                    self._reaped = True
                    status = self.tree.release(self.pid)
                    if self._status is None:
                        self._status = self._found(status)
            except BaseException:
                left = peek(self.pid)  # the error came before the wait(2), or after it
                self._reaped = left == STATUS_UNKNOWN
                if self._status is None:
                    self._status = left
                raise
            finally:
                self._close_all()

    def _close_all(self) -> None:
        kept = self._kept
        if kept:
            # A set: 1. A signal handler raises before the streams are forgotten. 2. The next call finds them in both places.
            kept = self._kept = [*{*kept, *self._streams, self.ended}]
        else:
            kept = self._kept = [*self._streams, self.ended]
        self._streams[:] = [-1, -1, -1]
        self.ended = -1
        if self._losses != losses():
            kept.clear()  # the program has closed them, and may have files of its own there
        while kept:
            descriptor = kept.pop()
            if descriptor >= 0:
                os.close(descriptor)
        if self._reaped:
            self._owner = 0

    def stream(self, number: int) -> int:
        """Our end of stream 0, 1 or 2; -1 where it is no pipe, or closed."""
        return self._streams[number]

    def close_stream(self, number: int) -> None:
        """Close our end; a child that reads finds end-of-file, one that writes EPIPE. Idempotent."""
        descriptor, self._streams[number] = self._streams[number], -1
        if descriptor >= 0 and self._end_of_input:
            # 1. The child closes its streams while it exits. 2. We see the end of the terminal. 3. If we closed our side now,
            # SIGHUP would end a process that is about to end by itself. So our side stays open until the child is reaped.
            self._kept.append(descriptor)
        elif descriptor >= 0:
            os.close(descriptor)

    def typed(self, data: bytes) -> bytes:
        """`data` as it is typed at a terminal: unchanged."""
        return data

    def end_of_input(self, line_ended: bool) -> bytes:
        """The bytes that end a terminal's input when typed: once at the beginning of a line, twice within one. termios(3)"""
        return self._end_of_input if line_ended else self._end_of_input * 2

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of its terminal."""
        from ..posix.terminal import set_size

        set_size(self._streams[1], columns, rows)


def _watch(pid: int) -> int:
    """A descriptor for a kernel without pidfds (before 5.3); a thread of ours waits for the child and makes it readable."""
    read, write = pipe_above()

    def wait() -> None:
        try:
            look(pid)
        except ChildProcessError:
            pass
        finally:
            os.close(write)

    try:
        with all_signals_blocked():
            _thread.start_new_thread(wait, ())
    except BaseException:
        os.close(read)
        os.close(write)
        raise
    return read


class _NoVigil:
    """The share in the thread of vigil.py that a container has which needs none."""

    __slots__ = ()

    def end(self) -> None:
        """Nothing to do."""


NO_VIGIL: Any = _NoVigil()
# The module, once a container has needed it.
_vigils: Any = None


def vigil_for(plan: Plan, held: Any) -> Any:
    """The share in the thread of vigil.py that a container needs for a child of this plan; `held` is what it has."""
    if held is not NO_VIGIL or not plan.unattended:
        return held
    from ..posix import vigil

    global _vigils
    _vigils = vigil
    return vigil.Vigil()


def end_vigil() -> None:
    """At exit: end that thread, for one that is woken while the interpreter ends has nowhere to go (pthread_exit(3))."""
    if _vigils is not None:
        _vigils.end_thread()


def spawn_child(
    plan: Plan, placement: Placement, tree: Tree, launch: Callable[[Script, Launched], None] | None = None
) -> LinuxChild:
    """A child of `plan` inside `tree`, cloned by `launch` or on this thread; on an exception nothing of it is alive."""
    sys.audit("subprocess.Popen", plan.path, plan.argv, plan.cwd, plan.env.entries)
    need_witness()
    child = LinuxChild(tree)
    streams = Streams(plan)
    linger = (streams.ours[1], streams.ours[2]) if placement.linger else None
    launched = Launched(streams.theirs, linger, streams.child, placement.cgroup_fd)
    try:
        (launch or launcher().launch)(script_for(plan, streams.child, placement), launched)
        tree.born(launched.pid)
        if streams.theirs:
            streams.close_theirs()
        child.take(launched, streams)
        return child
    except BaseException:
        if not child.born and launched.pid > 0:
            child.take_bare(launched)
            first_error(lambda: tree.born(child.pid))
        if child.born:
            first_error(child.end)
        raise
    finally:
        # Not before the kill: a child that dies of SIGPIPE meanwhile would hand those who have left its group to init.
        if streams.ours or streams.theirs:
            streams.close()


def spawn_orphan(plan: Plan, placement: Placement) -> int:
    """Start a process that is no child of ours and in no container of ours; returns its pid. We keep nothing of it."""
    sys.audit("subprocess.Popen", plan.path, plan.argv, plan.cwd, plan.env.entries)
    streams = Streams(plan)
    launched = Launched()
    try:
        launcher().launch(compile_script(plan, streams.child, placement), launched)
    finally:
        streams.close()
        if launched.pid > 0:
            launched.discard()
    assert placement.registration is not None
    return placement.registration[1]
