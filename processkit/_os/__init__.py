"""The only modules that know which system this is. It is chosen here, once; port.py is the contract of every system.

The modules that wait for a child are imported at their first use: a child that ends at once is not waited for.
"""

from __future__ import annotations

import sys

from .._abi.signals import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM
from .errors import NotExecutable, NotFound
from .forking import after_fork_in_child
from .terms import ENDED, STDERR, STDIN, STDOUT, TREE

TYPE_CHECKING = False
if sys.platform == "linux":
    if TYPE_CHECKING:
        from .linux.loops import LoopEnds, LoopWaiter, Sleeper
        from .posix.reaping import any_ended
        from .posix.waiting import Waiter, write_ready
    from .._abi.linux_signals import SIGUSR1, SIGUSR2
    from .linux.guardian import announce_hook, guardian_invocation, run_hook
    from .linux.system import (
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
        weakness,
    )
    from .posix.environ import environment
    from .posix.lookup import find_program
    from .posix.stdio import close_end, pipe_between
    from .posix.terminal import in_foreground

    _HOMES = {
        "linux.loops": "LoopEnds LoopWaiter Sleeper",
        "posix.reaping": "any_ended",
        "posix.waiting": "Waiter write_ready",
    }
elif sys.platform == "win32":
    if TYPE_CHECKING:
        from .windows.loops import LoopEnds, LoopWaiter, Sleeper, any_ended
        from .windows.waiting import Waiter, write_ready
    from .windows.containers import leash_container
    from .windows.environ import environment
    from .windows.identity import cpu_seconds, identify, peak_memory
    from .windows.lookup import find_program
    from .windows.stdio import close_end, pipe_between
    from .windows.system import (
        SIGUSR1,
        SIGUSR2,
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
        weakness,
    )

    _HOMES = {"windows.loops": "LoopEnds LoopWaiter Sleeper any_ended", "windows.waiting": "Waiter write_ready"}
else:
    if TYPE_CHECKING:
        from .unsupported import LoopEnds, LoopWaiter, Sleeper, Waiter, any_ended, write_ready
    from .._abi.bsd_signals import SIGUSR1, SIGUSR2
    from .unsupported import (
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
        weakness,
    )

    _HOMES = {"unsupported": "LoopEnds LoopWaiter Sleeper Waiter any_ended write_ready"}

__all__ = [
    "ENDED",
    "SIGHUP",
    "SIGINT",
    "SIGKILL",
    "SIGQUIT",
    "SIGTERM",
    "SIGUSR1",
    "SIGUSR2",
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
    "weakness",
    "write_ready",
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        for home, names in _HOMES.items():
            if name in names.split():
                globals()[name] = value = getattr(__import__(home, globals(), None, (name,), 1), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
