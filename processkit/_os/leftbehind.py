"""Children whose handle is gone and whose container lives on or was let go: reaped when something else is started."""

from __future__ import annotations

import _thread

from .forking import after_fork_in_child

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .port import Child

_lock = _thread.allocate_lock()
_children: list[Child] = []
_hooked = False


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
    if not _children:
        return
    with _lock:
        waiting = list(_children)
        _children.clear()
    for child in waiting:
        leave_behind(child)


def _forget() -> None:
    """In a forked child: they are the parent's children."""
    global _lock
    _lock = _thread.allocate_lock()
    _children.clear()
