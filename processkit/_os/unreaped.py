"""Children whose handle is gone and whose container lives on or was let go: reaped when something else is started.

And what every container of many children does alike: who is let in, and who is left behind.
"""

from __future__ import annotations

import _thread

from .errors import Refused
from .forking import after_fork_in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, TypeVar

    from .port import Child

    C = TypeVar("C", bound=Child)

# Reentrant, as every lock that a finalizer or a signal handler may want in the midst of its own thread's section.
_lock = _thread.RLock()
_children: list[Child] = []
_hooked = False
CLOSED = "the group is already closed"


def leave_behind(child: Child) -> None:
    """Reap `child` now if it has ended, else at the first occasion after its end."""
    global _hooked
    if child.status() is not None:
        child.reap()
        return
    with _lock:
        if not _hooked:
            _hooked = True
            after_fork_in_child(_forget)
        _children.append(child)


def reap_ended() -> None:
    """Reap those that have ended since."""
    global _children
    if not _children:
        return
    with _lock:
        # Exchanged, not copied and cleared: a finalizer may add one in between.
        waiting, _children = _children, []
    for child in waiting:
        leave_behind(child)


def _forget() -> None:
    """In a forked child: they are the parent's children."""
    global _lock
    _lock = _thread.RLock()
    _children.clear()


class Members:
    """Children are born under its lock, until it is sealed; a child whose handle is gone is reaped at the next occasion."""

    __slots__ = ("_births", "_closed", "_frozen", "_sealed", "_spawning", "outlives")

    def __init__(self, outlives: bool) -> None:
        # Held while a child is being born: closing and freezing wait for it. Reentrant, for a signal handler may end the group in
        # the midst of a birth on its own thread.
        self._spawning = _thread.RLock()
        self._births = 0
        self._closed = self._sealed = self._frozen = False
        self.outlives = outlives

    def _bear(self, spawn: Callable[[], C]) -> C:
        """What `spawn` makes, or Refused where there may be no other child."""
        child: C | None = None
        try:
            with self._spawning:
                self._check_open()
                reap_ended()
                self._births += 1
                try:
                    child = spawn()
                finally:
                    self._births -= 1
                if self._closed:  # by a signal handler, which did not know of the child
                    raise Refused(CLOSED)
            return child
        except BaseException as error:
            if child is not None:
                child.end()
            if self._sealed and isinstance(error, OSError):
                raise Refused(CLOSED) from error
            raise

    def _check_open(self) -> None:
        if self._sealed:
            raise Refused(CLOSED)
        if self._frozen:
            # A vfork-like clone returns when the child execs, and a child born frozen never does.
            raise Refused("the group is suspended")

    def _check_no_birth(self) -> None:
        if self._births:
            raise Refused("the group cannot be suspended from within a start of its own")

    def abandon(self, child: Child) -> None:
        """Reap the child at the next occasion after its end."""
        leave_behind(child)

    def seal(self) -> None:
        """Take no more children; those that are being born are waited for. Idempotent."""
        with self._spawning:
            self._sealed = True
