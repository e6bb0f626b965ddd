"""Starts processes for event loops so that no loop is blocked for long while a child is being created.

A vfork-like clone suspends its thread until the child's execve: a tenth of a millisecond as a rule, longer while all processors
are busy, and long on a slow disk. So a program that starts within a millisecond is started on the loop's own thread, and one that
is new or slow on a thread of ours. What counts is the best of its late starts, because several starts at once on few processors
slow each other down, which no thread can help against; one start of more than ten milliseconds counts at once. So a program that
has become slow holds up a loop for at most some ten starts of a millisecond or two. The thread serves all loops and ends when it
has had nothing to do for a while.
"""

from __future__ import annotations

import asyncio
import time

from .._os import after_fork_in_child
from .._os.lock import Lock
from .._os.worker import Worker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Protocol, TypeVar

    class Started(Protocol):
        """The result of a spawn: a handle that owns the started process."""

        def _close(self) -> None:
            """End the process and release everything that the handle owns. Idempotent."""

    H = TypeVar("H", bound=Started)

IDLE_SECONDS = 1.0
QUICK_SECONDS, SLOW_SECONDS = 0.001, 0.010
#: A program's best start is believed this much less with each start.
FORGETTING = 1.25
MOST_KNOWN = 256

#: Program → seconds that it takes to start, to judge by its late starts.
_known: dict[str, float] = {}

_lock = Lock()
_worker: Worker | None = None


class _Job:
    """One spawn for a loop; if the loop does not want the process any more, the job ends it."""

    __slots__ = ("_lock", "_loop", "_over", "_result", "_spawn", "_unwanted", "future")

    def __init__(self, loop: asyncio.AbstractEventLoop, spawn: Callable[[], Started]) -> None:
        self._loop = loop
        self._spawn = spawn
        self._lock = Lock()
        self._unwanted = self._over = False
        self._result: Started | None = None
        self.future: asyncio.Future[Any] = loop.create_future()

    def run(self) -> None:
        """Spawn on the worker's thread and tell the loop; a process that is no longer wanted is ended at once."""
        process, error = None, None
        if not self._unwanted:
            try:
                process = self._spawn()
            except BaseException as raised:
                error = raised
        with self._lock:
            unwanted = self._unwanted
            self._result = process
            self._over = True
        try:
            if unwanted:
                ended, process = process, None
                self._end(ended)
        finally:
            self._say(process, error)

    def _say(self, process: Started | None, error: BaseException | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._tell, process, error)
        except BaseException as raised:
            self._end(process)
            if not isinstance(raised, RuntimeError):  # else the loop was closed meanwhile
                raise

    def _tell(self, process: Started | None, error: BaseException | None) -> None:
        if self.future.done():
            return
        if process is not None:
            self.future.set_result(process)
        elif error is None or self._unwanted:
            self.future.cancel()
        else:
            self.future.set_exception(error)

    def disown(self) -> bool:
        """The waiting task was cancelled: the process that has been started, or still will be, is ended. Whether it is already."""
        with self._lock:
            self._unwanted = True
            process, over = self._result, self._over
        self._end(process)
        return over

    @staticmethod
    def _end(process: Started | None) -> None:
        if process is not None:
            process._close()


def _timed(program: str, spawn: Callable[[], H]) -> H:
    """Spawn, and remember how long it took."""
    started = time.monotonic()
    try:
        return spawn()
    finally:
        _note(program, time.monotonic() - started)


def _note(program: str, took: float) -> None:
    """A start of the program took so many seconds."""
    known = _known.get(program, took) * FORGETTING
    if len(_known) >= MOST_KNOWN:
        _known.clear()
    _known[program] = took if took > SLOW_SECONDS else min(took, known)


async def beside_the_loop(program: str, spawn: Callable[[], H]) -> H:
    """Return the result of `spawn`; if cancelled meanwhile, the process that it starts is ended."""
    if _known.get(program, SLOW_SECONDS) < QUICK_SECONDS:
        return _timed(program, spawn)
    return await _on_the_worker(lambda: _timed(program, spawn))


async def _on_the_worker(spawn: Callable[[], H]) -> H:
    job = _Job(asyncio.get_running_loop(), spawn)
    try:
        _hand_over(job.run)
    except RuntimeError:
        return spawn()  # no thread can be started; if the spawn fails for the same reason, it raises the error
    try:
        await asyncio.wait({job.future})
    except asyncio.CancelledError:
        if not job.disown():
            # The process is gone before the caller sees the cancellation; a second cancellation does not wait for that.
            await asyncio.wait({job.future})
        raise
    made: H = job.future.result()
    return made


def _hand_over(run: Callable[[], None]) -> None:
    """Have the worker run this; RuntimeError if there is none and no thread can be started."""
    global _worker
    with _lock:
        if _worker is None or not _worker.add(run):
            after_fork_in_child(_forget)
            _worker = Worker(IDLE_SECONDS)
            _worker.add(run)


def _forget() -> None:
    """In a forked child: the thread does not exist there."""
    global _worker, _lock
    _worker = None
    _lock = Lock()
