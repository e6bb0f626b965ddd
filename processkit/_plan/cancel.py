"""`CancellationToken`: ends the runs that are wired to it, from any thread."""

from __future__ import annotations

import _thread
import time
from functools import partial

from .._base import PUBLIC
from .._core.unraisable import first_error
from .._os.lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable


class CancellationToken:
    """Ends the runs of commands that were given it by `cancel_on`: their trees are killed and their verbs raise Cancelled.

    Once cancelled it stays so. Thread-safe.
    """

    __module__ = PUBLIC
    __slots__ = ("__weakref__", "_callbacks", "_cancelled", "_lock", "_number", "_parent", "_telling")

    def __init__(self) -> None:
        self._lock = Lock()
        self._cancelled = False
        # The thread that tells the callbacks, 0: none does.
        self._telling = 0
        self._callbacks: dict[int, Callable[[], object]] = {}
        self._number = 0
        # A child keeps its parent alive, not the other way round.
        self._parent: CancellationToken | None = None

    def cancel(self) -> None:
        """Cancel this token and its children; the runs have been told when this returns, or another thread is telling them.

        Idempotent. From any thread.

        Raises the first error that ending a run raised, after all were told. If a signal handler raises in here, the next call
        tells those that were not told yet.
        """
        me, ours = _thread.get_ident(), False
        raised = None
        try:
            with self._lock:
                self._cancelled = True
                if self._telling == me:
                    return  # a callback, or a signal handler, on the thread that tells
                ours = not self._telling
                if ours:
                    self._telling = me
            if ours:
                raised = first_error(*(partial(self._tell, number) for number in [*self._callbacks]))
        finally:
            if ours:
                self._telling = 0
        if raised is not None:
            raise raised

    def _tell(self, number: int) -> None:
        callback = self._callbacks.get(number)
        try:
            if callback is not None:
                callback()
        finally:
            self._callbacks.pop(number, None)

    def is_cancelled(self) -> bool:
        """Return whether this token, or one that it descends from, was cancelled."""
        return self._cancelled or (self._parent is not None and self._parent.is_cancelled())

    def child_token(self) -> CancellationToken:
        """Return a new token that is cancelled with this one; cancelling it does not cancel this one."""
        import weakref

        child = CancellationToken()
        child._parent = self
        reference = weakref.ref(child)

        def pass_on() -> None:
            made = reference()
            if made is not None:
                made.cancel()

        number = self._subscribe(pass_on)
        weakref.finalize(child, self._unsubscribe, number).atexit = False
        return child

    def _subscribe(self, callback: Callable[[], object]) -> int:
        """Have `callback` called once when it is cancelled, now if it is; return the number for `_unsubscribe`."""
        with self._lock:
            self._number += 1
            number = self._number
            if not self._cancelled:
                self._callbacks[number] = callback
                return number
        callback()
        return number

    def _unsubscribe(self, number: int) -> None:
        with self._lock:
            self._callbacks.pop(number, None)

    def _wait(self, seconds: float) -> bool:
        """Sleep until it is cancelled, at most `seconds`; return whether it was."""
        gate = _thread.allocate_lock()
        gate.acquire()

        def open_gate() -> None:
            try:
                gate.release()
            except RuntimeError:
                pass  # open already

        number = self._subscribe(open_gate)
        try:
            deadline = time.monotonic() + seconds
            while not self.is_cancelled() and time.monotonic() < deadline:
                # In slices: on Windows Ctrl+C does not interrupt the wait for a lock.
                gate.acquire(timeout=min(0.1, max(0.0, deadline - time.monotonic())))
        finally:
            self._unsubscribe(number)
        return self.is_cancelled()

    def __repr__(self) -> str:
        return f"CancellationToken({'cancelled' if self.is_cancelled() else 'active'})"

    def __reduce__(self) -> str:
        raise TypeError("a CancellationToken cannot be pickled")


def checked(token: object) -> CancellationToken:
    """`token` if it is a CancellationToken; TypeError for anything else."""
    if not isinstance(token, CancellationToken):
        raise TypeError(f"token must be a CancellationToken, not {type(token).__name__}")
    return token


def weakly(method: Callable[[], object]) -> Callable[[], object]:
    """Return a function that calls a bound method, and does not keep its object alive."""
    from weakref import WeakMethod

    reference = WeakMethod(method)
    return lambda: (found := reference()) and found()
