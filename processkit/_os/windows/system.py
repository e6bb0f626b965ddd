"""Windows: the functions of this system, whose only mechanism is Job Objects."""

from __future__ import annotations

import sys

from ..._abi import windows
from ..errors import LaunchError
from ..terms import Handed, Plan
from .console import has_consoles
from .containers import GroupContainer, PrivateContainer
from .handles import close
from .spawn import spawn
from .stdio import Streams

if sys.platform != "win32":
    raise ImportError("this room is for Windows")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

#: Names that a caller may use on every system; there is nothing here that could be sent, and `send` refuses.
SIGUSR1, SIGUSR2 = 10, 12


def mechanism() -> str:
    """The mechanism that contains children here."""
    return "job_object"


def private_container() -> PrivateContainer:
    """A container for one run."""
    return PrivateContainer()


def group_container(survive_owner: bool) -> GroupContainer:
    """A container for a group; with `survive_owner` it outlives our end."""
    return GroupContainer(survive_owner)


def leash_strength() -> str:
    """`kernel`: the kernel kills the leashed child. JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE"""
    return "kernel"


def spawn_detached(plan: Plan) -> int:
    """Start `plan` outside every job that allows a breakaway, without a console; returns its pid."""
    streams = Streams(plan)
    # Without a console, regardless of `plan.console`: CREATE_NO_WINDOW is ignored beside DETACHED_PROCESS.
    flags = windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP
    try:
        try:
            process, pid = spawn(plan, [], streams, flags | windows.CREATE_BREAKAWAY_FROM_JOB)
        except LaunchError as error:
            # The job that we run in allows no breakaway: then the process outlives us, but not that job.
            if error.winerror != windows.ERROR_ACCESS_DENIED:
                raise
            process, pid = spawn(plan, [], streams, flags)
    finally:
        streams.close()
    close(process)
    return pid


def refused(plan: Plan) -> str | None:
    """The first feature of `plan` that Windows does not have; None if it has all."""
    wanted = plan.attributes
    asked = {
        "arg0": plan.argv[0] != plan.program,
        "uid": wanted.uid is not None,
        "gid": wanted.gid is not None,
        "groups": wanted.groups is not None,
        "setsid": wanted.new_session,
        "umask": wanted.umask is not None,
        "rlimit": bool(wanted.rlimits),
        "io_priority": wanted.io_priority is not None,
        # A child with a console reads that: its stdin cannot be a pipe.
        "pty": plan.pty is not None and (not has_consoles() or isinstance(plan.stdin, Handed)),
    }
    return next((name for name, is_asked in asked.items() if is_asked), None)


def named_pipe_exists(name: str) -> bool:
    """Whether there is such a pipe, busy or not; OSError if `name` is no pipe name. WaitNamedPipeW"""
    try:
        windows.WaitNamedPipeW(name, 1)
    except OSError as error:
        if error.winerror in (windows.ERROR_SEM_TIMEOUT, windows.ERROR_PIPE_BUSY):
            return True
        if error.winerror == windows.ERROR_FILE_NOT_FOUND:
            return False
        raise
    return True


def dies_with_owner() -> bool:
    """True: the system closes the handles of our jobs when we end, which kills their members."""
    return True


def soft_stop_scope() -> str:
    """`opt_in_members`: only children that were started with a console group of their own can be asked."""
    return "opt_in_members"


def guardian_kind() -> str:
    """`none`: no guardian is needed, because the system kills our jobs."""
    return "none"


def weakness() -> tuple[str, str]:
    """(what the mechanism cannot hold here, what can be done about that)."""
    cannot_hold = (
        "a process that a service starts on a member's behalf (WMI, the task scheduler, COM, UAC), that names a parent outside the "
        "job, or that duplicates the job's handle out of this process"
    )
    return cannot_hold, "start what you do not trust as another user, who may not open this process"


def launcher_name() -> str:
    """The name of the call that starts children."""
    return "CreateProcessW"


def in_foreground() -> bool:
    """False: consoles have no foreground group."""
    return False


def announce_hook() -> None:
    """No guardian is ever started."""


def guardian_invocation(words: list[str]) -> list[str] | None:  # noqa: ARG001
    """No guardian is ever started."""
    return None


def run_hook(arguments: list[str]) -> NoReturn:
    """Never called."""
    raise NotImplementedError(f"there are no guardians on Windows: {arguments}")
