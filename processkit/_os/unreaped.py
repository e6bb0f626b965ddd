"""Children whose handle is gone and whose container lives on or was let go: reaped when another child is started."""

from __future__ import annotations

from .forking import after_fork_in_child
from .lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .port import Child

# Reentrant, like every lock that a finalizer or a signal handler may want while its own thread holds it.
_lock = Lock()
_children: list[Child] = []


def leave_behind(child: Child) -> None:
    """Reap `child` now if it has ended, else at the first occasion after its end."""
    if child.status() is not None:
        child.reap()
        return
    with _lock:
        after_fork_in_child(_forget)
        _children.append(child)


def reap_ended() -> None:
    """Reap the children that have ended since they were left behind."""
    global _children
    if not _children:
        return
    with _lock:
        # Exchanged, not copied and cleared: a finalizer may add a child in between.
        waiting, _children = _children, []
    try:
        while waiting:
            leave_behind(waiting[-1])
            waiting.pop()
    finally:
        _children += waiting  # after an exception of a signal handler: the rest is taken up by the next start


def _forget() -> None:
    """In a forked child: these are the parent's children."""
    global _lock
    _lock = Lock()
    _children.clear()
