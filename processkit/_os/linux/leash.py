"""The leash on Linux: PR_SET_PDEATHSIG, armed by a child of the one thread that lives as long as we do.

The signal follows the *thread* that cloned (PR_SET_PDEATHSIG(2const)): cloned by a pool's worker, the child would die with
the worker. So all leashed children are cloned here.
"""

from __future__ import annotations

import _thread
import sys
from collections import deque
from errno import EAGAIN

from ..._abi.signals import SIGKILL
from ..errors import LaunchError
from ..forking import after_fork_in_child
from ..posix.reaping import reap
from .birth import Placement
from .child import LinuxChild, spawn_child
from .launch import launcher
from .script import Launched, Script

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..port import Child, Plan

_lock = _thread.RLock()
_thread_of_life: _Cloner | None = None


class _Job:
    __slots__ = ("done", "error", "launched", "script")

    def __init__(self, script: Script, launched: Launched) -> None:
        self.script = script
        self.launched = launched
        self.error: BaseException | None = None
        self.done = _thread.allocate_lock()
        self.done.acquire()


class _Cloner:
    """A thread that only clones. It never ends, for its end would kill the leashed."""

    __slots__ = ("_jobs", "_wake")

    def __init__(self) -> None:
        self._jobs: deque[_Job] = deque()
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        try:
            _thread.start_new_thread(self._live, ())
        except RuntimeError as error:
            raise LaunchError.of("pthread_create", EAGAIN) from error

    def run(self, script: Script, launched: Launched) -> None:
        """Launch on the thread; what it raises is raised here."""
        job = _Job(script, launched)
        self._jobs.append(job)
        try:
            self._wake.release()
        except RuntimeError:
            pass  # it is awake already and looks at the queue before it sleeps
        job.done.acquire()
        if job.error is not None:
            raise job.error

    def _live(self) -> None:
        while True:
            self._wake.acquire()
            while self._jobs:
                job = self._jobs.popleft()
                try:
                    launcher().launch(job.script, job.launched)
                except BaseException as error:
                    job.error = error
                job.done.release()


def _forget() -> None:
    global _thread_of_life, _lock
    _thread_of_life = None
    _lock = _thread.RLock()


def _launch(script: Script, launched: Launched) -> None:
    global _thread_of_life
    with _lock:
        if _thread_of_life is None:
            after_fork_in_child(_forget)
            _thread_of_life = _Cloner()
    _thread_of_life.run(script, launched)


class LeashedTree:
    """One process and nobody else."""

    __slots__ = ("_child",)

    def __init__(self) -> None:
        self._child: LinuxChild | None = None

    def hold(self, child: LinuxChild) -> None:
        """The child this is the tree of."""
        self._child = child

    def born(self, pid: int) -> None:
        """Nothing to do: `hold` follows."""

    def members(self) -> list[int]:
        """Its pid while it lives."""
        return [] if self.empty() or self._child is None else [self._child.pid]

    def empty(self) -> bool:
        """Whether it has ended."""
        return self._child is None or self._child.status() is not None

    def send(self, signal: int) -> int:
        """Signal it."""
        return int(self._child is not None and not self.empty() and self._child.send(signal))

    def ask(self, signal: int) -> int:
        """Send it."""
        return self.send(signal)

    def kill(self) -> None:
        """Kill it."""
        self.send(SIGKILL)

    def changed(self) -> int:
        """Its own end is what the driver watches anyway."""
        return -1

    def wait_change(self, seconds: float, pause: float) -> None:  # noqa: ARG002
        """Block until it has ended, at most `seconds`."""
        from ..posix.waiting import any_ended

        if self._child is not None:
            any_ended([self._child.ended], seconds)

    def release(self, pid: int) -> int:
        """Reap it."""
        return reap(pid)


class LeashContainer:
    """No container: one direct child, in our process group and session, that the kernel kills when we die."""

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

    def abandon(self, child: Child) -> None:
        """Never called: a leashed child's handle owns it."""

    def close(self, *, leave: bool = False) -> None:
        """Kill the child if it still lives; its reaper is its handle."""
        if not leave:
            self.tree.kill()
