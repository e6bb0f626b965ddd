"""The only rooms that know which system this is. It is chosen here, once; port.py is what every system offers.

What waits for a child is imported by the first who asks for it: a child that ends at once is not waited for.
"""

from __future__ import annotations

import sys

from .errors import NotExecutable, NotFound
from .forking import after_fork_in_child
from .port import ENDED, STDERR, STDIN, STDOUT, TREE

TYPE_CHECKING = False
if sys.platform == "linux":
    if TYPE_CHECKING:
        from .descriptors import any_ended
        from .looping import LoopEnds, LoopWaiter, Sleeper
        from .waiting import Waiter, write_ready
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

    _HOMES = {"descriptors": "any_ended", "looping": "LoopEnds LoopWaiter Sleeper", "waiting": "Waiter write_ready"}
elif sys.platform == "win32":
    if TYPE_CHECKING:
        from .winloops import LoopEnds, LoopWaiter, Sleeper, any_ended
        from .winwaiting import Waiter, write_ready
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

    _HOMES = {"winloops": "LoopEnds LoopWaiter Sleeper any_ended", "winwaiting": "Waiter write_ready"}
else:
    if TYPE_CHECKING:
        from .elsewhere import LoopEnds, LoopWaiter, Sleeper, Waiter, any_ended, write_ready
    from .elsewhere import (
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
    )

    _HOMES = {"elsewhere": "LoopEnds LoopWaiter Sleeper Waiter any_ended write_ready"}

__all__ = [
    "ENDED",
    "STDERR",
    "STDIN",
    "STDOUT",
    "TREE",
    "LoopEnds",
    "LoopWaiter",
    "NotExecutable",
    "NotFound",
    "Sleeper",
    "Waiter",
    "after_fork_in_child",
    "announce_hook",
    "any_ended",
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

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names.split():
                from importlib import import_module

                globals()[name] = value = getattr(import_module("." + home, __name__), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
