"""The only rooms that know which system this is. It is chosen here, once, and for loops in loops.py; port.py is what every system offers."""

from __future__ import annotations

import sys

from .errors import NotExecutable, NotFound
from .forking import after_fork_in_child

if sys.platform == "linux":
    from .descriptors import in_foreground
    from .environ import environment
    from .guardian import announce_hook, guardian_invocation, run_hook
    from .linux import (
        cpu_seconds,
        dies_with_owner,
        group_container,
        guardian_kind,
        identify,
        launcher_name,
        leash_container,
        leash_strength,
        mechanism,
        named_pipe_exists,
        peak_memory,
        private_container,
        refused,
        soft_stop_scope,
        spawn_detached,
    )
    from .lookup import find_program
    from .stdio import close_end, pipe_between
    from .waiting import ENDED, STDERR, STDIN, STDOUT, TREE, Waiter, write_ready
elif sys.platform == "win32":
    from .jobobject import leash_container
    from .windows import (
        announce_hook,
        dies_with_owner,
        group_container,
        guardian_invocation,
        guardian_kind,
        in_foreground,
        launcher_name,
        leash_strength,
        mechanism,
        named_pipe_exists,
        private_container,
        refused,
        run_hook,
        soft_stop_scope,
        spawn_detached,
    )
    from .winenviron import environment
    from .winidentity import cpu_seconds, identify, peak_memory
    from .winlookup import find_program
    from .winstdio import close_end, pipe_between
    from .winwaiting import ENDED, STDERR, STDIN, STDOUT, TREE, Waiter, write_ready
else:
    from .elsewhere import (
        ENDED,
        STDERR,
        STDIN,
        STDOUT,
        TREE,
        Waiter,
        announce_hook,
        close_end,
        cpu_seconds,
        dies_with_owner,
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
        named_pipe_exists,
        peak_memory,
        pipe_between,
        private_container,
        refused,
        run_hook,
        soft_stop_scope,
        spawn_detached,
        write_ready,
    )

__all__ = [
    "ENDED",
    "STDERR",
    "STDIN",
    "STDOUT",
    "TREE",
    "NotExecutable",
    "NotFound",
    "Waiter",
    "after_fork_in_child",
    "announce_hook",
    "close_end",
    "cpu_seconds",
    "dies_with_owner",
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
    "named_pipe_exists",
    "peak_memory",
    "pipe_between",
    "private_container",
    "refused",
    "run_hook",
    "soft_stop_scope",
    "spawn_detached",
    "write_ready",
]
