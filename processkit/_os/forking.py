"""What is done around a fork of this process, and what its copy must forget: one set of hooks, and this package's callbacks for it."""

from __future__ import annotations

import os
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

_before: list[Callable[[], None]] = []
_in_parent: list[Callable[[], None]] = []
_callbacks: list[Callable[[], None]] = []
_registered = False
_ours: set[int] = set()


def after_fork_in_child(callback: Callable[[], None]) -> None:
    """Call `callback` in every child that os.fork makes of this process, except those of the launcher. Idempotent."""
    if callback not in _callbacks:
        _register()
        _callbacks.append(callback)


def around_fork(before: Callable[[], None], in_parent: Callable[[], None], in_child: Callable[[], None]) -> None:
    """Call these before each such fork and after it; the later one is registered, the earlier its `before` is called. Idempotent."""
    if before not in _before:
        _register()
        _before.append(before)
        _in_parent.append(in_parent)
        _callbacks.append(in_child)


def _register() -> None:
    global _registered
    register = getattr(os, "register_at_fork", None)  # POSIX only: nothing forks elsewhere
    if not _registered and register is not None:
        _registered = True
        register(
            before=lambda: _run(_before[::-1]), after_in_parent=lambda: _run(_in_parent), after_in_child=lambda: _run(_callbacks)
        )


def _run(callbacks: list[Callable[[], None]]) -> None:
    if get_ident() not in _ours:
        for callback in callbacks:
            callback()


class forking_ourselves:
    """A `with` block in which a fork on this thread runs no callbacks in the child, which only execs."""

    __slots__ = ()

    def __enter__(self) -> None:
        _ours.add(get_ident())

    def __exit__(self, *_: object) -> None:
        _ours.discard(get_ident())
