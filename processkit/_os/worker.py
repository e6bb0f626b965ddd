"""A thread of ours that runs jobs in their order: for what the caller's thread may not do, or may not wait for."""

from __future__ import annotations

import _thread
from collections import deque

from .._core.unraisable import ignore
from .lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any, Callable
else:
    # `signal` makes enumerations of it when it is imported, which costs a twentieth of what a run may cost.
    import _signal as signal

# Windows has no masks.
_masks: Any = signal


class all_signals_blocked:
    """A `with` block: a thread that is begun in it is given no signal.

    1. A signal comes while the main thread blocks it, or in its last moment before it waits. 2. The system gives it to another thread,
    whose handler only notes it. 3. The main thread waits, and is not interrupted: signal(7).
    """

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before: set[Any] | None = None

    def __enter__(self) -> None:
        if hasattr(_masks, "pthread_sigmask"):
            self._before = _masks.pthread_sigmask(_masks.SIG_BLOCK, _masks.valid_signals())

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            _masks.pthread_sigmask(_masks.SIG_SETMASK, self._before)


class Worker:
    """The thread and its queue. It ends when it has had nothing to do for `patience` seconds; None: never. RuntimeError: no thread."""

    __slots__ = ("_jobs", "_lock", "_over", "_patience", "_wake")

    def __init__(self, patience: float | None) -> None:
        self._patience = patience
        self._jobs: deque[Callable[[], None]] = deque()
        # Reentrant: a signal handler may add a job while its own thread adds one.
        self._lock = Lock()
        self._over = False
        # Locked while there is nothing to do.
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        with all_signals_blocked():
            _thread.start_new_thread(self._live, ())

    def add(self, job: Callable[[], None]) -> bool:
        """Have the thread run `job`; False: it has ended, and another one is needed."""
        with self._lock:
            if self._over:
                return False
            self._jobs.append(job)
            try:
                self._wake.release()
            except RuntimeError:
                pass  # it is awake already
        return True

    def _live(self) -> None:
        while True:
            if not self._wake.acquire(timeout=-1 if self._patience is None else self._patience):
                with self._lock:
                    if not self._jobs:
                        self._over = True
                        return
            while self._jobs:
                try:
                    self._jobs.popleft()()
                except BaseException as error:  # the jobs behind it are to be run
                    ignore(error)
