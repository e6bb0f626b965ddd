"""Questions that start nothing: which process a pid is, what contains children here, where a program is."""

from __future__ import annotations

from .._base import PUBLIC
from .._base.errors import ProcessError
from .._base.validate import unsigned
from .._base.values import Value, store
from .._os import dies_with_owner, guardian_kind, identify, launcher_name, mechanism, soft_stop_scope, weakness
from .._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._base.types import StrPath


class MemberInfo(Value):
    """One live process, without its arguments and its environment."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = ("pid", "ppid", "exe_name", "start_time")
    pid: int
    """The process id."""
    ppid: int | None
    """The process id of its parent; None if unknown."""
    exe_name: str | None
    """The file name of its program, without the directory; None if unknown."""
    start_time: int | None
    """An opaque token that tells it from a later process with the same pid (Linux: clock ticks since boot); None if unknown."""

    def __init__(self, pid: int, ppid: int | None, exe_name: str | None, start_time: int | None) -> None:
        store(self, (pid, ppid, exe_name, start_time))


class HostContainment(Value):
    """What contains the children of this process on this machine, and how they are started and guarded."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = ("mechanism", "soft_stop_scope", "parent_death_cleanup", "version", "launcher", "guardian", "cannot_hold", "remedy")
    mechanism: str
    """`cgroup_v2`, `process_group` or `job_object`."""
    soft_stop_scope: str
    """The members that a graceful stop can ask: `whole_tree` or `opt_in_members`."""
    parent_death_cleanup: str
    """What dies when this process dies abruptly: `whole_tree` or `none`."""
    version: str
    """The version of processkit."""
    launcher: str
    """How children are started: `clone3`, `clone`, `fork` or `CreateProcessW`."""
    guardian: str
    """What ends the children if this process is killed: a `python` or `sh` process, or `none` (on Windows the system)."""
    cannot_hold: str
    """The processes that the mechanism cannot hold here, in words."""
    remedy: str
    """What can be done about that, in words."""

    def __init__(
        self,
        mechanism: str,
        soft_stop_scope: str,
        parent_death_cleanup: str,
        version: str,
        launcher: str,
        guardian: str,
        cannot_hold: str,
        remedy: str,
    ) -> None:
        store(self, (mechanism, soft_stop_scope, parent_death_cleanup, version, launcher, guardian, cannot_hold, remedy))


def parent_death_scope() -> str:
    """Return what dies when the owner dies abruptly: `whole_tree` if the system or a guardian ends it, else `unsupported`."""
    return "whole_tree" if dies_with_owner() else "unsupported"


def host_containment() -> HostContainment:
    """Return the mechanisms that a group or a verb of this process would use. Starts nothing, changes nothing.

    ProcessError where the system has no containment; ValueError if PROCESSKIT_MECHANISM names no mechanism.
    """
    scope = parent_death_scope()
    try:
        weak = weakness()
        return HostContainment(
            mechanism=mechanism(),
            soft_stop_scope=soft_stop_scope(),
            parent_death_cleanup="none" if scope == "unsupported" else scope,
            version=__version__,
            launcher=launcher_name(),
            guardian=guardian_kind(),
            cannot_hold=weak[0],
            remedy=weak[1],
        )
    except NotImplementedError as error:
        raise ProcessError(f"containment is unavailable: {error}") from error


def process_info(pid: int) -> MemberInfo | None:
    """Return the live process `pid`; None if there is none, or it is a zombie. proc_pid_stat(5)

    OverflowError outside 0..2**32 - 1; OSError if processes cannot be inspected.
    """
    found = identify(unsigned(pid, "pid"))
    return None if found is None else MemberInfo(found.pid, found.ppid, found.name, found.start)


def process_is_alive(pid: int, start_time: int | None = None) -> bool:
    """Return whether `pid` lives and, with a `start_time` (of a MemberInfo), is still that process; a zombie is dead.

    OverflowError outside 0..2**32 - 1; OSError if processes cannot be inspected.
    """
    found = identify(unsigned(pid, "pid"))
    if found is None:
        return False
    return start_time is None or found.start == start_time


def which(program: StrPath) -> str:
    """Return the absolute path of the program that a Command would run. Raises ProcessNotFound or PermissionDenied."""
    from .._base.validate import path_text
    from .._plan.plan import resolve_settings
    from .._plan.settings import Settings

    return resolve_settings(Settings(path_text(program, "program"), ()))
