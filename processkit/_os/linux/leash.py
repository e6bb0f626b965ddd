"""The leash on Linux: PR_SET_PDEATHSIG, set by each child of the one thread that lives as long as this process.

The signal follows the *thread* that cloned (PR_SET_PDEATHSIG(2const)): a child cloned by a pool's worker would die with the
worker. So all leashed children are cloned on this thread.
"""

from __future__ import annotations

import _thread
import sys
import time
from errno import EAGAIN

from ..._abi.signals import SIGKILL
from ..._core.unraisable import ignore
from ..errors import LaunchError
from ..forking import after_fork_in_child
from ..lock import Lock
from ..posix.reaping import any_ended, reap
from ..worker import Worker
from .birth import Placement
from .child import LinuxChild, spawn_child
from .launch import launcher
from .procfs import REFUSED_PATIENCE
from .script import Launched, Script

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..terms import Plan

_lock = Lock()
_thread_of_life: Worker | None = None


class _Job:
    """One launch on the thread of life, and its end."""

    __slots__ = ("_begun", "_done", "_error", "_is_over", "_launched", "_launcher", "_lock", "_revoked", "_script")

    def __init__(self, script: Script, launched: Launched) -> None:
        # Chosen here: that imports modules, for which another thread waits for ever if a signal handler raised in an import of ours.
        self._launcher = launcher()
        self._script = script
        self._launched = launched
        self._error: BaseException | None = None
        self._begun = self._revoked = self._is_over = False
        self._lock = Lock()
        self._done = _thread.allocate_lock()
        self._done.acquire()

    def run(self) -> None:
        """Launch, unless it was revoked. Called on the thread of life."""
        with self._lock:
            self._begun = not self._revoked
        try:
            if self._begun:
                self._launcher.launch(self._script, self._launched)
        except BaseException as error:
            self._error = error
        finally:
            self._is_over = True
            self._done.release()

    def wait(self) -> None:
        """Return when it is done; an exception there is raised here."""
        while not self._is_over:
            self._done.acquire()
        if self._error is not None:
            raise self._error

    def settle(self) -> None:
        """After an exception of a signal handler: return when it is done, or revoked before it began.

        Until then the descriptors are in use by number, and nobody knows whether there is a child. So a second exception of a
        handler cannot end this: it is reported, and the first one is raised by the caller.
        """
        while not self._is_over and not self._revoked:
            try:
                with self._lock:
                    self._revoked = not self._begun
                if not self._revoked:
                    self._done.acquire()
            except BaseException as error:
                ignore(error)


def _forget() -> None:
    global _thread_of_life, _lock
    _thread_of_life = None
    _lock = Lock()


def _launch(script: Script, launched: Launched) -> None:
    """Launch on the one thread that never ends, because its end would kill the leashed children."""
    global _thread_of_life
    job = _Job(script, launched)
    with _lock:
        if _thread_of_life is None:
            after_fork_in_child(_forget)
            try:
                _thread_of_life = Worker(None)
            except RuntimeError as error:
                raise LaunchError.of("pthread_create", EAGAIN) from error
    try:
        _thread_of_life.add(job.run)
        job.wait()
    except BaseException:
        job.settle()
        raise


class LeashedTree:
    """A tree of one process, without its descendants."""

    __slots__ = ("_child", "_refused")

    def __init__(self) -> None:
        self._child: LinuxChild | None = None
        self._refused: dict[int, float] = {}

    def hold(self, child: LinuxChild) -> None:
        """Set the child of this tree."""
        self._child = child

    def born(self, pid: int) -> None:
        """Nothing to do: `hold` sets the child."""

    def members(self) -> list[int]:
        """The child's pid while it lives."""
        return [] if self.empty() or self._child is None else [self._child.pid]

    def empty(self) -> bool:
        """Whether the child has ended."""
        return self._child is None or self._child.status() is not None

    def send(self, signal: int) -> int:
        """Signal the child; returns 1 if that reached it, else 0."""
        return int(self._child is not None and not self.empty() and self._child.send(signal))

    def ask(self, signal: int) -> int:
        """Send it."""
        return self.send(signal)

    def kill(self) -> None:
        """Kill the child."""
        if not self.send(SIGKILL) and not self.empty() and self._child is not None:
            self._refused.setdefault(self._child.pid, time.monotonic() + REFUSED_PATIENCE)

    def unkillable(self) -> dict[int, float]:
        """The child, if we may not kill it, and until when it is waited for."""
        return {} if not self._refused or self.empty() else self._refused

    def give_up(self) -> None:
        """Wait no longer for the child."""
        if self._child is not None:
            self._refused[self._child.pid] = time.monotonic()

    def changed(self) -> int:
        """-1: the driver watches the child's end anyway."""
        return -1

    def wait_change(self, seconds: float, pause: float) -> None:  # noqa: ARG002
        """Block until the child has ended, at most `seconds`."""
        if self._child is not None:
            any_ended([self._child.ended], seconds)

    def release(self, pid: int) -> int:
        """Reap the child."""
        return reap(pid)


class LeashContainer:
    """A leash instead of a container: one direct child, in our process group and session, that the kernel kills when we die."""

    __slots__ = ("tree",)

    mechanism = "leash"

    def __init__(self) -> None:
        self.tree = LeashedTree()

    def spawn(self, plan: Plan) -> LinuxChild:
        """Start the child; on an exception nothing of it is alive."""
        placement = Placement()
        placement.owner_bound = True
        placement.own_group = False
        child = spawn_child(plan, placement, self.tree, _launch)
        self.tree.hold(child)
        return child

    def close(self, *, leave: bool = False) -> None:
        """Kill the child if it still lives, unless `leave`; its handle reaps it."""
        if not leave:
            self.tree.kill()
