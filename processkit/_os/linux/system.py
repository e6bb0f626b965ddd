"""Linux: the mechanism that this process uses, and what it keeps for life: one home or one guardian, one leash thread."""

from __future__ import annotations

import atexit
import os
import sys

from ..forking import after_fork_in_child
from ..lock import Lock
from ..posix.descriptors import fill_standard, forget_null
from ..posix.guardian import Guardian
from ..posix.reserve import forget_reserve, keep_reserve
from ..unreaped import reap_ended
from .guardian import kind, new_guardian
from .home import forget_left, sweep_left, why_unusable
from .launch import after_fork as launching_after_fork
from .launch import predicted_name
from .procfs import forget_proc, hold_proc

if sys.platform != "linux":
    raise ImportError("this room is for Linux")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..port import Container, GroupContainer
    from ..terms import Plan
    from .cgroup import Home
    from .identity import Identity

_lock = Lock()
_home: Home | None = None
_guardian: Guardian | None = None
#: The one mechanism to use, set by tests; the environment variable PROCESSKIT_MECHANISM does the same.
forced_mechanism: str | None = None


def mechanism() -> str:
    """The mechanism that contains children here: `cgroup_v2` or `process_group`. Starts nothing."""
    if _home is not None:
        return "cgroup_v2"
    if _guardian is not None:
        return "process_group"
    return "process_group" if _base() is None else "cgroup_v2"


def _base() -> str | None:
    """The directory in which cgroup_v2 makes its home; None for process_group."""
    wanted = forced_mechanism or os.environ.get("PROCESSKIT_MECHANISM")
    if wanted == "process_group":
        return None
    if wanted not in (None, "", "cgroup_v2"):
        raise ValueError(f"PROCESSKIT_MECHANISM must be cgroup_v2 or process_group, not {wanted!r}")
    base, reason = why_unusable()
    if base is None and wanted == "cgroup_v2":
        raise NotImplementedError(f"cgroup_v2 was asked for, but {reason}")
    return base


def _hold() -> None:
    """Make, once, the home or the guardian that this process keeps for life."""
    global _home, _guardian
    with _lock:
        if _home is not None or _guardian is not None:
            return
        after_fork_in_child(_forget)
        atexit.unregister(_release)
        atexit.register(_release)
        fill_standard()
        hold_proc()
        base = _base()
        if base is None:
            _guardian = new_guardian("")
        else:
            from .cgroup import Home

            _home = Home(base)


def private_container() -> Container:
    """A container for one run."""
    reap_ended()
    if _home is None and _guardian is None:
        _hold()
    keep_reserve()
    if _home is not None:
        return _home.private()
    from .procgroup import GroupsContainer

    assert _guardian is not None
    return GroupsContainer(_guardian, private=True)


def group_container(survive_owner: bool) -> GroupContainer:
    """A container for a group; with `survive_owner` it outlives our end, and the guardian does not touch it."""
    _hold()
    keep_reserve()
    if _home is not None:
        return _home.group(survive_owner)
    from .procgroup import GroupsContainer

    assert _guardian is not None
    return GroupsContainer(_guardian, private=False, outlives=survive_owner)


def leash_container() -> Container:
    """A leash instead of a container: one direct child that the kernel kills when we die."""
    from .leash import LeashContainer

    fill_standard()
    return LeashContainer()


def leash_strength() -> str:
    """`kernel`: the kernel kills the leashed child. PR_SET_PDEATHSIG(2const)"""
    return "kernel"


def spawn_detached(plan: Plan) -> int:
    """Start `plan` outside every container, in a session of its own and as an orphan; returns its pid."""
    from .birth import Placement
    from .child import spawn_orphan
    from .script import registration

    fill_standard()
    placement = Placement()
    placement.orphan = True
    placement.registration = registration()
    return spawn_orphan(plan, placement)


def refused(plan: Plan) -> str | None:  # noqa: ARG001
    """The first feature of `plan` that this system does not have: always None."""
    return None


def cpu_seconds(pid: int) -> float | None:
    """CPU time that this one process has used."""
    from . import identity

    return identity.cpu_seconds(pid)


def peak_memory(pid: int) -> int | None:
    """The peak of this one process's resident memory, in bytes."""
    from . import identity

    return identity.peak_memory(pid)


def identify(pid: int) -> Identity | None:
    """The identity of the live process `pid`; None when there is none."""
    from . import identity

    return identity.identify(pid)


def named_pipe_exists(name: str) -> bool:
    """NotImplementedError: only Windows has such pipes."""
    raise NotImplementedError(f"there are no named pipes of Windows here: {name}")


def dies_with_owner() -> bool:
    """Whether all contained processes end with this process, however it ends."""
    return guardian_kind() != "none"


def soft_stop_scope() -> str:
    """`whole_tree`: a signal reaches every member."""
    return "whole_tree"


def guardian_kind() -> str:
    """`python`, `sh` or `none`."""
    if _home is not None:
        return _home.guardian_kind
    return kind() if _guardian is None else _guardian.kind


def weakness() -> tuple[str, str]:
    """(what the mechanism cannot hold here, what can be done about that). Starts nothing."""
    if mechanism() == "cgroup_v2":
        who = "root's" if os.geteuid() == 0 else "one of this user, in a delegated tree"
        return (
            f"a process that may write to cgroups outside its own ({who}) and moves itself out on purpose",
            "start what you do not trust as another user (Command.uid), or in a cgroup namespace",
        )
    reason = why_unusable()[1] or "process_group was asked for (PROCESSKIT_MECHANISM)"
    return (
        "a process that leaves its group and loses the parent that led to it (setsid with a double fork)",
        f"a cgroup that may be written to, for {reason}: run in `systemd-run --user --scope -p Delegate=yes`, or as root",
    )


def launcher_name() -> str:
    """`clone3`, `clone` or `fork`."""
    return predicted_name()


def _forget() -> None:
    """In a forked child: forget the home and the guardian, which are the parent's."""
    global _home, _guardian, _lock
    _lock = Lock()
    forget_reserve()
    forget_null()
    forget_proc()
    launching_after_fork()
    forget_left()
    home, _home = _home, None
    guardian, _guardian = _guardian, None
    if home is not None:
        home.forget()
    if guardian is not None:
        guardian.after_fork()


def _release() -> None:
    """At exit, after the user's last code: close the home, and end the guardian unless it still has to kill."""
    global _home, _guardian
    started = sys.modules.get(f"{__package__}.child")  # at the exit nothing can be relied upon to be importable
    if started is not None:
        started.end_vigil()
    with _lock:
        home, _home = _home, None
        guardian, _guardian = _guardian, None
    if home is not None:
        home.close()
    sweep_left()
    if guardian is not None:
        guardian.end_when_nothing_left()
