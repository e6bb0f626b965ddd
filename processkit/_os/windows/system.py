"""Windows: what this process offers, and the choice there is none of: Job Objects."""

from __future__ import annotations

import sys

from ..._abi import windows
from ..errors import LaunchError
from ..port import Handed, Plan
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


def mechanism() -> str:
    """What contains children here."""
    return "job_object"


def private_container() -> PrivateContainer:
    """A container for one run."""
    return PrivateContainer()


def group_container(survive_owner: bool) -> GroupContainer:
    """A container for a group; with `survive_owner` our end does not touch it."""
    return GroupContainer(survive_owner)


def leash_strength() -> str:
    """The kernel keeps the leash: JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE."""
    return "kernel"


def spawn_detached(plan: Plan) -> int:
    """Start `plan` outside every job that lets it go, without a console; returns its pid."""
    streams = Streams(plan)
    # Without a console, whatever `plan.console` says: CREATE_NO_WINDOW is ignored beside DETACHED_PROCESS.
    flags = windows.DETACHED_PROCESS | windows.CREATE_NEW_PROCESS_GROUP
    try:
        try:
            process, pid = spawn(plan, [], streams, flags | windows.CREATE_BREAKAWAY_FROM_JOB)
        except LaunchError as error:
            # The job that we run in lets nobody go: then it outlives us, but not that job.
            if error.winerror != windows.ERROR_ACCESS_DENIED:
                raise
            process, pid = spawn(plan, [], streams, flags)
    finally:
        streams.close()
    close(process)
    return pid


def refused(plan: Plan) -> str | None:
    """The first thing that `plan` asks of a child and Windows has not."""
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
        # Who has a console reads it: a pipe cannot stand beside it.
        "pty": plan.pty is not None and (not has_consoles() or isinstance(plan.stdin, Handed)),
    }
    return next((name for name, is_asked in asked.items() if is_asked), None)


def named_pipe_exists(name: str) -> bool:
    """Whether there is such a pipe, busy or not; OSError for a name that is none. WaitNamedPipeW"""
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
    """The system closes the handles of our jobs, and with them goes what is in them."""
    return True


def soft_stop_scope() -> str:
    """Only who was started with a console group of its own can be asked."""
    return "opt_in_members"


def guardian_kind() -> str:
    """Nobody has to guard: the system does."""
    return "none"


def launcher_name() -> str:
    """How children are started."""
    return "CreateProcessW"


def in_foreground() -> bool:
    """Consoles have no foreground group."""
    return False


def announce_hook() -> None:
    """No guardian is ever started."""


def guardian_invocation(words: list[str]) -> list[str] | None:  # noqa: ARG001
    """No guardian is ever started."""
    return None


def run_hook(arguments: list[str]) -> NoReturn:
    """Never called."""
    raise NotImplementedError(f"there are no guardians on Windows: {arguments}")
