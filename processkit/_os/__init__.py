"""The only rooms that know which system this is. It is chosen here, once; port.py is what every system offers."""

from __future__ import annotations

import sys

from .errors import NotExecutable, NotFound
from .forking import after_fork_in_child

if sys.platform == "linux":
    from .descriptors import in_foreground
    from .environ import environment
    from .guardian import announce_hook, guardian_invocation, run_hook
    from .identity import cpu_seconds, identify, peak_memory
    from .linux import (
        group_container,
        guardian_kind,
        launcher_name,
        leash_container,
        leash_strength,
        mechanism,
        private_container,
        spawn_detached,
    )
    from .lookup import find_program
    from .waiting import ENDED, STDERR, STDIN, STDOUT, TREE, Feed, LoopEnds, LoopWaiter, Waiter, any_ended, read_now
else:
    from .elsewhere import (
        ENDED,
        STDERR,
        STDIN,
        STDOUT,
        TREE,
        Feed,
        LoopEnds,
        LoopWaiter,
        Waiter,
        announce_hook,
        any_ended,
        cpu_seconds,
        environment,
        find_program,
        group_container,
        guardian_invocation,
        guardian_kind,
        identify,
        in_foreground,
        launcher_name,
        leash_container,
        leash_strength,
        mechanism,
        peak_memory,
        private_container,
        read_now,
        run_hook,
        spawn_detached,
    )

__all__ = [
    "ENDED",
    "STDERR",
    "STDIN",
    "STDOUT",
    "TREE",
    "Feed",
    "LoopEnds",
    "LoopWaiter",
    "NotExecutable",
    "NotFound",
    "Waiter",
    "after_fork_in_child",
    "announce_hook",
    "any_ended",
    "cpu_seconds",
    "environment",
    "find_program",
    "group_container",
    "guardian_invocation",
    "guardian_kind",
    "identify",
    "in_foreground",
    "launcher_name",
    "leash_container",
    "leash_strength",
    "mechanism",
    "peak_memory",
    "private_container",
    "read_now",
    "run_hook",
    "spawn_detached",
]
