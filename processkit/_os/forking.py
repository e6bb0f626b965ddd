"""The state that a forked copy of this process must forget: one fork hook, and the callbacks of this package for it."""

from __future__ import annotations

import os
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_callbacks: list[Callable[[], None]] = []
_ours: set[int] = set()


def after_fork_in_child(callback: Callable[[], None]) -> None:
    """Call `callback` in every child that os.fork makes of this process, except those of the launcher. Idempotent."""
    if callback in _callbacks:
        return
    register = getattr(os, "register_at_fork", None)  # POSIX only: nothing forks elsewhere
    if not _callbacks and register is not None:
        register(after_in_child=_run)
    _callbacks.append(callback)


def _run() -> None:
    if get_ident() not in _ours:
        for callback in _callbacks:
            callback()


class forking_ourselves:
    """A `with` block in which a fork on this thread runs no callbacks in the child, which only execs."""

    __slots__ = ()

    def __enter__(self) -> None:
        _ours.add(get_ident())

    def __exit__(self, *_: object) -> None:
        _ours.discard(get_ident())
