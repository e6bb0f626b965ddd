"""What can be asked without starting anything: who is a pid, what contains children here, where is a program."""

from __future__ import annotations

from .._base import PUBLIC
from .._base.errors import ProcessError
from .._base.validate import unsigned
from .._base.values import Value, store
from .._os import dies_with_owner, guardian_kind, identify, launcher_name, mechanism, soft_stop_scope
from .._version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._base.types import StrPath


class MemberInfo(Value):
    """One live process. `start_time` tells it from a later process with the same pid; never holds argv or environment."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = ("pid", "ppid", "exe_name", "start_time")
    pid: int
    ppid: int | None
    exe_name: str | None
    start_time: int | None

    def __init__(self, pid: int, ppid: int | None, exe_name: str | None, start_time: int | None) -> None:
        store(self, (pid, ppid, exe_name, start_time))


class HostContainment(Value):
    """What contains children on this machine, and how they are started and guarded."""

    __module__ = PUBLIC
    __slots__ = ()
    _fields = ("mechanism", "soft_stop_scope", "parent_death_cleanup", "version", "launcher", "guardian")
    mechanism: str
    soft_stop_scope: str
    parent_death_cleanup: str
    version: str
    launcher: str
    guardian: str

    def __init__(
        self, mechanism: str, soft_stop_scope: str, parent_death_cleanup: str, version: str, launcher: str, guardian: str
    ) -> None:
        store(self, (mechanism, soft_stop_scope, parent_death_cleanup, version, launcher, guardian))


def parent_death_scope() -> str:
    """What dies when the owner dies abruptly: `whole_tree` wherever the system or a guardian sees to it."""
    return "whole_tree" if dies_with_owner() else "unsupported"


def host_containment() -> HostContainment:
    """What a group or a verb of this process would use. Starts nothing, changes nothing."""
    scope = parent_death_scope()
    try:
        return HostContainment(
            mechanism=mechanism(),
            soft_stop_scope=soft_stop_scope(),
            parent_death_cleanup="none" if scope == "unsupported" else scope,
            version=__version__,
            launcher=launcher_name(),
            guardian=guardian_kind(),
        )
    except NotImplementedError as error:
        raise ProcessError(f"containment is unavailable: {error}") from error


def process_info(pid: int) -> MemberInfo | None:
    """The live process `pid`, or None when there is none. proc_pid_stat(5)"""
    found = identify(unsigned(pid, "pid"))
    return None if found is None else MemberInfo(found.pid, found.ppid, found.name, found.start)


def process_is_alive(pid: int, start_time: int | None = None) -> bool:
    """Whether `pid` lives, and with `start_time` whether it is still that process; a zombie is dead."""
    found = identify(unsigned(pid, "pid"))
    if found is None:
        return False
    return start_time is None or found.start == start_time


def which(program: StrPath) -> str:
    """The absolute path of the program that a Command of this name would run; ProcessNotFound, PermissionDenied."""
    from .._base.validate import path_text
    from .._plan.plan import resolve_settings
    from .._plan.settings import Settings

    return resolve_settings(Settings(path_text(program, "program"), ()))
