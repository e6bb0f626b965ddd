"""Keeps the deadlines of started processes that no caller is waiting for: one thread, which exists only while it is needed.

A process with a waiting caller needs none of this: its driver keeps the time.
"""

from __future__ import annotations

import time

from .._core.unraisable import ignore
from .._os import after_fork_in_child
from .._os.lock import Lock
from .._os.worker import all_signals_blocked

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading
    from typing import Callable, Protocol

    class Tended(Protocol):
        def _is_over(self) -> bool:
            """Whether the process has ended."""

        def _tend(self) -> float | None:
            """Do what is due; returns when to be called again (monotonic time), None: never."""


#: Seconds after which what failed is tried again.
TRY_AGAIN = 0.5
#: A Condition cannot wait for much more than a century.
LONGEST_WAIT = 1e6

_lock = Lock()
_wake: threading.Condition | None = None
_tended: dict[int, tuple[float, Callable[[], Tended | None]]] = {}


def tend(process: Tended, when: float, keep: bool) -> None:
    """Have `process._tend()` called at `when` on a thread of ours; unless `keep`, only if `process` still exists by then."""
    import threading
    import weakref

    global _wake
    with _lock:
        if _wake is None:
            wake = threading.Condition()
            after_fork_in_child(_forget)
            with all_signals_blocked():
                threading.Thread(target=_work, args=(wake,), name="processkit-tender", daemon=True).start()
            _wake = wake  # only now: a thread that cannot be started is tried again by the next call
        with _wake:
            _tended[id(process)] = (when, (lambda: process) if keep else weakref.ref(process))
            _wake.notify()


def untend(process: Tended) -> None:
    """Stop tending `process`: a caller waits for it now, or it is over. The thread ends when nothing is left to tend."""
    wake = _wake
    if wake is not None and id(process) in _tended:
        with wake:
            _tended.pop(id(process), None)
            wake.notify()


def review() -> None:
    """A group has ended: forget the processes that ended with it."""
    wake = _wake
    if wake is not None and _tended:
        with wake:
            for key, (_, reference) in list(_tended.items()):
                process = reference()
                if process is None or process._is_over():
                    _tended.pop(key, None)
            wake.notify()


def _work(wake: threading.Condition) -> None:
    while not _nothing_left(wake):
        with wake:
            due = _due(time.monotonic())
            if not due and _tended:
                left = min((when for when, _ in [*_tended.values()]), default=0.0) - time.monotonic()
                wake.wait(min(max(0.0, left), LONGEST_WAIT))
        for key, reference in due:
            process = reference()
            try:
                again = None if process is None else process._tend()
            except BaseException as error:  # the deadlines of the others must be kept, and this one is tried again
                again = time.monotonic() + TRY_AGAIN
                ignore(error)
            del process
            if again is not None:
                with wake:
                    _tended.setdefault(key, (again, reference))
        del due


def _nothing_left(wake: threading.Condition) -> bool:
    """Whether the thread ends now; decided under the lock that `tend` holds, so that nothing arrives in between."""
    global _wake
    with _lock, wake:
        if _tended:
            return False
        if _wake is wake:
            _wake = None
        return True


def _due(now: float) -> list[tuple[int, Callable[[], Tended | None]]]:
    """Remove and return the entries that are due or whose process is gone."""
    due = [(key, reference) for key, (when, reference) in [*_tended.items()] if when <= now or reference() is None]
    for key, _ in due:
        _tended.pop(key, None)
    return due


def _forget() -> None:
    """In a forked child: the thread does not exist there, and the processes are the parent's."""
    global _wake, _lock
    _wake = None
    _lock = Lock()
    _tended.clear()
